"""The retraining windows: every micro-window trains one job on all GPUs; a window's end delivers and splits.

The policy's allocator says which job is next (Algorithm 1, or a baseline's rule). This loop carries it out on
the emulated clock and reports the gain back. ``control.windows.WindowMachine`` keeps the place in the windows
and decides whether a micro-window that begins late is still used.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

from ecco_emu.control import grouping
from ecco_emu.control.allocator import Allocator
from ecco_emu.control.windows import Calendar, WindowMachine
from ecco_emu.core.events import GroupState, MicroWindow, WindowEnded
from ecco_emu.core.ids import CameraId, JobId
from ecco_emu.policies.base import Policy
from ecco_emu.scenario import schema
from ecco_emu.server.jobs import Job
from ecco_emu.server.ports import ServerPorts
from ecco_emu.server.server import EdgeServer

RESEND_P = 0.02
"""A change of p_j by less is not sent: it would move a camera's rate by less than congestion control's own
swing."""


class RetrainingLoop:
    """Runs ``windows.count`` retraining windows from emulated time 0, then ends."""

    def __init__(
        self, scenario: schema.Scenario, policy: Policy, server: EdgeServer, ports: ServerPorts
    ) -> None:
        windows = scenario.windows
        self._machine = WindowMachine(Calendar(windows.length, windows.micro, windows.count))
        self._images = round(scenario.trainer.gpus * scenario.trainer.gpu_speed * windows.micro)
        """One micro-window's budget: the images that all GPUs together train on in its time."""
        self._drop_threshold = scenario.grouping.drop_threshold
        self._known: dict[JobId, int] = {}
        self._policy = policy
        self._server = server
        self._ports = ports

    async def run(self) -> None:
        while self._machine.remaining_windows:
            await self._sleep_until_boundary()
            await self._run_window(self._machine.open())
        self._machine.finish()

    async def _run_window(self, window: int) -> None:
        self._known = {job.id: len(job.members) for job in self._server.jobs}
        for job in self._server.jobs:
            job.micro_windows = 0
        allocator = self._policy.new_window(self._known)
        while await self._reach_slot(allocator):
            async with self._server.gpus:
                await self._use_slot(allocator)
        await self._sleep_until_boundary()
        self._machine.close()
        async with self._server.gpus:
            await self._end_window(window)

    async def _reach_slot(self, allocator: Allocator) -> bool:
        """Waits for the next micro-window that can still be used; False when the window has none."""
        lost = self._machine.lose(self._ports.clock.now())
        if lost:
            allocator.skip(lost)
            self._ports.missed_deadline(f"{lost} micro-windows begun too late to use")
        if self._machine.upcoming() is None:
            return False
        await self._sleep_until_boundary()
        return True

    async def _use_slot(self, allocator: Allocator) -> None:
        self._follow_jobs(allocator)
        chosen = allocator.next_job()
        if chosen is None:  # no camera has asked yet, or all jobs ended: the GPUs idle for this micro-window
            allocator.skip()
            slot = self._machine.idle()
            self._ports.emit(
                MicroWindow(
                    t=slot.start_s, window=slot.window, index=slot.index, start=slot.start_s, job=None
                )
            )
            return
        slot = self._machine.train()
        job = self._server.jobs[chosen]
        await self._server.intake.hand_over()
        # measured anew, not taken from the last micro-window: frames that arrived since count too
        before = mean(await self._accuracies(job))
        trained = await self._ports.trainer.train(job.id, job.cameras, self._images)
        job.map = mean(await self._accuracies(job))
        job.micro_windows += 1
        allocator.record(job.id, before, job.map)
        now = self._ports.clock.now()
        end = self._machine.trained(now)
        if end.late:
            self._ports.missed_deadline(f"micro-window {slot.window}.{slot.index} of {job.id}")
        self._ports.emit(
            MicroWindow(
                t=now,
                window=slot.window,
                index=slot.index,
                start=slot.start_s,
                job=job.id,
                steps=trained.steps,
                images=trained.images,
                losses=trained.losses,
                map_before=before,
                map_after=job.map,
                train_wall_s=trained.wall_s,
                late=end.late,
            )
        )
        self._publish_estimate(allocator)

    async def _sleep_until_boundary(self) -> None:
        boundary = self._machine.next_deadline()
        assert boundary is not None
        await self._ports.clock.sleep_until(boundary)

    def _follow_jobs(self, allocator: Allocator) -> None:
        """Tells the allocator of jobs and members that came and went since the last micro-window."""
        sizes = {job.id: len(job.members) for job in self._server.jobs}
        for gone in self._known.keys() - sizes.keys():
            allocator.remove_job(gone)
        for job, size in sizes.items():
            if job not in self._known:
                allocator.add_job(job, size)
            elif size != self._known[job]:
                allocator.resize_job(job, size)
        self._known = sizes

    async def _accuracies(self, job: Job) -> dict[CameraId, float]:
        """The job's model on each member's newest frames; members without frames are left out."""
        measured = await self._ports.trainer.evaluate([job.id], job.cameras)
        return {camera: accuracy for (_, camera), accuracy in measured.items()}

    def _publish_estimate(self, allocator: Allocator) -> None:
        """Sends (c_j, p_j) when they have changed enough to matter to a camera."""
        if not allocator.initial_pass_complete:  # (c_j, p_j) exist after every job has trained once (line 15)
            return
        estimates = allocator.estimate()
        for job in self._server.jobs:
            estimate = estimates.get(job.id)
            if estimate is None or abs(estimate.p - job.p) < RESEND_P:
                continue
            job.c, job.p = estimate.c, estimate.p
            self._server.send_assignment(job)

    async def _end_window(self, window: int) -> None:
        """Delivers every group's student, then splits off members that its model no longer fits."""
        await self._server.intake.hand_over()
        ended = []
        splits: list[tuple[CameraId, float]] = []
        for job in self._server.jobs:
            current = await self._accuracies(job)
            previous = {camera: member.map for camera, member in job.members.items()}
            if len(job.members) > 1:  # a camera alone has no group to leave
                splits += grouping.members_to_split(previous, current, self._drop_threshold)
            for camera, accuracy in current.items():
                job.members[camera].map = accuracy
            job.map = mean(current)
            ended.append(group_state(job))
            await self._server.deliver_student(job, job.cameras)
        self._ports.emit(
            WindowEnded(
                t=self._ports.clock.now(),
                window=window,
                start=self._machine.calendar.window_start(window),
                groups=ended,
            )
        )
        # after all groups were measured: a camera that is split off may join a group whose turn is still to
        # come
        for camera, drop in splits:
            await self._server.split(camera, drop)


def mean(accuracies: Mapping[CameraId, float]) -> float | None:
    """A job's accuracy is the mean over its cameras; None before there is a frame to measure on."""
    return fmean(accuracies.values()) if accuracies else None


def group_state(job: Job) -> GroupState:
    return GroupState(
        id=job.id,
        members=list(job.cameras),
        micro_windows=job.micro_windows,
        p=job.p,
        c=job.c,
        map=job.map,
    )
