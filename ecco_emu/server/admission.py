"""Algorithm 2, first half: a request joins a job, founds one, or waits until the answer is known."""

from __future__ import annotations

import asyncio

from ecco_emu.control import grouping
from ecco_emu.control.evidence import paired, two_sample
from ecco_emu.control.grouping import Metadata, Verdict, Weighed
from ecco_emu.core.errors import EccoError
from ecco_emu.core.events import RequestDeferred, RequestReceived, RequestRefused
from ecco_emu.core.ids import CameraId, JobId, ModelHash
from ecco_emu.core.messages import RetrainingRequest
from ecco_emu.policies.base import Policy
from ecco_emu.scenario import schema
from ecco_emu.server.cameras import ConnectedCameras
from ecco_emu.server.groups import Groups
from ecco_emu.server.intake import Intake
from ecco_emu.server.jobs import CameraRequest
from ecco_emu.server.measuring import Measuring
from ecco_emu.server.models import ModelStore
from ecco_emu.server.ports import ServerPorts

RETRY_S = 10.0
"""Emulated seconds after which a camera whose request was refused may ask again."""


class Admission:
    """Requests on arrival, and those that were deferred or split off. At most one of each camera waits."""

    def __init__(
        self,
        scenario: schema.Scenario,
        policy: Policy,
        groups: Groups,
        measuring: Measuring,
        intake: Intake,
        models: ModelStore,
        cameras: ConnectedCameras,
        ports: ServerPorts,
    ) -> None:
        limits = scenario.grouping
        self._limits = limits
        self._rule, self._split = limits.join_rule, limits.split_rule
        self._most_wait_s = scenario.windows.length
        self._policy = policy
        self._groups = groups
        self._measuring = measuring
        self._intake = intake
        self._models = models
        self._cameras = cameras
        self._ports = ports
        self._arrived: dict[CameraId, RetrainingRequest] = {}
        self._arrival = asyncio.Event()
        self.waiting: dict[CameraId, CameraRequest] = {}
        """Requests that were weighed without a decision."""

    def received(self, message: RetrainingRequest) -> None:
        """Notes a request; a newer one of the same camera replaces it, so a camera cannot fill the memory."""
        camera = CameraId(message.camera)
        self._ports.emit(RequestReceived(t=self._ports.clock.now(), camera=camera, model=message.model))
        self._arrived[camera] = message
        self._arrival.set()

    async def run(self, gpus: asyncio.Lock) -> None:
        """Admits requests as they come, while the GPUs do not train. Goes on until it is cancelled."""
        while True:
            await self._arrival.wait()
            self._arrival.clear()
            async with gpus:
                await self.admit_arrived()

    async def admit_arrived(self) -> None:
        """Admits the requests that are here now, in order of arrival. Callers hold the lock on the GPUs."""
        # not those that arrive meanwhile: a camera that asks without end must not keep the GPUs from training
        arrived, self._arrived = self._arrived, {}
        for camera, message in arrived.items():
            await self._admit(camera, message)
        self._groups.tell_changed()

    def students(self) -> set[ModelHash]:
        """The students of requests that wait to be decided, or to be looked at."""
        arrived = {ModelHash(message.model) for message in self._arrived.values()}
        return arrived | {request.model for request in self.waiting.values()}

    async def weigh_waiting(self) -> None:
        """Weighs the deferred requests again, the longest-waiting first."""
        for request in list(self.waiting.values()):
            await self._decide(request)
        self._groups.tell_changed()

    async def put(self, request: CameraRequest) -> None:
        """A camera that was split off its group asks anew (Algorithm 2, line 17)."""
        await self._ports.trainer.add_model(request.model, self._models.get(request.model))
        await self._decide(request)
        self._groups.tell_changed()

    async def _admit(self, camera: CameraId, message: RetrainingRequest) -> None:
        model = ModelHash(message.model)
        try:
            # the frames first: a request that fails on them must leave no student behind in the trainer
            await self._intake.take(message.frames)
            await self._ports.trainer.add_model(model, self._models.get(model))
        except EccoError as error:
            self._refuse(camera, str(error))
            return
        # the frames that it brought are its evidence, whatever a camera says of their age
        since = min(message.since, message.frames.t0)
        request = CameraRequest(camera, Metadata(message.t, message.at), model, since)
        if await self._stays(request):
            await self._forget(request)
            return
        # A member that asks again has drifted away from its group: a split and a new request.
        await self._groups.leave(camera, "asked again")
        before = self.waiting.get(camera)
        if before is not None:  # it dialled again meanwhile: its wait goes on
            await self._forget(before)
            request.first_weighed, request.deferred = before.first_weighed, before.deferred
        await self._decide(request)

    async def _stays(self, request: CameraRequest) -> bool:
        """Has a member's detector been mistaken? Its place in the group is then confirmed.

        A student that was delivered half trained is unsure of itself, and its confidence falls for many
        reasons. The group's model knows better: the frames since the supposed drift must support that it
        fell.
        """
        job = self._groups.jobs.of(request.camera)
        if job is None:
            return False
        before = job.members[request.camera].measured
        if before is None:  # it has just joined: there is nothing to compare with
            return False
        await self._measuring.hand_over()
        now = await self._measuring.of_members_request(job, request)
        if now is None or self._split.fell(two_sample(before, now, self._limits.scene_noise)):
            return False
        reason = (
            f"its new frames do not prove that the model of {job.id} fits it worse "
            f"({before.value:.2f} before, now {now.value:.2f})"
        )
        self._ports.emit(RequestRefused(t=self._ports.clock.now(), camera=request.camera, reason=reason))
        self._cameras.assign(job, [request.camera])
        return True

    async def _decide(self, request: CameraRequest) -> None:
        now = self._ports.clock.now()
        if request.first_weighed is None:
            request.first_weighed = now
        weighed = await self._weigh(request)
        may_wait = now - request.first_weighed < self._most_wait_s
        verdict, chosen = grouping.decide(weighed, self._rule, may_wait=may_wait)
        gains = {str(job): each.gain.value for job, each in weighed.items() if each.gain is not None}
        if verdict is Verdict.DEFER:
            self._defer(request, gains)
            return
        if chosen is not None:
            await self._groups.join(self._groups.jobs[chosen], request, gains)
        else:
            await self._groups.found(request, gains)
            await self._forget(request)
        self.waiting.pop(request.camera, None)

    async def _weigh(self, request: CameraRequest) -> dict[JobId, Weighed]:
        """gain_j = Acc(model_j, frames) - Acc(request.model, frames) for every candidate job."""
        if not self._policy.grouping:
            return {}
        near = grouping.candidates(
            request.metadata,
            {job.id: job.metadata() for job in self._groups.jobs if job.id != request.left},
            time_window_s=self._limits.time_window,
            range_m=self._limits.range,
        )
        if not near:
            return {}
        await self._measuring.hand_over()
        accuracy, own = await self._measuring.of_request(near, request)
        return {
            job: Weighed(
                None if own is None or job not in accuracy else paired(accuracy[job], own),
                self._groups.jobs[job].trained,
            )
            for job in near
        }

    def _defer(self, request: CameraRequest, gains: dict[str, float]) -> None:
        request.deferred += 1
        self.waiting[request.camera] = request
        self._ports.emit(
            RequestDeferred(
                t=self._ports.clock.now(), camera=request.camera, gains=gains, times=request.deferred
            )
        )

    def _refuse(self, camera: CameraId, reason: str) -> None:
        self._ports.emit(RequestRefused(t=self._ports.clock.now(), camera=camera, reason=reason))
        self._cameras.refuse(camera, reason, RETRY_S)

    async def _forget(self, request: CameraRequest) -> None:
        """The trainer need not keep the request's own student any longer."""
        await self._ports.trainer.remove_model(request.model)
