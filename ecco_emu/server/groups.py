"""Changes to the groups, each with all that follows from it: trainer, files, messages, events."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from ecco_emu.core.events import (
    Assigned,
    JobCreated,
    JobEnded,
    JobJoined,
    JobLeft,
    LeaveReason,
    StudentSent,
    Trouble,
)
from ecco_emu.core.ids import CameraId, JobId, ModelHash
from ecco_emu.server.cameras import ConnectedCameras
from ecco_emu.server.jobs import CameraRequest, Job, JobBook, Member
from ecco_emu.server.models import ModelStore
from ecco_emu.server.ports import ServerPorts
from ecco_emu.trainer.backend import BadStudentError

NO_CAMERA = "no camera is left"


class Groups:
    """The retraining jobs. Callers hold the server's lock on the GPUs."""

    def __init__(
        self, models: ModelStore, cameras: ConnectedCameras, ports: ServerPorts, *, gpu_micro_windows: int
    ) -> None:
        """``gpu_micro_windows`` is G * |T|, the GPU micro-windows of one retraining window."""
        self.jobs = JobBook()
        self._models = models
        self._cameras = cameras
        self._ports = ports
        self._budget = gpu_micro_windows
        self._untold: dict[JobId, CameraId | None] = {}
        """Jobs whose members have not all been told of a change, with the member that has; None: none has."""

    # -- coming and going --

    async def found(self, request: CameraRequest, gains: Mapping[str, float]) -> Job:
        """A job of its own for the request, starting from the student that it came with (line 11). The
        members of other jobs, whose shares shrink, are told by ``tell_changed``."""
        job = self.jobs.create(request.model, self._ports.clock.now())
        await self._ports.trainer.create_job(job.id, request.model)
        self.jobs.join(job, Member(request, newcomer=False))
        self._ports.emit(
            JobCreated(
                t=self._ports.clock.now(),
                job=job.id,
                camera=request.camera,
                model=request.model,
                gains=dict(gains),
            )
        )
        self._make_room(job)
        self._untold |= dict.fromkeys((other.id for other in self.jobs), None)
        self._tell(job, request.camera)
        return job

    async def join(self, job: Job, request: CameraRequest, gains: Mapping[str, float]) -> None:
        """Adds the request to the job's group (line 9). The other members are told by ``tell_changed``."""
        self.jobs.join(job, Member(request))
        self._ports.emit(
            JobJoined(t=self._ports.clock.now(), job=job.id, camera=request.camera, gains=dict(gains))
        )
        # a later member starts with the group's student as it is by now (paper, figure 12)
        await self.deliver(job, [request.camera])
        self._tell(job, request.camera)

    async def leave(self, camera: CameraId, reason: LeaveReason, drop: float | None = None) -> None:
        """Takes a camera out of its group, if it is in one. A job that loses its last member ends."""
        job = self.jobs.of(camera)
        if job is None:
            return
        await self._remove(job, camera, reason, drop)
        if job.members:
            self.send_assignments([job])
        else:
            await self.end(job, NO_CAMERA)

    async def end(self, job: Job, reason: str) -> None:
        """Releases the members, and forgets all that only this job needed."""
        for camera in job.cameras:
            await self._remove(job, camera, "released")
            self._cameras.release(camera, reason)
            await self._ports.trainer.forget_samples(camera)
        self.jobs.remove(job)
        self._untold.pop(job.id, None)
        await self._ports.trainer.drop_job(job.id)
        self._ports.emit(JobEnded(t=self._ports.clock.now(), job=job.id, reason=reason))

    async def _remove(
        self, job: Job, camera: CameraId, reason: LeaveReason, drop: float | None = None
    ) -> None:
        member = job.members.pop(camera)
        if member.newcomer:  # the student that it came with was kept to be compared with
            await self._ports.trainer.remove_model(member.request.model)
        self._ports.emit(
            JobLeft(t=self._ports.clock.now(), job=job.id, camera=camera, drop=drop, reason=reason)
        )

    # -- telling the cameras --

    def send_assignments(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            self._untold[job.id] = None
        self.tell_changed()

    def _tell(self, job: Job, newcomer: CameraId) -> None:
        """Lets a newcomer begin at once."""
        self._cameras.assign(job, [newcomer])
        self._untold[job.id] = newcomer

    def tell_changed(self) -> None:
        """Tells the members of each job that has changed. To be called once after many have come: were all
        told of each newcomer, a thousand cameras that drift at once would need half a million messages."""
        untold, self._untold = self._untold, {}
        for job in (self.jobs[job] for job in untold):
            told = untold[job.id]
            self._cameras.assign(job, [camera for camera in job.cameras if camera != told])
            self._ports.emit(
                Assigned(t=self._ports.clock.now(), job=job.id, members=list(job.cameras), c=job.c, p=job.p)
            )

    async def deliver(self, job: Job, cameras: Sequence[CameraId]) -> None:
        """Offers the job's newest student to these cameras; each fetches the file if it lacks it."""
        await self.export(job)
        for camera in cameras:
            self.offer(job, camera)

    def offer(self, job: Job, camera: CameraId) -> None:
        """Offers the newest student, unless the camera runs it already."""
        if self._cameras.newest(camera) == job.newest:
            return
        if self._cameras.offer(camera, job):  # else the offer is repeated when the camera registers again
            self._ports.emit(
                StudentSent(t=self._ports.clock.now(), camera=camera, job=job.id, model=job.newest)
            )

    # -- students --

    async def export(self, job: Job) -> ModelHash:
        """The job's student as it is now, kept where cameras can fetch it from.

        A student whose training diverged is rolled back to the newest good one.
        """
        try:
            model, weights = await self._ports.trainer.export(job.id)
        except BadStudentError as error:
            await self._roll_back(job, str(error))
        else:
            await asyncio.to_thread(self._models.put, weights)
            job.newest = model
        return job.newest

    async def _roll_back(self, job: Job, why: str) -> None:
        trainer = self._ports.trainer
        await trainer.add_model(job.newest, await asyncio.to_thread(self._models.get, job.newest))
        await trainer.create_job(job.id, job.newest)
        await trainer.remove_model(job.newest)
        text = f"{job.id} goes on from its last good student {job.newest}: {why}"
        self._ports.emit(Trouble(t=self._ports.clock.now(), where="trainer", text=text))

    def students_in_use(self) -> set[ModelHash]:
        """Students that a job, a member or a camera still needs."""
        used = self._cameras.students()
        for job in self.jobs:
            used |= {job.newest, *(member.request.model for member in job.members.values())}
        return used

    def _make_room(self, newcomer: Job) -> None:
        """Until its gain is measured, a new job has an equal share, and the others keep their proportions."""
        others = sum(job.p for job in self.jobs if job is not newcomer)
        share = 1 / len(self.jobs)
        for job in self.jobs:
            kept = job.p / others if others > 0 else 0.0
            job.p = share if job is newcomer else kept * (1 - share)
            job.c = job.p * self._budget
