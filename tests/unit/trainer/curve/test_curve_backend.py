"""The edge server's GPUs as a model: the trainer's interface, and what decisions see of it."""

from __future__ import annotations

from statistics import fmean

import pytest

from ecco_emu.control.evidence import Evidence, paired
from ecco_emu.core.ids import CameraId, JobId, ModelHash, model_hash
from ecco_emu.scenario.sections.trainer import TrainerSection
from ecco_emu.trainer.backend import (
    BadStudentError,
    NoSamplesError,
    TrainerBackend,
    UnknownModelError,
)
from ecco_emu.trainer.curve.backend import CurveBackend
from ecco_emu.trainer.curve.student import first_student, load
from tests.unit.trainer.curve.curve_scenes import CAMERAS, FOG, Scenes, samples, shipped

A, B, C = CAMERAS
JOB = JobId("job1")
FIRST = first_student(shipped())
MODEL = model_hash(FIRST)
OF_A = [Evidence(A)]


async def backend(*, seed: int = 3, scenes: Scenes | None = None, gpus: int = 2) -> CurveBackend:
    """With the first student, a job from it, and 10 s of three cameras: two in fog, one by day."""
    section = TrainerSection(backend="curve", gpus=gpus)
    made: TrainerBackend = CurveBackend(
        section, seed=seed, view=(scenes or Scenes({0: FOG, 1: FOG})).view, fit=shipped()
    )
    assert isinstance(made, CurveBackend)
    await made.start()
    await made.add_model(MODEL, FIRST)
    for camera in range(3):
        await made.add_samples(samples(camera, range(50)))
    await made.create_job(JOB, MODEL)
    return made


async def value(trainer: CurveBackend, subject: str, camera: CameraId, frames: int = 8) -> float:
    measured = await trainer.evaluate([ModelHash(subject)], [Evidence(camera)], frames)
    return measured.accuracy[subject, camera].value


async def test_training_raises_the_accuracy_of_alike_cameras_only() -> None:
    trainer = await backend()
    before = [await value(trainer, JOB, camera) for camera in CAMERAS]
    for _ in range(6):
        await trainer.train(JOB, OF_A, 64)
    after = [await value(trainer, JOB, camera) for camera in CAMERAS]
    assert after[0] > before[0] + 0.15
    assert after[1] > before[1] + 0.1  # the same fog
    assert after[2] < before[2] - 0.2  # the day is forgotten


async def test_a_micro_window_spends_its_budget_in_whole_steps() -> None:
    trainer = await backend()
    result = await trainer.train(JOB, [Evidence(A), Evidence(B)], 60)
    assert (result.steps, result.images, result.reference_images) == (7, 56, 56.0)
    assert result.wall_s == 0.0
    assert len(result.losses) == 7
    assert result.losses == sorted(result.losses, reverse=True)
    assert (await trainer.train(JOB, OF_A, 0.0)).steps == 1  # one is taken at least


async def test_small_pictures_cost_less_and_teach_less() -> None:
    skills = []
    for size in ((320, 192), (160, 96)):
        trainer = await backend()
        await trainer.forget_samples(A)
        await trainer.add_samples(samples(0, range(50), size))
        result = await trainer.train(JOB, OF_A, 64)
        assert result.images == 64 * (320 * 192) / (size[0] * size[1])
        skills.append(trainer.skills(JOB)["fog"] / result.steps)
    assert skills[1] < skills[0]


