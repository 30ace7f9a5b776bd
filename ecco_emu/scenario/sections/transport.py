"""``transport``: congestion control between cameras and server."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ecco_emu.control.shares import AlphaMapping
from ecco_emu.scenario.sections.base import Number, Rate, Strict, Time


class TransportSection(Strict):
    """Congestion control between cameras and server (paper section 3.2.2)."""

    algorithm: Literal["gaimd", "cubic", "fixed"] = "gaimd"
    """``gaimd``: general AIMD, alpha from the GPU share, beta fixed. To compare with: ``cubic`` (RFC 9438),
    and ``fixed``, which sends at ``fixed_rate`` whatever the path does. Both of these ignore the shares."""
    fixed_rate: Rate = 1e6
    """The rate at which each camera sends with ``fixed``."""
    beta: Annotated[Number, Field(gt=0, lt=1)] = 0.5
    """The fraction of the congestion window that a cut leaves."""
    mapping: AlphaMapping = "auto"
    """From GPU share to alpha: ``linear`` is the paper's, ``root`` squares it for paths with random loss,
    ``auto`` follows what the server sees each camera get, which holds the shares on any queue."""
    download_alpha: Annotated[Number, Field(gt=0, le=100)] = 8.0
    """GAIMD's alpha of each camera's download. Students are large, and their acknowledgements queue behind
    video at the bottleneck: at 1, a quarter of a second's round trip leaves most of a downlink unused."""
    segment_deadline: Annotated[Time, Field(gt=0)] = 4.0
    """The time from the capture of its last frame in which a video segment must arrive; else it counts as
    late or lost. A segment that lasts more than a second has that much longer."""
    qlog: Annotated[bool, Field(strict=True)] = True
    """Writes a trace of every connection into the run's qlog/, for qvis: some 50 bytes and 10 µs a packet."""
