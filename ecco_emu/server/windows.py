"""The retraining windows: every micro-window trains one job on all GPUs, and a window's end regroups.

The policy's allocator says which job is next (Algorithm 1, or a baseline's rule). This loop carries it out on
the emulated clock and reports the gain back. ``control.windows.WindowMachine`` keeps the place in the windows
and decides whether a micro-window that begins late is still used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import fmean

from ecco_emu.control.allocator import Allocator
from ecco_emu.control.evidence import Estimate
from ecco_emu.control.windows import Calendar, Slot, WindowMachine
from ecco_emu.core.events import DeadlineMissed, MicroWindow
from ecco_emu.core.ids import CameraId, JobId
from ecco_emu.policies.base import Policy
from ecco_emu.scenario import schema
from ecco_emu.server.jobs import Job
from ecco_emu.server.ports import ServerPorts
from ecco_emu.server.server import EdgeServer
from ecco_emu.trainer.backend import NoSamplesError, TrainResult

RESEND_SHARE = 0.1
"""A relative change of p_j by less is not sent: a camera's rate moves by as much while congestion control
probes."""
LATE_START = 0.1
"""Part of a micro-window that must be left for it to be used. Little, because the measurement at a window's
end takes from the first micro-windows of the next, and is charged to them: the training that their budgets
still pay for fits into the time that is left."""
LATE_TOLERANCE = 0.05
"""Part of a micro-window by which its training may end late before that counts as a missed deadline. The next
one begins as much later, so that a host that is too slow by ever so little exceeds it after some of them."""
_NOTHING_TRAINED = TrainResult(steps=0, images=0, reference_images=0.0, losses=[], wall_s=0.0)


class RetrainingLoop:
    """Runs ``windows.count`` retraining windows from emulated time 0, then ends."""

    def __init__(
        self, scenario: schema.Scenario, policy: Policy, server: EdgeServer, ports: ServerPorts
    ) -> None:
        windows = scenario.windows
        self._machine = WindowMachine(
            Calendar(windows.length, windows.micro, windows.count),
            late_start=LATE_START,
            tolerance_s=LATE_TOLERANCE * windows.micro,
        )
        self._budget = scenario.micro_budget
        self._sizes: dict[JobId, int] = {}
        self._published: dict[JobId, int] | None = None
        self._policy = policy
        self._server = server
        self._ports = ports

    async def run(self) -> None:
        while self._machine.remaining_windows:
            await self._sleep_until_boundary()
            await self._run_window(self._machine.open())
        self._machine.finish()

    async def _run_window(self, window: int) -> None:
        for job in self._server.jobs:
            job.open_window()
        self._sizes = self._job_sizes()
        self._published = None
        allocator = self._policy.new_window(self._sizes)
        while await self._reach_slot(allocator):
            async with self._server.gpus:
                await self._use_slot(allocator)
        await self._sleep_until_boundary()
        self._machine.close()
        async with self._server.gpus:
            start = self._machine.calendar.window_start(window)
            await self._server.regrouping.end_window(window, start)

    async def _reach_slot(self, allocator: Allocator) -> bool:
        """Waits for the next micro-window that can still be used; False when the window has none."""
        # measuring at the last window's end may have taken longer than the micro-windows that pay for it
        due, now = self._machine.next_deadline(), self._ports.clock.now()
        lost = 0 if self._owed_whole else self._machine.lose(now)
        if lost:
            assert due is not None
            allocator.skip(lost)
            self._missed("the work before a micro-window, which was lost by it,", now, due)
        if self._machine.upcoming() is None:
            return False
        await self._sleep_until_boundary()
        return True

    @property
    def _owed_whole(self) -> bool:
        return self._server.measuring.takes_all(self._budget)

    async def _use_slot(self, allocator: Allocator) -> None:
        if self._owed_whole:
            self._spend_on_measuring(allocator)
            return
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
        else:
            await self._train(allocator, self._server.jobs[chosen], self._machine.train())
        # the job that these requests wait for may have trained just now
        await self._server.admission.weigh_waiting()
        self._follow_jobs(allocator)
        self._publish_estimate(allocator)

    def _spend_on_measuring(self, allocator: Allocator) -> None:
        """The upcoming micro-window trains no job: measuring, done already, took as much GPU time."""
        allocator.skip()
        slot = self._machine.idle()
        charge = self._server.measuring.charge(self._budget)
        self._ports.emit(
            MicroWindow(
                t=self._ports.clock.now(),
                window=slot.window,
                index=slot.index,
                start=slot.start_s,
                job=None,
                evaluate_wall_s=charge.evaluate_wall_s,
                label_wall_s=charge.label_wall_s,
                budget=self._budget,
                charged=charge.images,
            )
        )

    async def _train(self, allocator: Allocator, job: Job, slot: Slot) -> None:
        measuring = self._server.measuring
        await measuring.hand_over()
        # measured anew, not taken from the last micro-window: frames that arrived since count too
        before = await measuring.job(job)
        charge = measuring.charge(self._budget)
        try:
            trained = await self._ports.trainer.train(
                job.id, job.evidence(-math.inf), self._budget - charge.images
            )
        except NoSamplesError:  # the few frames that have arrived since the drift are all held out
            trained = _NOTHING_TRAINED
        after = await measuring.job(job)
        accuracy_before, accuracy_after = _common_means(before, after)
        allocator.record(job.id, accuracy_before, accuracy_after)
        _note(job, accuracy_before, accuracy_after)
        now = self._ports.clock.now()
        end = self._machine.trained(now)
        if end.late:
            self._missed(
                f"micro-window {slot.index + 1} of window {slot.window + 1}, {job.id}", now, slot.end_s
            )
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
                map_before=accuracy_before,
                map_after=accuracy_after,
                train_wall_s=trained.wall_s,
                evaluate_wall_s=charge.evaluate_wall_s,
                label_wall_s=charge.label_wall_s,
                budget=self._budget,
                charged=charge.images,
                late=end.late,
            )
        )

    def _missed(self, what: str, now: float, due: float) -> None:
        micro_s = self._machine.calendar.micro_s
        self._ports.missed_deadline(DeadlineMissed(t=now, text=what, late_s=now - due, allowed_s=micro_s))

    async def _sleep_until_boundary(self) -> None:
        boundary = self._machine.next_deadline()
        assert boundary is not None
        await self._ports.clock.sleep_until(boundary)

    def _job_sizes(self) -> dict[JobId, int]:
        return {job.id: len(job.members) for job in self._server.jobs}

    def _follow_jobs(self, allocator: Allocator) -> None:
        """Tells the allocator of jobs and members that came and went since the last time."""
        sizes = self._job_sizes()
        for gone in self._sizes.keys() - sizes.keys():
            allocator.remove_job(gone)
        for job, size in sizes.items():
            if job not in self._sizes:
                allocator.add_job(job, size)
            elif size != self._sizes[job]:
                allocator.resize_job(job, size)
        self._sizes = sizes

    def _publish_estimate(self, allocator: Allocator) -> None:
        """Sends (c_j, p_j) once a window, after the initial pass (line 15), and when groups have changed.

        Estimates move with every micro-window. Cameras that followed each move would never reach the rate
        that they are told, and would change how they sample every few seconds.
        """
        if not allocator.initial_pass_complete or self._published == self._sizes:
            return
        self._published = dict(self._sizes)
        estimates = allocator.estimate()
        changed = []
        for job in self._server.jobs:
            estimate = estimates.get(job.id)
            # relative, because among 22 groups an absolute change of 0.02 is nearly half of a share
            if estimate is None or abs(estimate.p - job.p) < RESEND_SHARE * job.p:
                continue
            job.c, job.p = estimate.c, estimate.p
            changed.append(job)
        self._server.groups.send_assignments(changed)


def _common_means(
    before: Mapping[CameraId, Estimate], after: Mapping[CameraId, Estimate]
) -> tuple[float | None, float | None]:
    """A job's accuracy before and after, each the mean over its cameras that could be measured both times."""
    common = before.keys() & after.keys()
    if not common:
        return None, None
    return fmean(before[camera].value for camera in common), fmean(after[camera].value for camera in common)


def _note(job: Job, before: float | None, after: float | None) -> None:
    job.micro_windows += 1
    job.trained += 1
    if before is not None and after is not None:
        job.map = after
        job.gains.append(after - before)