async def test_what_is_not_there_is_named() -> None:
    trainer = await backend()
    with pytest.raises(UnknownModelError, match="job9"):
        await trainer.train(JobId("job9"), OF_A, 64)
    with pytest.raises(UnknownModelError, match="job9"):
        await trainer.export(JobId("job9"))
    with pytest.raises(UnknownModelError, match="neither"):
        await trainer.evaluate([ModelHash("0" * 16)], OF_A, 8)
    with pytest.raises(UnknownModelError, match="add it first"):
        await trainer.create_job(JOB, ModelHash("0" * 16))
    with pytest.raises(BadStudentError):
        await trainer.add_model(ModelHash("0" * 16), b"PK")
    with pytest.raises(NoSamplesError, match="no sample to train on yet from z"):
        await trainer.train(JOB, [Evidence(CameraId("z"))], 64)
    await trainer.drop_job(JOB)
    await trainer.drop_job(JOB)
    with pytest.raises(UnknownModelError):
        await trainer.evaluate([JOB], OF_A, 8)


async def test_an_exported_student_is_the_jobs() -> None:
    trainer = await backend()
    await trainer.train(JOB, OF_A, 64)
    model, weights = await trainer.export(JOB)
    assert model == model_hash(weights)
    assert load(weights).skills == trainer.skills(JOB)
    await trainer.add_model(model, weights)
    # B's frames were not trained on: on these the job and its student see the same
    assert await value(trainer, model, B) == await value(trainer, JOB, B)
    await trainer.train(JOB, OF_A, 64)
    assert (await trainer.export(JOB))[0] != model
    await trainer.create_job(JobId("job2"), model)
    assert trainer.skills(JobId("job2")) == load(weights).skills
    await trainer.remove_model(model)
    await trainer.train(JobId("job2"), OF_A, 64)  # jobs from it go on
    with pytest.raises(UnknownModelError):
        await value(trainer, model, B)


async def test_a_job_is_better_on_frames_that_it_was_trained_on() -> None:
    """A request brings a few frames, on which its job is trained and measured."""
    gaps = []
    for seed in range(6):
        trainer = await backend(seed=seed)
        await trainer.forget_samples(A, before=8.0)
        await trainer.train(JOB, OF_A, 64)
        model, weights = await trainer.export(JOB)
        await trainer.add_model(model, weights)
        gaps.append(await value(trainer, JOB, A, 24) - await value(trainer, model, A, 24))
    assert fmean(gaps) > 0.03


async def test_measuring_is_of_held_out_frames_and_costs_each_frame_once() -> None:
    trainer = await backend()
    first = await trainer.evaluate([JOB, MODEL], [Evidence(A), Evidence(B)], 8)
    assert first.images == 32
    assert first.wall_s == 0.0
    assert first.accuracy[JOB, A].frames == 8
    assert len(first.accuracy[JOB, A].replicates) == 8
    assert paired(first.accuracy[JOB, A], first.accuracy[MODEL, A]).value == 0.0  # the same student still
    assert (await trainer.evaluate([JOB, MODEL], [Evidence(A), Evidence(B)], 8)).images == 0
    await trainer.train(JOB, OF_A, 64)
    assert (await trainer.evaluate([JOB, MODEL], [Evidence(A), Evidence(B)], 8)).images == 16
    assert not (await trainer.evaluate([JOB], [Evidence(A, since=99.0)], 8)).accuracy


async def story(seed: int, *, calibrated: bool = False) -> list[object]:
    """The results of some calls, in order."""
    trainer = await backend(seed=seed)
    if calibrated:
        await trainer.calibrate(MODEL, [])
    told: list[object] = []
    for _ in range(3):
        told.append(await trainer.train(JOB, [Evidence(A), Evidence(C)], 40))
        told.append(await trainer.evaluate([JOB], [Evidence(A), Evidence(B)], 8))
    told.append(await trainer.export(JOB))
    return told


async def test_all_is_a_function_of_the_seed_and_the_calls() -> None:
    assert await story(3) == await story(3)
    assert await story(3) == await story(3, calibrated=True)
    assert await story(3) != await story(4)


async def test_it_says_what_it_is() -> None:
    trainer = CurveBackend(TrainerSection(backend="curve"), seed=1, view=Scenes().view, fit=shipped())
    info = await trainer.start()
    assert (info.device, info.virtual) == ("curve", True)
    await trainer.close()
    await trainer.close()
