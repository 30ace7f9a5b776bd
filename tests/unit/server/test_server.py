"""The server in virtual time: joining, waiting, splitting, the life of jobs."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import numpy as np
import pytest

from ecco_emu.core.events import (
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
from ecco_emu.core.ids import CameraId, ModelHash, model_hash
from ecco_emu.core.messages import RetrainingRequest, Segment
from ecco_emu.video.encoder import SegmentEncoder
from ecco_emu.video.messages import to_message
from tests.unit.server.bench import CAM1, CAM2, CAM3, FAR, NEAR, START, Bench


def segment(camera: CameraId) -> Segment:
    """Two frames that decode."""
    image = np.full((64, 64, 3), 90, np.uint8)
    coded = SegmentEncoder(64, 64, 2.0).encode([image, image], 20_000)
    frames = [Frame(camera, index, index / 2, image) for index in (1, 2)]
    return to_message(coded, frames, 0, 2.0)


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


async def test_an_unchanged_student_is_not_offered_again(bench: Bench) -> None:
    job = await bench.group(CAM1, map=0.2)
    bench.server._cameras._runs(CAM1, (await bench.trainer.export(job.id))[0])
    await bench.end_window()
    assert bench.record.of(StudentSent) == []


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
    assert "(0.60 before, now 0.58)" in refused.reason
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
