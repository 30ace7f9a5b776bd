"""The retraining jobs, their members, and requests that wait. Bookkeeping only: ``control`` decides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ecco_emu.control.evidence import Estimate, Evidence
from ecco_emu.control.grouping import JobMetadata, Metadata
from ecco_emu.core.ids import CameraId, JobId, ModelHash


@dataclass(slots=True)
class CameraRequest:
    """A camera without a job that asks for retraining, or was split off its group."""

    camera: CameraId
    metadata: Metadata
    """When and where it asked."""
    model: ModelHash
    """The student that it came with."""
    since: float
    """When its data drifted, emulated seconds: older frames are no evidence."""
    left: JobId | None = None
    """The job that it was split off, whose own student ``model`` is."""
    first_weighed: float | None = None
    deferred: int = 0
    """How often it was weighed without a decision."""

    @property
    def evidence(self) -> Evidence:
        return Evidence(self.camera, self.since)


@dataclass(slots=True)
class Member:
    request: CameraRequest
    """With which it came."""
    measured: Estimate | None = None
    """The group model's accuracy on it at the end of the last window; None before the first, and where its
    frames had no object."""
    newcomer: bool = True
    """It joined a job of others and was not yet compared with its own model at a window's end."""

    @property
    def camera(self) -> CameraId:
        return self.request.camera

    @property
    def since(self) -> float:
        return self.request.since


@dataclass(slots=True)
class Job:
    id: JobId
    start: ModelHash
    """The student that training started from."""
    created: float
    newest: ModelHash
    """The student its cameras should run by now."""
    members: dict[CameraId, Member] = field(default_factory=dict)
    map: float | None = None
    """Mean accuracy over the members, as last measured."""
    c: float = 0.0
    p: float = 0.0
    micro_windows: int = 0
    """Micro-windows received in the current window."""
    gains: list[float] = field(default_factory=list)
    """Accuracy gains of these."""
    trained: int = 0
    """Micro-windows received since it began."""

    @property
    def cameras(self) -> list[CameraId]:
        return list(self.members)

    def metadata(self) -> JobMetadata:
        """The members' times and places, with which a new request is compared (Algorithm 2)."""
        return JobMetadata({camera: member.request.metadata for camera, member in self.members.items()})

    def evidence(self, since: float) -> list[Evidence]:
        """By member, the frames that count: since its drift, and not captured before ``since``."""
        return [Evidence(camera, max(since, member.since)) for camera, member in self.members.items()]

    def open_window(self) -> None:
        self.micro_windows = 0
        self.gains = []


class JobBook:
    """All jobs, by id and by camera. A camera is in at most one job."""

    def __init__(self) -> None:
        self._jobs: dict[JobId, Job] = {}
        self._made = 0

    def __iter__(self) -> Iterator[Job]:
        # over a copy: the caller's loop may await, and jobs come and go meanwhile
        return iter(list(self._jobs.values()))

    def __len__(self) -> int:
        return len(self._jobs)

    def __getitem__(self, job: JobId) -> Job:
        return self._jobs[job]

    def __contains__(self, job: JobId) -> bool:
        return job in self._jobs

    def of(self, camera: CameraId) -> Job | None:
        return next((job for job in self._jobs.values() if camera in job.members), None)

    def create(self, start: ModelHash, now: float) -> Job:
        self._made += 1
        job = Job(JobId(f"job{self._made}"), start, now, newest=start)
        self._jobs[job.id] = job
        return job

    def join(self, job: Job, member: Member) -> None:
        current = self.of(member.camera)
        if current is not None:
            raise ValueError(f"{member.camera} is in {current.id} already")
        job.members[member.camera] = member

    def remove(self, job: Job) -> None:
        """The job has ended."""
        self._jobs.pop(job.id, None)
