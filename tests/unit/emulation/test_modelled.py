"""``trainer.backend: curve``: a run without training, rendering and coding, in one process."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import AsyncExitStack
from typing import Any

import pytest

from ecco_emu.core.errors import HostError
from ecco_emu.core.ids import ModelHash, model_hash
from ecco_emu.emulation import preflight
from ecco_emu.emulation.first_student import read_first_student
from ecco_emu.emulation.manifest import manifest
from ecco_emu.emulation.workers import Workers, start_workers
from ecco_emu.host import extras
from ecco_emu.scenario.schema import Scenario
from netns.capabilities import Capabilities
from tests.unit.world.sketch.town import scenario

ROOM_S = {"clock": {"dilation": 4}}


def no_process(*_: Any, **__: Any) -> Any:
    raise AssertionError("a child process was asked for")


async def started(asked: Scenario, stack: AsyncExitStack) -> Workers:
    student = read_first_student(asked.trainer)
    return await start_workers(asked, student, stack, lambda _: None, no_process)


async def test_all_parts_know_the_first_student_and_no_process_is_started() -> None:
    asked = scenario(**ROOM_S)
    first = model_hash(read_first_student(asked.trainer))
    async with AsyncExitStack() as stack:
        made = await started(asked, stack)
        frame = await made.world.frame("cam1", 30)  # type: ignore[arg-type]
        [seen] = await made.inference.detect(first, [frame.image])
        assert seen.boxes.shape == (len(seen), 4)
        assert (made.dilation, made.speed, made.device["device"]) == (4.0, None, "curve")
        [labels] = await made.teacher.label(frame.camera, [frame])
        assert len(labels) == len(made.world.labels(frame.camera, 30))
        await made.trainer.create_job("job1", first)  # type: ignore[arg-type]
        with pytest.raises(Exception, match="not here"):
            await made.inference.detect(ModelHash("0" * 16), [frame.image])


@pytest.mark.parametrize(("clock", "origin"), [({}, "estimated"), ({"dilation": 4}, "given")])
async def test_the_manifest_says_that_no_speed_was_measured(clock: dict[str, int], origin: str) -> None:
    asked = scenario(clock=clock)
    async with AsyncExitStack() as stack:
        made = await started(asked, stack)
    record = manifest(
        asked,
        source="python",
        engine="relay",
        dilation=made.dilation,
        device=made.device,
        student=model_hash(read_first_student(asked.trainer)),
        speed=made.speed,
        caveats=[],
    )
    assert (record["trainer"]["backend"], record["teacher"]) == ("curve", "oracle")
    assert (record["dilation_is"], record["measured_speeds"]) == (origin, None)
    json.dumps(record)


async def test_the_host_needs_no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: object) -> None:
        raise HostError("torch is not installed")

    async def able() -> Capabilities:
        return Capabilities()

    monkeypatch.setattr(extras.Extra, "require", missing)
    monkeypatch.setattr(preflight, "require_labs", able)
    monkeypatch.setattr(preflight, "_require_network", lambda *_: None)
    await preflight.require(scenario())
    with pytest.raises(HostError, match="torch"):
        await preflight.require(scenario(trainer={"backend": "yolo"}))


LOOP = """
import asyncio, sys
from contextlib import AsyncExitStack
from ecco_emu.control.evidence import Evidence
from ecco_emu.core.ids import CameraId, JobId, model_hash
from ecco_emu.emulation.first_student import read_first_student
from ecco_emu.emulation.workers import start_workers
from ecco_emu.tasks.detection import Sample
from ecco_emu.video.messages import to_message
from tests.unit.world.sketch.town import scenario

async def main():
    asked = scenario()
    student = read_first_student(asked.trainer)
    camera, job = CameraId("cam1"), JobId("job1")
    async with AsyncExitStack() as stack:
        made = await start_workers(asked, student, stack, lambda _: None, None)
        frames = [await made.world.frame(camera, index) for index in range(0, 100, 2)]
        await made.inference.detect(model_hash(student), [frame.image for frame in frames])
        came, stream = [], made.codec.stream()
        for first in range(0, 50, 5):
            part = frames[first : first + 5]
            images = [frame.image for frame in part]
            coded = await stream.encode(images, 200_000, width=320, height=192, fps=5)
            came += await made.codec.frames(to_message(coded, part, first, 10))
        labels = await made.teacher.label(camera, came)
        await made.trainer.add_samples(
            [Sample(camera, frame.index, frame.t, frame.image, each) for frame, each in zip(came, labels)]
        )
        await made.trainer.create_job(job, model_hash(student))
        evidence = [Evidence(camera, 0.0)]
        trained = await made.trainer.train(job, evidence, 80.0)
        measured = await made.trainer.evaluate([job], evidence, 8)
        model, weights = await made.trainer.export(job)
        await made.inference.add_model(model, weights)
        assert trained.steps > 0 and measured.accuracy[job, camera].value > 0.1
        assert made.dilation == 1.0

asyncio.run(main())
heavy = {"torch", "torchvision", "ultralytics", "panda3d", "direct", "av", "cv2"}
print(sorted(heavy & set(sys.modules)))
"""


def test_a_frame_goes_all_the_way_without_a_heavy_library() -> None:
    ran = subprocess.run([sys.executable, "-c", LOOP], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout.strip()) == (0, "[]"), ran.stderr
