"""``dilation: auto``: the model of a run's work, and the rehearsal that feeds it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from ecco_emu.core.frames import Frame, Image
from ecco_emu.core.ids import CameraId, ModelHash, model_hash
from ecco_emu.emulation import processes
from ecco_emu.emulation.calibration import (
    ALONE_PER_S,
    COMMAND_PACKET,
    HEADROOM,
    RELAY_PACKET,
    REMEASURED,
    Expected,
    HostSpeed,
    background_duty,
    background_loads,
    choose_dilation,
    demands,
    drifting,
    least_modelled_dilation,
    micro_window_s,
    trainer_share,
)
from ecco_emu.emulation.manifest import manifest
from ecco_emu.emulation.rehearsal import PICTURES, rehearse, take_pictures
from ecco_emu.emulation.workers import start_workers
from ecco_emu.host.workers import WorkerProcess
from ecco_emu.scenario import schema
from ecco_emu.scenario.loading import from_mapping
from ecco_emu.tasks.detection import Detections, Labels
from ecco_emu.trainer.backend import DeviceInfo, LabelledImage, Speed
from ecco_emu.world.source import ConditionChange

STUDENT = b"a student"
ENOUGH = 12
SPEED = HostSpeed(
    train_images_per_s=10.0,
    infer_images_per_s=25.0,
    edge_images_per_s=20.0,
    cores=2,
    trainer_threads=1,
    micro_s=1.0,
    export_s=0.25,
    render_s=0.01,
    frame_s=0.002,
    codec_s=0.01,
    metric_s=0.02,
)
EXPECTED = Expected(drifting=2, student_bytes=1_200_000)
FAST = HostSpeed(1e6, 1e6, 1e6, 64, 63, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def scenario(**changes: object) -> schema.Scenario:
    return from_mapping(
        {
            "version": 1,
            "name": "two",
            "windows": {"count": 2, "length": "20s", "micro": "2s"},
            "trainer": {
                "gpus": 2,
                "gpu_speed": 20,
                "batch": 4,
                "eval_frames": 20,
                "window_frames": 32,
                "evaluation_cost": 0.25,
            },
            "network": {"bottleneck": {"rate": "960kbit"}},
            "world": {
                "town": {
                    "districts": [
                        {
                            "name": "all",
                            "center": ["0m", "0m"],
                            "radius": "100m",
                            "weather": [{"at": "0s", "is": "day"}],
                        }
                    ]
                }
            },
            "drift": {"infer_fps": 4},
            "cameras": [
                {"id": f"cam{number}", "at": ["0m", "0m"], "source": {"look_at": ["9m", "0m"], "fps": 5}}
                for number in (1, 2)
            ],
            **changes,
        },
        files=False,
    )


# -- the model --


def test_a_micro_window_trains_on_what_is_left_of_its_budget() -> None:
    # 2 GPUs * 20 images/s * 2 s = 80 reference images. 7 of them are owed, 73 are 9 steps of 8 images:
    # 7.2 s of training, 1 s besides, 28 frames at 25 a second.
    assert micro_window_s(scenario(), SPEED, 28.0, 7.0) == pytest.approx(7.2 + 1.0 + 28 / 25)


def test_measuring_takes_nine_tenths_of_a_budget_at_most_and_a_step_is_always_taken() -> None:
    assert micro_window_s(scenario(), SPEED, 25.0, 79.0) == pytest.approx(0.8 + 1.0 + 1.0)
    small = scenario(trainer={"gpus": 2, "gpu_speed": 1, "batch": 4, "evaluation_cost": 1.0})
    assert micro_window_s(small, SPEED, 4.0, 4.0) == pytest.approx(0.8 + 1.0 + 0.16)


def test_a_windows_beginning_has_the_measuring_of_the_last_ones_end() -> None:
    begin, usual = demands(scenario(), SPEED, EXPECTED)
    frames = REMEASURED * 20
    assert (begin.micro_windows, usual.micro_windows) == (1, 1)
    assert usual.work_s == micro_window_s(scenario(), SPEED, frames, 0.25 * frames)
    # both cameras' 32 frames, and the export of two students
    owed = 0.25 * (frames + 64)
    assert begin.work_s == pytest.approx(micro_window_s(scenario(), SPEED, frames, owed) + 64 / 25 + 2 * 0.25)


def test_measuring_that_takes_whole_budgets_has_their_time_too() -> None:
    dear = scenario(
        trainer={"gpus": 1, "gpu_speed": 20, "batch": 4, "evaluation_cost": 1.5, "eval_frames": 4}
    )
    begin, _ = demands(dear, SPEED, EXPECTED)
    # 64 frames cost 96 images, two budgets of 40 and 16 of a third, which has 8.4 of its own to pay
    assert begin.micro_windows == 3
    own_s = micro_window_s(dear, SPEED, REMEASURED * 4, 16 + 1.5 * REMEASURED * 4)
    assert begin.work_s == pytest.approx(own_s + 64 / 25 + 2 * 0.25)


def test_students_are_fetched_from_a_windows_beginning_on() -> None:
    # 2 * 1.2 MB are 19.2 Mbit: more than two seconds at 0.8 of 10 Mbit/s, which both demands may see
    slow = scenario(network={"downlink": {"rate": "10mbit"}})
    unlimited = scenario(network={"downlink": {"rate": None}})
    for made, rates in ((slow, [8e6, 8e6]), (unlimited, [9.6e6, 9.6e6])):
        found = [each.packets_per_s * 9600 for each in demands(made, SPEED, EXPECTED)]
        assert found == pytest.approx(rates)


def test_the_rest_of_a_run_is_frames_and_packets() -> None:
    # Each camera: 4 frames a second at 20 a second, 5 frames a second of 10 + 10 ms, a metric of 20 ms every
    # 2 s; 960 kbit/s are 100 packets, and 50 more are students'
    loads = background_loads(scenario(), SPEED, 2.0, 50)
    assert loads == pytest.approx(
        {
            "inference": 0.4,
            "world": 0.1,
            "codec": 0.1,
            "loop": 2 * 5 * 0.002 + 0.02 + 150 * COMMAND_PACKET.alone_s,
            "relay": 150 * RELAY_PACKET.alone_s,
        }
    )
    large = [
        {"id": "cam1", "at": ["0m", "0m"], "source": {"look_at": ["9m", "0m"], "fps": 5, "size": [640, 384]}}
    ]
    assert background_loads(scenario(cameras=large), SPEED, 2.0)["codec"] == pytest.approx(0.2)


def test_packets_of_a_stream_cost_less_than_those_that_come_alone() -> None:
    assert COMMAND_PACKET.at(0.0) == COMMAND_PACKET.at(300.0) == COMMAND_PACKET.alone_s
    half = (COMMAND_PACKET.alone_s + COMMAND_PACKET.stream_s) / 2
    assert COMMAND_PACKET.at(2 * ALONE_PER_S) == pytest.approx(half)


def test_the_trainer_waits_for_the_others_when_they_want_more_cores_than_it_leaves() -> None:
    assert trainer_share([0.5], cores=2, threads=1) == 1.0  # it has a core of its own
    assert trainer_share([0.5, 0.4], cores=2, threads=1) == pytest.approx(0.8)  # both at once: 0.2
    assert trainer_share([1.0, 1.0], cores=2, threads=1) == 0.0
    assert trainer_share([0.3], cores=1, threads=1) == pytest.approx(0.7)
    # three at once 0.125 with one core too few; two threads share the loss
    assert trainer_share([0.5, 0.5, 0.5], cores=4, threads=2) == pytest.approx(1 - 0.125 / 2)


def test_the_chosen_dilation_is_the_least_that_holds_with_some_room() -> None:
    chosen = choose_dilation(scenario(), SPEED, EXPECTED)
    for dilation, enough in ((chosen, True), (chosen - 0.1, False)):
        room = dilation / HEADROOM
        needs = []
        for demand in demands(scenario(), SPEED, EXPECTED):
            loads = background_loads(scenario(), SPEED, room, demand.packets_per_s).values()
            share = trainer_share([load / room for load in loads], cores=2, threads=1)
            needs.append(demand.work_s <= demand.micro_windows * 2 * room * share)
        assert all(needs) == enough
    assert choose_dilation(scenario(), FAST, EXPECTED) == 1.0


def test_a_process_that_lags_behind_sets_the_pace() -> None:
    slow = replace(SPEED, edge_images_per_s=0.5)  # 8 frames a second take 16 s
    assert choose_dilation(scenario(), slow, EXPECTED) >= 16 * HEADROOM


def test_on_one_core_training_and_the_rest_add_up() -> None:
    alone = choose_dilation(scenario(), replace(SPEED, cores=1), EXPECTED)
    begin = next(iter(demands(scenario(), SPEED, EXPECTED)))
    rest = sum(background_loads(scenario(), SPEED, alone, begin.packets_per_s).values())
    assert alone == pytest.approx((begin.work_s / 2 + rest) * HEADROOM, abs=0.15)


def test_beside_training_a_core_is_busy_for_the_rest_of_the_work() -> None:
    duty = background_duty(scenario(), SPEED, EXPECTED)
    dilation = choose_dilation(scenario(), SPEED, EXPECTED) / HEADROOM
    rest = sum(background_loads(scenario(), SPEED, dilation).values())
    assert duty == pytest.approx(rest / dilation, rel=0.02)
    # packets alone; a second has to pass, whatever the host's speed
    assert background_duty(scenario(), FAST, EXPECTED) < 0.1


# -- the rehearsal --


@dataclass
class FakeWorld:
    """Every camera has fog from 16 s on; frames are grey."""

    asked: list[tuple[str, int]] = field(default_factory=list)
    changes: Sequence[ConditionChange] = (
        ConditionChange(0.0, "all", "day"),
        ConditionChange(16.0, "all", "fog"),
    )
    steady: set[str] = field(default_factory=set)

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def frame(self, camera: CameraId, index: int) -> Frame:
        self.asked.append((camera, index))
        return Frame(camera, index, index / 5, np.full((192, 320, 3), 90, np.uint8))

    def labels(self, camera: CameraId, index: int) -> Labels:
        return Labels(np.array([[9, 9, 40, 40]], np.float32), np.array([0]))

    def condition_changes(self, camera: CameraId) -> Sequence[ConditionChange]:
        return self.changes[:1] if camera in self.steady else self.changes


@dataclass
class FakeTrainer:
    """Measures until the cameras' inference has looked at enough frames meanwhile."""

    inference: FakeInference
    calibrated: list[tuple[ModelHash, int]] = field(default_factory=list)
    models: list[ModelHash] = field(default_factory=list)

    async def start(self) -> DeviceInfo:
        return DeviceInfo(device="cpu", gpus=2, virtual=True, precision="float32", threads=1)

    async def add_model(self, model: ModelHash, weights: bytes) -> None:
        self.models.append(model)

    async def calibrate(self, model: ModelHash, pictures: Sequence[LabelledImage]) -> Speed:
        self.calibrated.append((model, len(pictures)))
        await self.inference.enough.wait()
        return Speed(8.0, 20.0, micro_s=0.5, export_s=0.1)

    async def close(self) -> None:
        pass


