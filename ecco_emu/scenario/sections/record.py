"""``record``: what the record counts as an answer to a retraining request."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ecco_emu.core.events import RESPONSE_MEASUREMENTS, RESPONSE_THRESHOLD
from ecco_emu.scenario.sections.base import Number, Strict, Whole


class RecordSection(Strict):
    """What the record counts. The system itself knows nothing of it."""

    response_threshold: Annotated[Number, Field(gt=0, le=1)] = RESPONSE_THRESHOLD
    """The accuracy at which a retraining request counts as answered. The paper's is 0.4."""
    response_measurements: Annotated[Whole, Field(ge=1, le=100)] = RESPONSE_MEASUREMENTS
    """How many live measurements in a row must reach it, as one alone does so by chance. Students that were
    measured after the run need no second time."""
