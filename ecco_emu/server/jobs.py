"""The retraining jobs and their members. Bookkeeping only: ``control.grouping`` decides which camera joins
which."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ecco_emu.control.grouping import JobMetadata, Metadata
from ecco_emu.core.ids import CameraId, JobId, ModelHash


@dataclass(slots=True)
class Member:
    camera: CameraId
    request: Metadata
    """When and where it asked."""
    map: float | None = None
    """The group model's accuracy on it at the end of the last window; None before the first."""


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
    """GPU micro-windows received in the current window."""

    @property
    def cameras(self) -> list[CameraId]:
        return list(self.members)

    def metadata(self) -> JobMetadata:
        """The members' times and places, with which a new request is compared (Algorithm 2)."""
        return JobMetadata({camera: member.request for camera, member in self.members.items()})


class JobBook:
    """All jobs, by id and by camera. A camera is in at most one job; a job without members is dropped."""

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

    def leave(self, camera: CameraId) -> None:
        """Takes the camera out of its job. A job that loses its last member is dropped."""
        job = self.of(camera)
        if job is None:
            return
        del job.members[camera]
        if not job.members:
            del self._jobs[job.id]
