"""The end of a retraining window: members are measured, groups split, jobs ended, students delivered."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

from ecco_emu.control import grouping
from ecco_emu.control.evidence import Estimate, change_point, paired
from ecco_emu.control.grouping import Metadata
from ecco_emu.control.lifecycle import JobProgress
from ecco_emu.core.events import GroupState, WindowEnded
from ecco_emu.core.ids import CameraId
from ecco_emu.policies.base import Policy
from ecco_emu.scenario import schema
from ecco_emu.server.admission import Admission
from ecco_emu.server.cameras import ConnectedCameras
from ecco_emu.server.groups import Groups
from ecco_emu.server.jobs import CameraRequest, Job, Member
from ecco_emu.server.measuring import Measuring
from ecco_emu.server.models import ModelStore
from ecco_emu.server.ports import ServerPorts


class Regrouping:
    """Algorithm 2, second half (lines 13 to 17), and the life of jobs. Callers hold the lock on the GPUs."""

    def __init__(
        self,
        scenario: schema.Scenario,
        policy: Policy,
        groups: Groups,
        admission: Admission,
        measuring: Measuring,
        models: ModelStore,
        cameras: ConnectedCameras,
        ports: ServerPorts,
    ) -> None:
        limits = scenario.grouping
        self._split, self._join = limits.split_rule, limits.join_rule
        self._scene_noise = limits.scene_noise
        self._gone_after_s = limits.gone_after
        self._policy = policy
        self._groups = groups
        self._admission = admission
        self._measuring = measuring
        self._models = models
        self._cameras = cameras
        self._ports = ports

    async def end_window(self, window: int, start: float) -> None:
        """All that follows the last micro-window of ``window``, which began at emulated ``start``."""
        await self._drop_lost_cameras()
        await self._measuring.hand_over()
        states: list[GroupState] = []
        asking: list[CameraRequest] = []
        for job in self._groups.jobs:
            measured = await self._measuring.at_window_end(job, start)
            job.map = _mean(measured)
            states.append(_state(job))
            await self._groups.export(job)
            asking += await self._part_with(job, measured, start)
            if job.id not in self._groups.jobs:  # all its members have left
                continue
            reason = self._policy.ends(_progress(job, measured))
            for camera in job.cameras:  # those that are released take the last student with them
                job.members[camera].measured = measured.get(camera)
                self._groups.offer(job, camera)
            if reason is not None:
                await self._groups.end(job, reason)
        self._ports.emit(WindowEnded(t=self._ports.clock.now(), window=window, start=start, groups=states))
        # after all groups were measured: a camera that left may join a group whose turn was still to come
        for request in asking:
            await self._admission.put(request)
        self._models.keep_only(self._groups.students_in_use() | self._admission.students())

    async def _drop_lost_cameras(self) -> None:
        for job in self._groups.jobs:
            for camera in job.cameras:
                if self._cameras.lost_for(camera) >= self._gone_after_s:
                    await self._groups.leave(camera, "gone")
                    await self._ports.trainer.forget_samples(camera)
                    self._cameras.release(camera, "the server had not heard of it for too long")

    async def _part_with(
        self, job: Job, measured: Mapping[CameraId, Estimate], start: float
    ) -> list[CameraRequest]:
        """Takes out the members that the group's model does not fit; returns their new requests."""
        before = {camera: member.measured for camera, member in job.members.items()}
        drops = grouping.drops(before, measured, self._scene_noise)
        fell = {camera: drop for camera, drop in drops.items() if self._split.fell(drop)}
        asking = []
        for camera, drop in sorted(fell.items(), key=lambda item: -item[1].value):
            member = job.members[camera]
            since = change_point(measured[camera].quality)
            asking.append(self._anew(job, member, start if since is None else since))
            await self._groups.leave(camera, "drop", drop.value)
        for camera in await self._unfit(job, measured):
            asking.append(self._anew(job, job.members[camera], job.members[camera].since, own=True))
            await self._groups.leave(camera, "no better")
        return asking

    async def _unfit(self, job: Job, measured: Mapping[CameraId, Estimate]) -> list[CameraId]:
        """Newcomers for whom the group's model is no better than the student that they came with."""
        unfit = []
        for camera in [c for c, member in job.members.items() if member.newcomer and c in measured]:
            if job.trained < self._join.trial:
                continue
            member = job.members[camera]
            models, own = await self._measuring.of_request([job.id], member.request)
            if own is None or job.id not in models:
                continue
            await self._ports.trainer.remove_model(member.request.model)
            member.newcomer = False
            if self._join.no_better(paired(models[job.id], own)):
                unfit.append(camera)
        return unfit

    def _anew(self, job: Job, member: Member, since: float, *, own: bool = False) -> CameraRequest:
        """The request of a member that leaves, with fresh time and place.

        It comes with the group's student, or with its ``own`` where the group's is no better.
        """
        model = member.request.model if own else job.newest
        now = self._ports.clock.now()
        return CameraRequest(
            member.camera, Metadata(now, member.request.metadata.at), model, since, left=job.id
        )


def _progress(job: Job, measured: Mapping[CameraId, Estimate]) -> JobProgress:
    members = {camera: measured.get(camera) for camera in job.members}
    return JobProgress(members, tuple(job.gains), job.trained)


def _mean(measured: Mapping[CameraId, Estimate]) -> float | None:
    """A job's accuracy is the mean over its cameras; None where none could be measured."""
    return fmean(each.value for each in measured.values()) if measured else None


def _state(job: Job) -> GroupState:
    return GroupState(
        id=job.id,
        members=list(job.cameras),
        micro_windows=job.micro_windows,
        p=job.p,
        c=job.c,
        map=job.map,
    )
