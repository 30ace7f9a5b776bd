"""When a retraining job has done its work. The paper says how jobs begin, and never how one ends.

A job ends when every member has *recovered* and its gains are *flat*: then its GPU time helps others more,
and its cameras need not send any longer. Both conditions are needed. Gains are flat at first too, before a
student has learnt anything; and a job whose accuracy is high may still be rising.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ecco_emu.control.evidence import Estimate
from ecco_emu.core.ids import CameraId

RECOVERED = "recovered"


@dataclass(frozen=True, slots=True)
class JobProgress:
    """A job at the end of a retraining window."""

    members: Mapping[CameraId, Estimate | None]
    """The group model's accuracy on each member; None where there was nothing to measure it on."""
    gains: tuple[float, ...]
    """Accuracy gain of each micro-window that it got in this retraining window, None left out."""
    trained: int
    """Micro-windows that it has been trained for since it began."""


@dataclass(frozen=True, slots=True)
class RecoveryRule:
    """The named rule ``recovered``: its two numbers are the scenario's ``grouping`` keys of the same name."""

    recovered: float = 0.4
    """mAP that every member must have reached (the paper's threshold of response times, figures 7, 13)."""
    flat_gain: float = 0.01
    """Mean gain of a micro-window, mAP, up to which gains count as flat."""

    def ends(self, job: JobProgress) -> str | None:
        """Why the job ends now, or None while it goes on."""
        if job.trained == 0 or not job.members:
            return None
        # a member that could not be measured has not shown that it recovered
        if any(each is None or each.value < self.recovered for each in job.members.values()):
            return None
        # a job that got no GPU time had no gain either: nothing says that it would gain less than before
        if not job.gains or sum(job.gains) / len(job.gains) > self.flat_gain:
            return None
        return RECOVERED