@dataclass
class FakeInference:
    models: list[ModelHash] = field(default_factory=list)
    seen: list[ModelHash] = field(default_factory=list)
    enough: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> None:
        pass

    async def add_model(self, model: ModelHash, weights: bytes) -> None:
        self.models.append(model)

    async def detect(
        self, model: ModelHash, images: Sequence[Image], *, size: tuple[int, int] | None
    ) -> list[Detections]:
        self.seen += [model] * len(images)
        if len(self.seen) >= ENOUGH:
            self.enough.set()
        await asyncio.sleep(0)
        return [Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, int))]

    async def close(self) -> None:
        pass


async def test_pictures_are_of_every_camera_in_every_weather_that_the_run_has() -> None:
    world = FakeWorld()
    pictures = await take_pictures(scenario(), world)
    # the middles of 0 to 16 s and of 16 to 40 s, at 5 frames a second
    assert [(each.frame.camera, each.frame.index) for each in pictures] == [
        ("cam1", 40),
        ("cam2", 40),
        ("cam1", 140),
        ("cam2", 140),
    ]
    many = [
        {"id": f"c{number}", "at": ["0m", "0m"], "source": {"look_at": ["9m", "0m"]}} for number in range(22)
    ]
    assert len(await take_pictures(scenario(cameras=many), world)) == PICTURES


