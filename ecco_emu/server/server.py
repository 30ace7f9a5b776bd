"""The edge server: accepts cameras, admits retraining requests, runs the retraining windows.

Everything that decides is pure and lives in ``control`` and ``policies``; this module carries the
decisions out: ``_accept`` and ``_serve`` keep a session per camera, ``_admit`` is Algorithm 2's joining
on arrival, ``RetrainingLoop`` (windows.py) is Algorithm 1 and the splitting at a window's end.
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


class EdgeServer:
    def __init__(
        self,
        scenario: schema.Scenario,
        policy: Policy,
        models: ModelStore,
        ports: ServerPorts,
    ) -> None:
        self.jobs = JobBook()
        self.gpus = asyncio.Lock()
        """Held by whoever uses the trainer: requests are weighed between micro-windows, not in them."""
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
            pass
        finally:
            if self._sessions.get(session.camera) is session:
                del self._sessions[session.camera]
            await peer.close()

    async def _deliver(self, session: CameraSession, message: MessageToServer) -> None:
        match message:
            case Register() as message:
                self._sessions[session.camera] = session
                job = self.jobs.of(session.camera)
                if job is not None:  # it came back after an outage and may have missed something
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
        if current is not None:  # it asked again before its assignment arrived
            self.send_assignment(current)
            return
        await self._ports.trainer.add_model(model, self._models.get(model))
        await self.intake.take(request.frames)
        await self.place(camera, Metadata(request.t, request.at), model)

    async def place(
        self, camera: CameraId, request: Metadata, model: ModelHash, *, left: JobId | None = None
    ) -> Job:
        """Puts a camera into the job whose model serves it best, or into a new one.

        ``left`` is the job it was just split from: ``model`` is that job's own, rounded to float16 for
        the file, so a gain over it would be noise.
        """
        gains = await self._gains(camera, request, model, left)
        chosen = grouping.choose(gains, self._scenario.grouping.min_gain)
        now = self._ports.clock.now()
        named_gains = {str(job): gain for job, gain in gains.items()}
        if chosen is not None and chosen in self.jobs:
            job = self.jobs[chosen]
            self.jobs.join(job, Member(camera, request))
            self._ports.emit(JobJoined(t=now, job=job.id, camera=camera, gains=named_gains))
            await self.deliver_student(job, [camera])  # later members start higher (paper, fig. 12)
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
        """Until gains are measured, a new job counts as one of equals and the others make room."""
        share = 1 / len(self.jobs)
        budget = self._scenario.trainer.gpus * self._scenario.windows.micro_per_window
        for job in self.jobs:
            job.p = share if job is newcomer else job.p * (1 - share)
            job.c = job.p * budget

    # -- what the retraining windows ask of it --

    async def split(self, camera: CameraId, drop: float) -> None:
        """Takes a member out of its group and treats it as a new request (Algorithm 2)."""
        job = self.jobs.of(camera)
        if job is None or len(job.members) == 1:  # the last member has nobody left to differ from
            return
        now = self._ports.clock.now()
        member = job.members[camera]
        model, weights = await self._export(job)
        await self._ports.trainer.add_model(model, weights)
        self._ports.emit(JobLeft(t=now, job=job.id, camera=camera, drop=drop))
        self.jobs.leave(camera)
        await self.place(camera, Metadata(now, member.request.at), model, left=job.id)

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
        if session is None:  # offered again when it has come back
            return
        session.offer_student(job.id, job.newest)
        self._ports.emit(StudentSent(t=self._ports.clock.now(), camera=camera, job=job.id, model=job.newest))

    def _trouble(self, where: str, text: str) -> None:
        self._ports.emit(Trouble(t=self._ports.clock.now(), where=where, text=text))
