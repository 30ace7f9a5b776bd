"""The decisions of a policy, and the settings that a run gives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, runtime_checkable

from ecco_emu.control.allocator import Allocator
from ecco_emu.control.lifecycle import JobProgress, RecoveryRule
from ecco_emu.control.sampling import SamplingTable
from ecco_emu.control.shares import AlphaMapping
from ecco_emu.control.transmission import DEFAULT_PIXELS_PER_LEVEL, TransmissionRule
from ecco_emu.core.ids import CameraId, JobId


@dataclass(frozen=True, slots=True)
class PolicySetup:
    """The settings of a scenario that a policy may need. Each policy uses those that concern it."""

    gpus: int
    micro_windows: int
    """Of one retraining window."""
    size_weight: float = 0.5
    """alpha of Eq. 1."""
    fairness: float = 0.5
    """beta of Eq. 1."""
    recovery: RecoveryRule = field(default_factory=RecoveryRule)
    """When a job has done its work."""
    pixels_per_s_per_level: float = DEFAULT_PIXELS_PER_LEVEL
    """Pixels per emulated second that one GPU micro-window per retraining window can train on."""
    tables: Mapping[CameraId, SamplingTable] = field(default_factory=dict)
    """Sampling tables of the cameras that have one."""
    mapping: AlphaMapping = "linear"
    """From GPU share to GAIMD's alpha, for policies that send in proportion to it."""


@runtime_checkable
class Policy(Protocol):
    """Which cameras train together, which job gets the GPUs, and how cameras send: one object for a whole
    run.

    Its ``transmission`` is handed to the cameras, to the server and to the transport's configuration. A
    camera needs nothing else of the policy, since it knows its own (c_j, p_j, n_j).
    """

    name: ClassVar[str]
    meaning: ClassVar[str]
    """A few words, for the scenario's reference."""
    grouping: ClassVar[bool]
    """May a request join an existing job? Otherwise every request founds its own."""
    transmission: TransmissionRule

    def __init__(self, setup: PolicySetup) -> None: ...

    def ends(self, job: JobProgress) -> str | None:
        """At a window's end: why the job ends now, in words, or None while it goes on."""
        ...

    def new_window(self, jobs: Mapping[JobId, int]) -> Allocator:
        """The allocation of the next retraining window among ``jobs`` (id -> number of members).

        A policy forgets a job with the first window that does not name it.
        """
        ...