async def test_training_is_measured_while_the_cameras_side_works_on_other_frames() -> None:
    world, inference = FakeWorld(), FakeInference()
    trainer = FakeTrainer(inference)
    pictures = await take_pictures(scenario(), world)
    first = len(world.asked)
    speed = await rehearse(scenario(), pictures, ModelHash("m"), trainer, inference, world, 1, EXPECTED)
    assert trainer.calibrated == [("m", 4)]
    assert len(inference.seen) >= ENOUGH
    frames = world.asked[first:]
    assert len(set(frames)) == len(frames)  # none is rendered already, or rendering would cost nothing
    assert not {(each.frame.camera, each.frame.index) for each in pictures} & set(frames)
    assert (speed.train_images_per_s, speed.infer_images_per_s, speed.trainer_threads) == (8.0, 20.0, 1)
    assert min(speed.render_s, speed.frame_s, speed.codec_s, speed.metric_s, 1 / speed.edge_images_per_s) > 0


def test_where_all_is_modelled_packets_decide() -> None:
    """``backend: curve``: the loop may be busy for half of the time, while students are fetched."""
    students = Expected(drifting=2, student_bytes=5_000_000)
    slow = {"downlink": {"rate": "1mbit"}}
    assert least_modelled_dilation(scenario(network=slow), students) == 1.0

    def many(cameras: int, **network: object) -> schema.Scenario:
        listed = [
            {"id": f"c{number}", "at": ["0m", "0m"], "source": {"look_at": ["9m", "0m"], "fps": 5}}
            for number in range(cameras)
        ]
        return scenario(cameras=listed, network=network)

    # as many as a loop can watch in half of its time: each frame and each measuring costs some of it
    watched = [least_modelled_dilation(many(count), students) for count in (20, 100, 200)]
    assert watched == sorted(watched)
    assert watched[-1] > 1.5
    # video and students are packets, which cost more
    fast = {"bottleneck": {"rate": "100mbit"}, "downlink": {"rate": "200mbit"}}
    assert least_modelled_dilation(many(20, **fast), students) > watched[0]
    assert least_modelled_dilation(many(20, **slow), students) < watched[0]
    assert least_modelled_dilation(many(2, downlink={"rate": None}), students) >= 1.0


