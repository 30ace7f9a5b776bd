"""The edge server: it accepts cameras, admits their retraining requests and keeps the retraining jobs.

The code that decides is pure and lives in ``control`` and ``policies``; this module carries the decisions
out. ``_serve`` keeps a session with each camera. ``_admit`` is the first half of Algorithm 2 (a request joins
a job or founds one); the second half (splitting at a window's end) and Algorithm 1 are ``RetrainingLoop``'s
in windows.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from ecco_emu.control import grouping
from ecco_emu.control.grouping import Metadata
from ecco_emu.core.errors import EccoError, ProtocolError
from ecco_emu.core.events import (
    Assigned,
    JobCreated,
    JobJoined,
    JobLeft,
    RequestReceived,
    StudentSent,
    Trouble,
)
from ecco_emu.core.ids import CameraId, JobId, ModelHash
from ecco_emu.core.messages import Assignment, Register, RetrainingRequest, Segment
from ecco_emu.policies.base import Policy
from ecco_emu.scenario import schema
from ecco_emu.server.intake import Intake
from ecco_emu.server.jobs import Job, JobBook, Member
from ecco_emu.server.models import ModelStore
from ecco_emu.server.ports import ServerPorts
from ecco_emu.server.session import CameraSession, MessageToServer
from ecco_emu.transport.adapter import Peer
from ecco_emu.transport.events import ConnectionClosed


class Accepts(Protocol):
    async def accept(self) -> Peer: ...


MAX_WAITING_REQUESTS = 1024
"""More are refused: a camera that floods the server with requests must not fill its memory."""


class EdgeServer:
    """All state that the server has of cameras, requests and jobs. It knows only what crossed the network."""

    def __init__(
        self,
        scenario: schema.Scenario,
        policy: Policy,
        models: ModelStore,
        ports: ServerPorts,
    ) -> None:
        self.jobs = JobBook()
        self.gpus = asyncio.Lock()
        """Held by the task that uses the trainer: requests are weighed between micro-windows, not in them."""
        self.intake = Intake(ports.teacher, ports.trainer)
        self._scenario = scenario
        self._policy = policy
        self._models = models
        self._ports = ports
        self._sessions: dict[CameraId, CameraSession] = {}
        self._requests: asyncio.Queue[RetrainingRequest] = asyncio.Queue(MAX_WAITING_REQUESTS)

    async def run(self, listener: Accepts) -> None:
        """Serves cameras until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._admit_all(), name="server-admission")
            while True:
                peer = await listener.accept()
                tasks.create_task(self._serve(peer), name=f"server-{peer.name}")

    # -- sessions --

    async def _serve(self, peer: Peer) -> None:
        session = CameraSession(
            peer, self._models, self._deliver, self._trouble, self._policy.transmission.weight
        )
        try:
            await session.run()
        except ConnectionClosed:
            pass  # the camera dials again; its job keeps its place meanwhile
        finally:
            # the camera may have dialled again before this connection was found dead: that session stays
            if self._sessions.get(session.camera) is session:
                del self._sessions[session.camera]
            await peer.close()

    async def _deliver(self, session: CameraSession, message: MessageToServer) -> None:
        match message:
            case Register() as message:
                self._sessions[session.camera] = session
                job = self.jobs.of(session.camera)
                if job is not None:  # a camera that comes back after an outage may have missed both
                    self.send_assignment(job)
                    if job.newest != message.model:
                        self._offer(job, session.camera)
            case RetrainingRequest():
                self._enqueue(session, message)
            case Segment():
                self._ports.received(session.camera, len(message.data))
                await self.intake.take(message)

    def _enqueue(self, session: CameraSession, request: RetrainingRequest) -> None:
        now = self._ports.clock.now()
        self._ports.emit(RequestReceived(t=now, camera=session.camera, model=request.model))
        try:
            self._requests.put_nowait(request)
        except asyncio.QueueFull:
            raise ProtocolError("too many retraining requests are waiting") from None

    # -- Algorithm 2: joining on arrival --

    async def _admit_all(self) -> None:
        while True:
            request = await self._requests.get()
            try:
                async with self.gpus:
                    await self._admit(request)
            except EccoError as error:
                self._trouble(request.camera, f"retraining request refused: {error}")

    async def _admit(self, request: RetrainingRequest) -> None:
        camera, model = CameraId(request.camera), ModelHash(request.model)
        current = self.jobs.of(camera)
        if current is not None:  # a second request that the camera sent before its assignment arrived
            self.send_assignment(current)
            return
        await self._ports.trainer.add_model(model, self._models.get(model))
        await self.intake.take(request.frames)
        await self.assign_to_job(camera, Metadata(request.t, request.at), model)

    async def assign_to_job(
        self, camera: CameraId, request: Metadata, model: ModelHash, *, left: JobId | None = None
    ) -> Job:
        """Puts a camera into the job whose model serves it best, or into a new one (Algorithm 2).

        ``left`` is the job that the camera was just split from, and no candidate: ``model`` is that job's
        own, rounded to float16 for the file, so a gain of one over the other would be noise.
        """
        gains = await self._gains(camera, request, model, left)
        chosen = grouping.choose(gains, self._scenario.grouping.min_gain)
        now = self._ports.clock.now()
        named_gains = {str(job): gain for job, gain in gains.items()}
        # measuring took time: the job may have lost its last member and ended meanwhile
        if chosen is not None and chosen in self.jobs:
            job = self.jobs[chosen]
            self.jobs.join(job, Member(camera, request))
            self._ports.emit(JobJoined(t=now, job=job.id, camera=camera, gains=named_gains))
            # a later member starts with the group's student as it is by now (paper, figure 12)
            await self.deliver_student(job, [camera])
        else:
            job = self.jobs.create(model, now)
            await self._ports.trainer.create_job(job.id, model)
            self.jobs.join(job, Member(camera, request))
            self._ports.emit(JobCreated(t=now, job=job.id, camera=camera, model=model, gains=named_gains))
            self._make_room(job)
        for each in self.jobs:
            self.send_assignment(each)
        return job

    async def _gains(
        self, camera: CameraId, request: Metadata, model: ModelHash, left: JobId | None
    ) -> dict[JobId, float]:
        """gain_j = Acc(model_j, frames) - Acc(request.model, frames) for every candidate job."""
        if not self._policy.grouping:
            return {}
        limits = self._scenario.grouping
        candidates = grouping.candidates(
            request,
            {job.id: job.metadata() for job in self.jobs if job.id != left},
            time_window_s=limits.time_window,
            range_m=limits.range,
        )
        if not candidates:
            return {}
        await self.intake.hand_over()
        accuracy = await self._ports.trainer.evaluate([*candidates, model], [camera])
        own = accuracy.get((model, camera), 0.0)
        return {job: accuracy.get((job, camera), 0.0) - own for job in candidates}

    def _make_room(self, newcomer: Job) -> None:
        """Until its gain is measured, a new job has an equal share, and the others keep their proportions."""
        share = 1 / len(self.jobs)
        budget = self._scenario.trainer.gpus * self._scenario.windows.micro_per_window
        for job in self.jobs:
            job.p = share if job is newcomer else job.p * (1 - share)
            job.c = job.p * budget

    # -- for the retraining windows --

    async def split(self, camera: CameraId, drop: float) -> None:
        """Takes a member out of its group and treats it as a new request (Algorithm 2)."""
        job = self.jobs.of(camera)
        if job is None or len(job.members) == 1:  # earlier splits of this window may have left it alone
            return
        now = self._ports.clock.now()
        member = job.members[camera]
        model, weights = await self._export(job)
        await self._ports.trainer.add_model(model, weights)
        self._ports.emit(JobLeft(t=now, job=job.id, camera=camera, drop=drop))
        self.jobs.leave(camera)
        await self.assign_to_job(camera, Metadata(now, member.request.at), model, left=job.id)

    def send_assignment(self, job: Job) -> None:
        """Tells a group's cameras its (c_j, p_j) and n_j."""
        assignment = Assignment(job.id, c=job.c, p=min(1.0, job.p), members=len(job.members))
        for camera in job.cameras:
            if (session := self._sessions.get(camera)) is not None:
                session.assign(assignment)
        self._ports.emit(
            Assigned(t=self._ports.clock.now(), job=job.id, members=list(job.cameras), c=job.c, p=job.p)
        )

    async def deliver_student(self, job: Job, cameras: Sequence[CameraId]) -> None:
        """Offers the job's newest student to these cameras; each fetches the file if it lacks it."""
        job.newest, _ = await self._export(job)
        for camera in cameras:
            self._offer(job, camera)

    async def _export(self, job: Job) -> tuple[ModelHash, bytes]:
        """The job's student as it is now, kept where cameras can fetch it from."""
        model, weights = await self._ports.trainer.export(job.id)
        await asyncio.to_thread(self._models.put, weights)
        return model, weights

    def _offer(self, job: Job, camera: CameraId) -> None:
        session = self._sessions.get(camera)
        if session is None:  # the offer is repeated when the camera registers again
            return
        session.offer_student(job.id, job.newest)
        self._ports.emit(StudentSent(t=self._ports.clock.now(), camera=camera, job=job.id, model=job.newest))

    def _trouble(self, where: str, text: str) -> None:
        self._ports.emit(Trouble(t=self._ports.clock.now(), where=where, text=text))
