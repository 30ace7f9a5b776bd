"""Joining, splitting and the micro-windows (Algorithms 1 and 2): the server in virtual time."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecco_emu.control.grouping import Metadata
from ecco_emu.core.events import JobCreated, JobJoined, JobLeft, MicroWindow, WindowEnded
from ecco_emu.core.ids import CameraId, ModelHash, model_hash
from ecco_emu.policies.registry import make_policy
from ecco_emu.server.models import ModelStore
from ecco_emu.server.ports import ServerPorts
from ecco_emu.server.server import EdgeServer
from ecco_emu.server.windows import RetrainingLoop
from tests.unit.emulation.test_topology import scenario
from tests.unit.server.fakes import EmptyTeacher, JumpingClock, Record, TableTrainer

START = model_hash(b"start")
CAM1, CAM2, CAM3 = CameraId("cam1"), CameraId("cam2"), CameraId("cam3")


class Bench:
    """A server with everything around it replaced."""

    def __init__(self, folder: Path, policy: str = "ecco") -> None:
        self.scenario = scenario(policy={"name": policy})
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

    async def ask(self, camera: CameraId, at: tuple[float, float], model: ModelHash = START) -> str:
        job = await self.server.assign_to_job(camera, Metadata(self.clock.now(), at), model)
        return job.id


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_the_first_request_founds_a_job_and_a_near_one_that_gains_joins_it(bench: Bench) -> None:
    first = await bench.ask(CAM1, (0.0, 0.0))
    bench.trainer.accuracy[first, CAM2] = 0.4  # the job's model is better than cam2's own 0.1
    assert await bench.ask(CAM2, (30.0, 0.0)) == first
    [joined] = bench.record.of(JobJoined)
    assert joined.gains == {first: pytest.approx(0.3)}


async def test_no_gain_or_too_far_away_founds_another_job(bench: Bench) -> None:
    first = await bench.ask(CAM1, (0.0, 0.0))
    bench.trainer.accuracy[first, CAM2] = 0.05  # worse than its own 0.1
    second = await bench.ask(CAM2, (30.0, 0.0))
    bench.trainer.accuracy[first, CAM3] = bench.trainer.accuracy[second, CAM3] = 0.9
    third = await bench.ask(CAM3, (500.0, 0.0))  # gains, but out of range
    assert len({first, second, third}) == 3


async def test_requests_of_one_drift_share_a_job_before_any_gain_shows(bench: Bench) -> None:
    first = await bench.ask(CAM1, (0.0, 0.0))
    assert await bench.ask(CAM2, (30.0, 0.0)) == first  # both models are as good as each other
    assert await bench.ask(CAM3, (500.0, 0.0)) != first


async def test_naive_never_groups(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "naive")
    first = await bench.ask(CAM1, (0.0, 0.0))
    bench.trainer.accuracy[first, CAM2] = 0.9
    assert await bench.ask(CAM2, (1.0, 0.0)) != first


async def test_shares_of_new_jobs_are_equal_until_measured_and_sum_to_one(bench: Bench) -> None:
    for number, camera in enumerate((CAM1, CAM2, CAM3)):
        await bench.ask(camera, (1000.0 * number, 0.0))
    shares = [job.p for job in bench.server.jobs]
    assert shares == pytest.approx([1 / 3] * 3)


async def test_every_micro_window_trains_one_job_and_the_better_gain_gets_more(bench: Bench) -> None:
    high = await bench.ask(CAM1, (0.0, 0.0))
    low = await bench.ask(CAM2, (1000.0, 0.0))
    bench.trainer.gain = {high: 0.05, low: 0.0}
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


async def test_a_member_that_the_model_no_longer_fits_is_split_off(bench: Bench) -> None:
    job = await bench.ask(CAM1, (0.0, 0.0))
    bench.trainer.accuracy[job, CAM2] = 0.4
    await bench.ask(CAM2, (30.0, 0.0))
    bench.server.jobs[bench.server.jobs.of(CAM2).id].members[CAM2].map = 0.9  # type: ignore[union-attr]
    await bench.loop._end_window(0)
    [left] = bench.record.of(JobLeft)
    assert (left.camera, left.job) == (CAM2, job)
    assert left.drop == pytest.approx(0.5)
    assert bench.server.jobs.of(CAM1) is not bench.server.jobs.of(CAM2)
    newest = bench.record.of(JobCreated)[-1]
    assert newest.camera == CAM2
    assert newest.model in bench.models  # it starts from the group's student


async def test_a_lone_member_is_never_split_off(bench: Bench) -> None:
    job = await bench.ask(CAM1, (0.0, 0.0))
    bench.server.jobs.of(CAM1).members[CAM1].map = 0.9  # type: ignore[union-attr]
    await bench.loop._end_window(0)
    assert bench.record.of(JobLeft) == []
    assert [each.id for each in bench.server.jobs] == [job]