def test_cameras_drift_whose_condition_changes_in_the_run() -> None:
    assert drifting(scenario(), FakeWorld()) == 2
    assert drifting(scenario(), FakeWorld(steady={"cam2"})) == 1
    after_the_run = (ConditionChange(0.0, "all", "day"), ConditionChange(41.0, "all", "fog"))
    assert drifting(scenario(), FakeWorld(changes=after_the_run)) == 2  # none, so each might be the one


@pytest.mark.parametrize("given", [None, 8.0])
async def test_with_a_given_dilation_nothing_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: float | None
) -> None:
    world, inference = FakeWorld(), FakeInference()
    trainer = FakeTrainer(inference)
    monkeypatch.setattr(processes, "TrainingClient", lambda *_, **__: trainer)
    monkeypatch.setattr(processes, "InferenceClient", lambda **_: inference)
    monkeypatch.setattr(processes, "open_world", lambda *_: world)
    asked = scenario() if given is None else scenario(clock={"dilation": given})
    async with AsyncExitStack() as stack:
        made = await start_workers(asked, STUDENT, stack, lambda _: None, WorkerProcess)
    # both know the student in any case: a run's first frame must not wait for it to be built
    assert trainer.models == inference.models == [model_hash(STUDENT)]
    record = manifest(
        asked,
        source="python",
        engine="relay",
        dilation=made.dilation,
        device=made.device,
        student=model_hash(STUDENT),
        speed=made.speed,
        caveats=["a caveat of this host"],
    )
    assert record["host"]["caveats"] == ["a caveat of this host"]
    json.dumps(record)
    if given is None:
        assert trainer.calibrated
        assert record["dilation_is"] == "measured"
        assert record["measured_speeds"]["train_images_per_s"] == 8.0
    else:
        assert (made.dilation, trainer.calibrated, world.asked, inference.seen) == (8.0, [], [], [])
        assert (record["dilation_is"], record["measured_speeds"]) == ("given", None)


def test_what_the_command_imports_before_it_starts_the_processes_is_light() -> None:
    heavy = ["torch", "av", "panda3d", "river", "scipy", "pyroute2", "faster_coco_eval"]
    code = f"import sys, ecco_emu.emulation.emulation; print([m for m in {heavy} if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
