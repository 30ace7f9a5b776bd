"""The server in virtual time: joining, waiting, splitting, the life of jobs, micro-windows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from ecco_emu.control.grouping import Metadata
from ecco_emu.core.events import (
    Assigned,
    JobCreated,
    JobEnded,
    JobJoined,
    JobLeft,
    MicroWindow,
    RequestDeferred,
    RequestRefused,
    StudentSent,
    Trouble,
    WindowEnded,
)
from ecco_emu.core.frames import Frame
from ecco_emu.core.ids import CameraId, JobId, ModelHash, model_hash
from ecco_emu.core.messages import RetrainingRequest, Segment
from ecco_emu.policies.registry import make_policy
from ecco_emu.server.jobs import CameraRequest, Job
from ecco_emu.server.models import ModelStore
from ecco_emu.server.ports import ServerPorts
from ecco_emu.server.server import EdgeServer
from ecco_emu.server.windows import RetrainingLoop
from ecco_emu.video.encoder import SegmentEncoder
from ecco_emu.video.messages import to_message
from tests.unit.emulation.test_topology import scenario
from tests.unit.server.fakes import EmptyTeacher, JumpingClock, Record, TableTrainer

START = model_hash(b"start")
CAM1, CAM2, CAM3 = CameraId("cam1"), CameraId("cam2"), CameraId("cam3")
NEAR, FAR = (30.0, 0.0), (1000.0, 0.0)


def segment(camera: CameraId) -> Segment:
    """Two frames that decode."""
    image = np.full((64, 64, 3), 90, np.uint8)
    coded = SegmentEncoder(64, 64, 2.0).encode([image, image], 20_000)
    frames = [Frame(camera, index, index / 2, image) for index in (1, 2)]
    return to_message(coded, frames, 0, 2.0)


class Bench:
    """A server with everything around it replaced. No camera is connected."""

    def __init__(self, folder: Path, policy: str = "ecco", **changes: Any) -> None:
        self.scenario = scenario(policy={"name": policy}, **changes)
        self.clock = JumpingClock()
        self.trainer = TableTrainer(self.clock)
        self.record = Record()
        self.misses: list[str] = []
        self.models = ModelStore(folder)
        self.models.put(b"start")
        ports = ServerPorts(
            clock=self.clock,
            trainer=self.trainer,
            teacher=EmptyTeacher(),
            emit=self.record,
            received=lambda camera, size: None,
            missed_deadline=self.misses.append,
        )
        chosen = make_policy(self.scenario.policy.name, self.scenario.policy_setup)
        self.server = EdgeServer(self.scenario, chosen, self.models, ports)
        self.loop = RetrainingLoop(self.scenario, chosen, self.server, ports)

    async def ask(
        self,
        camera: CameraId,
        at: tuple[float, float],
        model: ModelHash = START,
        since: float | None = None,
    ) -> JobId | None:
        """A camera without a job asks. The job that it is in then; None while its request waits."""
        now = self.clock.now()
        drifted = now if since is None else since
        await self.server.admission.put(CameraRequest(camera, Metadata(now, at), model, drifted))
        job = self.server.jobs.of(camera)
        return None if job is None else job.id

    def job(self, camera: CameraId) -> Job:
        job = self.server.jobs.of(camera)
        assert job is not None
        return job

    async def group(self, *cameras: CameraId, map: float = 0.1) -> Job:
        """One job with these cameras, whose model has this accuracy on each of them."""
        for camera in cameras:
            job = self.server.jobs.of(cameras[0])
            if job is not None:
                self.trainer.accuracy[job.id, camera] = 0.5  # its own student has 0.1
            await self.ask(camera, NEAR)
        job = self.job(cameras[0])
        assert job.cameras == list(cameras)
        for camera in cameras:
            self.trainer.accuracy[job.id, camera] = map
        job.trained = 10
        return job

    async def arrive(self, message: RetrainingRequest) -> None:
        """A request comes from the network, and is decided on."""
        self.server.admission.received(message)
        await self.server.admission.admit_arrived()

    async def end_window(self, start: float = 0.0) -> None:
        await self.server.regrouping.end_window(0, start)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


# -- a request --


async def test_the_first_request_founds_a_job_and_a_near_one_that_gains_joins_it(bench: Bench) -> None:
    first = await bench.ask(CAM1, (0.0, 0.0))
    assert first is not None
    bench.trainer.accuracy[first, CAM2] = 0.4  # the job's model is better than cam2's own 0.1
    assert await bench.ask(CAM2, NEAR) == first
    [joined] = bench.record.of(JobJoined)
    assert joined.gains == {first: pytest.approx(0.3)}


async def test_too_far_away_founds_another_job_at_once(bench: Bench) -> None:
    first = await bench.ask(CAM1, (0.0, 0.0))
    assert first is not None
    bench.trainer.accuracy[first, CAM2] = 0.9
    assert await bench.ask(CAM2, FAR) not in (None, first)


async def test_no_gain_of_a_job_that_has_trained_founds_another(bench: Bench) -> None:
    job = await bench.group(CAM1)
    bench.trainer.accuracy[job.id, CAM2] = 0.12  # less than min_gain better than its own 0.1
    assert await bench.ask(CAM2, NEAR) not in (None, job.id)


async def test_requests_of_one_drift_wait_until_the_first_ones_job_has_trained(bench: Bench) -> None:
    first = await bench.ask(CAM1, (0.0, 0.0))
    assert first is not None
    assert await bench.ask(CAM2, NEAR) is None  # both models are as good as each other: 0 says nothing yet
    bench.trainer.gain = {(first, CAM1): 0.2}
    bench.trainer.accuracy[first, CAM2] = 0.3  # after the first micro-window it is better for both
    await bench.loop.run()
    [deferred] = bench.record.of(RequestDeferred)
    assert deferred.camera == CAM2
    assert bench.job(CAM2).id == first
    assert bench.record.of(JobJoined)[0].t <= 2.0


async def test_a_foreign_drift_waits_for_the_trial_and_founds_its_own_job(bench: Bench) -> None:
    fog = await bench.ask(CAM1, (0.0, 0.0))
    assert fog is not None
    bench.trainer.gain = {(fog, CAM1): 0.2, (fog, CAM2): 0.0}
    assert await bench.ask(CAM2, NEAR) is None
    await bench.loop.run()
    assert bench.job(CAM2).id != fog
    assert [event.times for event in bench.record.of(RequestDeferred)] == [1, 2, 3]
    assert sum(event.job == fog for event in bench.record.of(MicroWindow)[:3]) == 3


async def test_a_request_does_not_wait_longer_than_a_window(tmp_path: Path) -> None:
    bench = Bench(tmp_path, grouping={"trial": 1000})
    await bench.ask(CAM1, (0.0, 0.0))
    await bench.ask(CAM2, NEAR)
    await bench.loop.run()
    [founded] = [event for event in bench.record.of(JobCreated) if event.camera == CAM2]
    assert founded.t == pytest.approx(20.0, abs=2.1)


async def test_frames_without_objects_decide_nothing(bench: Bench) -> None:
    await bench.group(CAM1)
    bench.trainer.empty = {CAM2}
    assert await bench.ask(CAM2, NEAR) is None


async def test_naive_never_groups_and_never_waits(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "naive")
    first = await bench.ask(CAM1, (0.0, 0.0))
    assert first is not None
    bench.trainer.accuracy[first, CAM2] = 0.9
    assert await bench.ask(CAM2, (1.0, 0.0)) not in (None, first)


# -- evidence --


async def test_only_frames_since_the_drift_count(bench: Bench) -> None:
    bench.clock.spend(7.0)
    await bench.ask(CAM1, (0.0, 0.0), since=5.5)
    await bench.ask(CAM2, NEAR, since=6.5)
    assert {(each.camera, each.since) for call in bench.trainer.evaluated for each in call} == {(CAM2, 6.5)}
    bench.trainer.evaluated.clear()
    await bench.loop.run()
    since = {each.since for call in bench.trainer.evaluated for each in call if each.camera == CAM1}
    assert min(since) == 5.5


async def test_evidence_is_bounded_by_age(bench: Bench) -> None:
    await bench.ask(CAM1, (0.0, 0.0), since=0.0)
    bench.clock.spend(100.0)
    await bench.server.measuring.job(bench.job(CAM1))
    assert bench.trainer.evaluated[-1][0].since == pytest.approx(80.0)  # a window's length ago


# -- a window's end --


async def test_a_member_that_the_model_no_longer_fits_is_split_off(bench: Bench) -> None:
    job = await bench.group(CAM1, CAM2, map=0.6)
    await bench.end_window()
    bench.clock.spend(20.0)
    bench.trainer.accuracy[job.id, CAM2] = 0.1
    bench.trainer.quality[CAM2] = tuple((20.0 + t, 0.8 if t < 12 else 0.1) for t in range(20))
    await bench.end_window(20.0)
    [left] = bench.record.of(JobLeft)
    assert (left.camera, left.job, left.reason) == (CAM2, job.id, "drop")
    assert left.drop == pytest.approx(0.5)
    assert bench.job(CAM1) is job
    newest = bench.record.of(JobCreated)[-1]
    assert newest.camera == CAM2
    assert newest.model in bench.models  # it starts from the group's student
    member = bench.job(CAM2).members[CAM2]
    assert member.since == 32.0  # when its accuracy fell, not when the window began
    assert member.request.metadata.t == bench.clock.now()


async def test_a_drop_that_the_frames_do_not_support_splits_nothing(bench: Bench) -> None:
    job = await bench.group(CAM1, CAM2, map=0.6)
    await bench.end_window()
    bench.trainer.spread[CAM2] = 0.3
    bench.trainer.accuracy[job.id, CAM2] = 0.5
    await bench.end_window()
    assert bench.record.of(JobLeft) == []


async def test_a_scene_without_objects_is_unmeasured_and_splits_nothing(bench: Bench) -> None:
    await bench.group(CAM1, CAM2, map=0.6)
    await bench.end_window()
    bench.trainer.empty = {CAM2}
    await bench.end_window()
    assert bench.record.of(JobLeft) == []
    assert bench.record.of(WindowEnded)[-1].groups[0].map == pytest.approx(0.6)


async def test_a_lone_member_that_falls_asks_anew(bench: Bench) -> None:
    job = await bench.group(CAM1, map=0.6)
    await bench.end_window()
    bench.trainer.accuracy[job.id, CAM1] = 0.0
    await bench.end_window()
    assert [(left.camera, left.reason) for left in bench.record.of(JobLeft)] == [(CAM1, "drop")]
    assert [ended.job for ended in bench.record.of(JobEnded)] == [job.id]
    assert bench.job(CAM1).id != job.id
    assert ("drop", job.id) in bench.trainer.calls


async def test_a_group_that_drifts_together_leaves_together_and_forms_again(bench: Bench) -> None:
    old = await bench.group(CAM1, CAM2, CAM3, map=0.6)
    await bench.end_window()
    for camera in (CAM1, CAM2, CAM3):
        bench.trainer.accuracy[old.id, camera] = 0.05
    await bench.end_window()
    assert len(bench.record.of(JobLeft)) == 3
    new = bench.job(CAM1)
    assert new.id != old.id
    assert set(bench.server.admission.waiting) == {CAM2, CAM3}
    for camera in (CAM2, CAM3):
        bench.trainer.accuracy[new.id, camera] = 0.3
    await bench.server.admission.weigh_waiting()
    assert new.cameras == [CAM1, CAM2, CAM3]


async def test_a_newcomer_for_whom_the_groups_model_is_no_better_leaves(bench: Bench) -> None:
    job = await bench.group(CAM1, CAM2, map=0.4)
    bench.trainer.accuracy[job.id, CAM2] = 0.11  # its own student has 0.1
    await bench.end_window()
    [left] = bench.record.of(JobLeft)
    assert (left.camera, left.reason) == (CAM2, "no better")
    assert bench.record.of(JobCreated)[-1].model == START  # its own student, not the group's
    assert bench.trainer.models[START] >= 0


async def test_a_job_whose_members_have_recovered_and_gain_no_more_ends(bench: Bench) -> None:
    job = await bench.group(CAM1, CAM2, map=0.5)
    job.gains = [0.01, 0.0]
    await bench.end_window()
    assert [(ended.job, ended.reason) for ended in bench.record.of(JobEnded)] == [(job.id, "recovered")]
    assert [left.reason for left in bench.record.of(JobLeft)] == ["released", "released"]
    assert list(bench.server.jobs) == []
    assert {call for call in bench.trainer.calls if call[0] == "forget"} == {
        ("forget", CAM1),
        ("forget", CAM2),
    }


@pytest.mark.parametrize(("map", "gains"), [(0.5, [0.1, 0.05]), (0.3, [0.0]), (0.5, [])])
async def test_a_job_goes_on_while_it_gains_or_has_not_recovered(
    bench: Bench, map: float, gains: list[float]
) -> None:
    job = await bench.group(CAM1, CAM2, map=map)
    job.gains = gains
    await bench.end_window()
    assert list(bench.server.jobs) == [job]


async def test_files_of_students_that_nobody_needs_are_deleted(bench: Bench, tmp_path: Path) -> None:
    await bench.group(CAM1, map=0.2)
    for _ in range(4):
        bench.trainer.trained[bench.job(CAM1).id] = bench.trainer.trained.get(bench.job(CAM1).id, 0) + 1
        await bench.end_window()
    assert len(os.listdir(tmp_path)) == 2  # the newest, and the one that it came with
    bench.models.put(b"pinned", pinned=True)
    await bench.end_window()
    assert model_hash(b"pinned") in bench.models


async def test_the_student_of_a_request_that_has_just_arrived_is_kept(bench: Bench) -> None:
    await bench.group(CAM1, map=0.2)
    uploaded = bench.models.put(b"uploaded")
    bench.server.admission.received(request_message(CAM2, uploaded))
    await bench.end_window()
    assert uploaded in bench.models
    await bench.server.admission.admit_arrived()
    assert bench.server.jobs.of(CAM2) is not None or CAM2 in bench.server.admission.waiting


async def test_a_student_that_diverged_is_rolled_back(bench: Bench) -> None:
    job = await bench.group(CAM1, map=0.2)
    await bench.end_window()
    good = job.newest
    bench.trainer.diverged.add(job.id)
    await bench.end_window()
    assert job.newest == good
    assert bench.trainer.calls[-1] == ("create", job.id)
    assert "last good student" in bench.record.of(Trouble)[0].text


# -- micro-windows and shares --


async def test_shares_of_new_jobs_are_equal_until_measured_and_sum_to_one(bench: Bench) -> None:
    for number, camera in enumerate((CAM1, CAM2, CAM3)):
        await bench.ask(camera, (1000.0 * number, 0.0))
    shares = [job.p for job in bench.server.jobs]
    assert shares == pytest.approx([1 / 3] * 3)


async def test_every_micro_window_trains_one_job_and_the_better_gain_gets_more(bench: Bench) -> None:
    high = await bench.ask(CAM1, (0.0, 0.0))
    low = await bench.ask(CAM2, FAR)
    assert high is not None
    assert low is not None
    bench.trainer.gain = {high: 0.03, low: 0.0}
    await bench.loop.run()
    micro = bench.record.of(MicroWindow)
    assert len(micro) == 20  # two windows of ten
    assert [event.job for event in micro].count(high) > [event.job for event in micro].count(low) >= 2
    assert all(event.map_after is not None and event.losses for event in micro)
    assert bench.misses == []
    windows = bench.record.of(WindowEnded)
    assert [window.start for window in windows] == [0.0, 20.0]
    assert sum(group.micro_windows for group in windows[1].groups) == 10
    assert sum(group.p for group in windows[1].groups) == pytest.approx(1.0)


async def test_estimates_are_sent_once_a_window_after_the_initial_pass(bench: Bench) -> None:
    high = await bench.ask(CAM1, (0.0, 0.0))
    low = await bench.ask(CAM2, FAR)
    assert high is not None
    assert low is not None
    bench.trainer.gain = {high: 0.03, low: 0.01}
    bench.record.events.clear()
    await bench.loop.run()
    times = [event.t for event in bench.record.of(Assigned)]
    assert len(times) <= 4  # at most both jobs once in each of two windows
    assert all(3.0 <= t <= 4.0 for t in times[:2])  # both have had a micro-window of 2 s by then


async def test_measuring_is_charged_to_the_micro_windows_budget(bench: Bench) -> None:
    await bench.ask(CAM1, (0.0, 0.0))
    await bench.loop.run()
    [first, second, *_] = bench.record.of(MicroWindow)
    assert first.budget == 2 * 40 * 2.0  # GPUs x images a second x micro-window
    assert first.charged == pytest.approx(8 * 0.4)  # eval_frames of the scenario, measured before
    assert second.charged == pytest.approx(2 * 8 * 0.4)  # and after
    assert second.images == int(second.budget - second.charged)


async def test_an_unchanged_student_is_not_offered_again(bench: Bench) -> None:
    job = await bench.group(CAM1, map=0.2)
    bench.server._cameras._runs(CAM1, (await bench.trainer.export(job.id))[0])
    await bench.end_window()
    assert bench.record.of(StudentSent) == []


async def test_without_jobs_micro_windows_pass_idle(bench: Bench) -> None:
    await bench.loop.run()
    assert [event.job for event in bench.record.of(MicroWindow)] == [None] * 20
    assert bench.clock.now() == 40.0


async def test_training_that_overruns_is_a_missed_deadline_and_costs_the_next_slot(bench: Bench) -> None:
    await bench.ask(CAM1, (0.0, 0.0))
    bench.trainer.takes_s = 3.5  # of a micro-window of 2 s
    await bench.loop.run()
    micro = bench.record.of(MicroWindow)
    assert 0 < len(micro) < 20
    assert all(event.late for event in micro)
    assert len(bench.misses) >= len(micro)


# -- requests from the network --


def request_message(camera: CameraId, model: ModelHash = START, since: float = 0.0) -> RetrainingRequest:
    return RetrainingRequest(camera, 1.0, NEAR, model, since, segment(camera))


async def test_a_member_that_asks_again_is_split_off_and_asks_with_fresh_time_and_place(bench: Bench) -> None:
    old = await bench.group(CAM1, CAM2, map=0.6)
    bench.clock.spend(50.0)
    bench.trainer.accuracy[old.id, CAM2] = 0.05
    await bench.arrive(request_message(CAM2))
    [left] = bench.record.of(JobLeft)
    assert (left.camera, left.job, left.reason) == (CAM2, old.id, "asked again")
    assert bench.job(CAM2) is not old
    assert bench.job(CAM1) is old


async def test_a_member_whose_group_model_still_fits_its_new_frames_stays(bench: Bench) -> None:
    old = await bench.group(CAM1, CAM2, map=0.6)
    await bench.end_window()
    bench.trainer.accuracy[old.id, CAM2] = 0.58
    await bench.arrive(request_message(CAM2))
    assert bench.job(CAM2) is old
    assert bench.record.of(JobLeft) == []
    [refused] = bench.record.of(RequestRefused)
    assert "as well as before (0.60, now 0.58)" in refused.reason
    bench.trainer.accuracy[old.id, CAM2] = 0.1
    await bench.arrive(request_message(CAM2))
    assert bench.job(CAM2) is not old


async def test_a_request_that_cannot_be_admitted_is_refused_in_words(bench: Bench) -> None:
    bench.trainer.refuses = "not a student"
    await bench.arrive(request_message(CAM1))
    [refused] = bench.record.of(RequestRefused)
    assert refused.camera == CAM1
    assert "not a student" in refused.reason
    assert list(bench.server.jobs) == []


async def test_a_camera_that_floods_the_server_has_one_request_waiting(bench: Bench) -> None:
    for _ in range(1000):
        bench.server.admission.received(request_message(CAM1))
    assert len(bench.server.admission._arrived) == 1


async def test_a_request_whose_frames_do_not_decode_leaves_no_student_behind(bench: Bench) -> None:
    broken = msgspec.structs.replace(segment(CAM1), data=b"no video")
    await bench.arrive(RetrainingRequest(CAM1, 1.0, NEAR, START, 0.0, broken))
    assert [refused.camera for refused in bench.record.of(RequestRefused)] == [CAM1]
    assert bench.trainer.models[START] == 0
