"""The clients and their processes together, and what may be imported without torch."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest

from ecco_emu.control.evidence import Evidence
from ecco_emu.core.errors import ScenarioError
from ecco_emu.core.frames import Frame
from ecco_emu.core.ids import CameraId, JobId, ModelHash, model_hash
from ecco_emu.host.warm import WarmWorkers
from ecco_emu.scenario.sections.trainer import TrainerSection
from ecco_emu.tasks.detection import CLASSES
from ecco_emu.trainer.backend import (
    LIVE_MIN_SCORE,
    MIN_SCORE,
    BadStudentError,
    NoSamplesError,
    UnknownModelError,
)
from ecco_emu.trainer.client import InferenceClient, TrainingClient
from ecco_emu.trainer.teacher import OracleTeacher, YoloTeacher
from ecco_emu.trainer.yolo import student
from tests.unit.trainer.trainer_pictures import labels, samples

A, B, NONE = CameraId("a"), CameraId("b"), CameraId("none")
JOB = JobId("job-1")
STEP = 4 * 128 * 96 / (320 * 192)
"""Reference images that a step of four small pictures costs."""


def of(*cameras: CameraId, since: float = -math.inf) -> list[Evidence]:
    return [Evidence(camera, since) for camera in cameras]


@pytest.fixture(scope="module")
def weights() -> bytes:
    return student.to_bytes(student.build(seed=1), (128, 96))


@asynccontextmanager
async def training(**config: object) -> AsyncIterator[TrainingClient]:
    client = TrainingClient(TrainerSection.model_validate(config), seed=3, threads=1)
    try:
        yield client
    finally:
        await client.close()


def test_threads_are_counted_by_the_processors_that_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3, 4, 5})
    assert TrainingClient(TrainerSection(), seed=0)._settings.threads <= 2


@pytest.mark.parametrize(
    "module",
    [
        "trainer.client",
        "tasks.detection",
        "trainer.teacher",
        "trainer.backend",
        "trainer.budget",
        "trainer.measuring",
        "trainer.samples",
    ],
)
def test_the_event_loops_modules_do_not_import_torch(module: str) -> None:
    code = f"import sys, ecco_emu.{module}; print('torch' in sys.modules, 'ultralytics' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "False"]


async def test_a_job_from_start_to_export(weights: bytes) -> None:
    model = model_hash(weights)
    async with training(gpus=2, batch=2) as client:
        info = await client.start()
        assert info.device in ("cpu", "cuda:0")
        assert (info.gpus, info.virtual, info.threads) == (2, True, 1)
        await client.add_model(model, weights)
        await client.create_job(JOB, model)
        with pytest.raises(NoSamplesError, match="job-1"):
            await client.train(JOB, of(A, B), 8)

        await client.add_samples(samples("a", 20) + samples("b", 5, seed=1))
        before = await client.evaluate([JOB], of(A, B, NONE), 4)
        assert before.images == 8
        result = await client.train(JOB, of(A, B, NONE), 3.9 * STEP)
        assert (result.steps, result.images, len(result.losses)) == (3, 12, 3)  # steps of 2 GPUs x 2 images
        assert result.reference_images == pytest.approx(3 * STEP)

        measured = await client.evaluate([JOB, model], of(A, B, NONE), 4)
        assert set(measured.accuracy) == {(JOB, A), (JOB, B), (model, A), (model, B)}
        assert all(0 <= each.value <= 1 and each.frames == 4 for each in measured.accuracy.values())
        assert all(len(each.replicates) == len(each.quality) == 4 for each in measured.accuracy.values())
        assert measured.images == 16  # the job's student has changed, so all of its frames are new
        assert (await client.evaluate([JOB], of(A, B), 4)).images == 0
        recent = (await client.evaluate([JOB], of(A, since=1.5), 24)).accuracy[JOB, A]
        assert recent.frames == 5  # of twenty, ten a second
        assert min(t for t, _ in recent.quality) == 1.5

        trained, exported = await client.export(JOB)
        assert trained == model_hash(exported) != model
        assert student.load(exported).size == (128, 96)
        assert await client.export(JOB) == (trained, exported)
        await client.drop_job(JOB)
        await client.drop_job(JOB)
        with pytest.raises(UnknownModelError, match="job-1"):
            await client.train(JOB, of(A), 8)


async def test_what_is_given_back_is_gone(weights: bytes) -> None:
    model = model_hash(weights)
    async with training(batch=2) as client:
        await client.start()
        await client.add_model(model, weights)
        await client.add_model(model, weights)
        await client.add_samples(samples("a", 8))
        await client.remove_model(model)
        assert (await client.evaluate([model], of(A), 4)).images == 2  # the other user's
        await client.create_job(JOB, model)
        await client.remove_model(model)
        with pytest.raises(UnknownModelError, match=model):
            await client.evaluate([model], of(A), 4)
        assert (await client.train(JOB, of(A), 1)).steps == 2  # the job that began from it goes on
        await client.forget_samples(A, 0.6)
        assert (await client.evaluate([JOB], of(A), 24)).accuracy[JOB, A].frames == 2
        await client.forget_samples(A)
        assert (await client.evaluate([JOB], of(A), 24)).accuracy == {}
        with pytest.raises(NoSamplesError):
            await client.train(JOB, of(A), 8)


async def test_what_the_training_process_refuses(weights: bytes) -> None:
    async with training() as client:
        await client.start()
        with pytest.raises(BadStudentError, match="not a safetensors file"):
            await client.add_model(model_hash(b"noise"), b"noise")
        with pytest.raises(BadStudentError, match="hash to"):
            await client.add_model(ModelHash("0" * 16), weights)
        with pytest.raises(UnknownModelError, match="ffffffffffffffff"):
            await client.create_job(JOB, ModelHash("f" * 16))
        with pytest.raises(UnknownModelError, match="ffffffffffffffff"):
            await client.evaluate([ModelHash("f" * 16)], of(A), 8)
        with pytest.raises(UnknownModelError, match="no teacher"):
            await client.label([np.zeros((96, 128, 3), np.uint8)])


async def test_equal_seeds_train_alike_and_speed_is_measured(weights: bytes) -> None:
    model = model_hash(weights)

    async def losses(*, measure: bool) -> list[float]:
        async with training(batch=2) as client:
            await client.start()
            await client.add_model(model, weights)
            if measure:
                pictures = [(each.image, each.labels) for each in samples("b", 3)]
                speed = await client.calibrate(model, pictures)
                assert 0 < speed.train_images_per_s < speed.inference_images_per_s
                assert min(speed.micro_s, speed.export_s) > 0
            await client.add_samples(samples("a", 12))
            await client.create_job(JOB, model)
            return (await client.train(JOB, of(A), 3 * STEP / 2)).losses

    assert await losses(measure=True) == await losses(measure=False)


async def test_the_cameras_inference(weights: bytes) -> None:
    model = model_hash(weights)
    client = InferenceClient()
    try:
        await client.start()
        with pytest.raises(UnknownModelError):
            await client.detect(model, [])
        await client.add_model(model, weights)
        images = [sample.image for sample in samples("a", 2)]
        found = await client.detect(model, images)
        assert len(found) == 2
        assert all((each.classes < len(CLASSES)).all() for each in found)
        everything = await client.detect(model, images, min_score=MIN_SCORE)
        # live, only the detections that are sure enough; where accuracy is measured, all
        for live, full in zip(found, everything, strict=True):
            assert len(live) == (full.scores > LIVE_MIN_SCORE).sum()
            assert (full.scores > MIN_SCORE).all()
        assert [len(each) for each in await client.detect(model, images, min_score=0.99)] == [0, 0]
        # another size of input finds other boxes, in the picture's own pixels all the same
        [small] = await client.detect(model, images[:1], size=(64, 64), min_score=MIN_SCORE)
        assert not np.array_equal(small.boxes, everything[0].boxes)
        assert (small.boxes[:, [0, 2]] <= 128).all()
        assert (small.boxes[:, [1, 3]] <= 96).all()
        await client.remove_model(model)
        with pytest.raises(UnknownModelError):
            await client.detect(model, images)
    finally:
        await client.close()
        await client.close()


async def test_the_oracle_scales_its_labels_to_the_picture() -> None:
    truth = labels([(32, 24, 64, 48)], [1])
    small, whole = (Frame(A, 1, 0.1, np.zeros(shape, np.uint8)) for shape in ((96, 160, 3), (192, 320, 3)))
    assert await OracleTeacher(lambda camera, index: truth).label(A, [small]) == [truth]
    teacher = OracleTeacher(lambda camera, index: truth, lambda camera: (320, 192))
    halved, same = await teacher.label(A, [small, whole])
    assert halved.boxes.tolist() == [[16, 12, 32, 24]]
    assert same is truth


def test_a_teacher_without_weights_says_what_to_do() -> None:
    client = TrainingClient(TrainerSection(), seed=0)
    with pytest.raises(ScenarioError, match=r"no weight file at nowhere/yolo11x\.pt; .*oracle"):
        YoloTeacher("nowhere/yolo11x.pt", client)


async def test_a_process_that_another_client_left_amid_training_trains_as_a_new_one(weights: bytes) -> None:
    model = model_hash(weights)
    workers = WarmWorkers()
    settings = TrainerSection.model_validate({"batch": 2})

    async def begun(seed: int) -> TrainingClient:
        client = TrainingClient(settings, seed=seed, threads=1, open_worker=workers.open)
        await client.start()
        await client.add_model(model, weights)
        await client.add_samples(samples("a", 6, seed=seed))
        await client.create_job(JOB, model)
        return client

    async def losses() -> list[float]:
        client = await begun(seed=3)
        trained = (await client.train(JOB, of(A), STEP)).losses
        await client.close()
        return trained

    try:
        new = await losses()
        pids = workers.pids
        client = await begun(seed=4)
        endless = asyncio.ensure_future(client.train(JOB, of(A), 10_000 * STEP))
        await asyncio.sleep(0.5)
        await client.close()
        endless.cancel()
        assert await losses() == new
        assert workers.pids == pids
        client = TrainingClient(settings, seed=3, threads=1, open_worker=workers.open)
        await client.start()
        with pytest.raises(UnknownModelError):  # nothing of the last one is there
            await client.create_job(JOB, model)
    finally:
        workers.close()
