"""The students that a run leaves: each takes five megabytes, and most have been measured and replaced."""

from __future__ import annotations

from pathlib import Path

from ecco_emu.core.ids import ModelHash
from ecco_emu.record.metrics import RunMetrics
from ecco_emu.server.models import ModelStore


def keep_newest_students(folder: Path, metrics: RunMetrics) -> None:
    """Deletes every student in ``folder`` but the newest of each camera, which it runs or was offered last.

    The one that a run begins with is no exception: the manifest names its file, and its hash.
    """
    newest = {camera.newest_student for camera in metrics.cameras.values()}
    ModelStore(folder).keep_only({ModelHash(model) for model in newest if model is not None})
