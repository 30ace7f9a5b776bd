"""What students report: by skill, with noise that is a function of who looks at what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pytest

from ecco_emu.control.drift import frame_confidence
from ecco_emu.control.evidence import Estimate, paired
from ecco_emu.core.frames import Image
from ecco_emu.core.ids import model_hash
from ecco_emu.tasks.detection import (
    Detections,
    Labels,
    estimate,
    match_frames,
    mean_average_precision,
)
from ecco_emu.trainer.backend import UnknownModelError
from ecco_emu.trainer.curve.ahead import AheadSeer
from ecco_emu.trainer.curve.fit import CurveFit
from ecco_emu.trainer.curve.inference import CurveInference
from ecco_emu.trainer.curve.model import CurveStudent
from ecco_emu.trainer.curve.seeing import Seer
from ecco_emu.trainer.curve.student import first_student
from ecco_emu.world.sketch.picture import View
from tests.unit.trainer.curve.curve_scenes import (
    CAMERAS,
    DAY,
    FOG,
    SIZE,
    Scenes,
    cars,
    shipped,
    sketches,
)

FRAMES = range(0, 360, 3)


def student(skill: float, lineage: str = "a" * 16) -> CurveStudent:
    return CurveStudent({"day": skill, "fog": 0.0}, lineage, SIZE)


def look(
    skill: float,
    *,
    seed: int = 1,
    lineage: str = "a" * 16,
    frames: range = FRAMES,
    camera: int = 0,
    size: tuple[int, int] | None = None,
    fit: CurveFit | None = None,
    conditions: Mapping[str, float] = DAY,
) -> list[Detections]:
    seer = Seer(fit or shipped(), seed, Scenes({camera: conditions}).view)
    return seer.detect(student(skill, lineage), sketches(camera, frames), size, 0.001)


def truth(frames: range = FRAMES, camera: int = 0) -> list[Labels]:
    return [cars(camera, index / 5) for index in frames]


def accuracy(found: list[Detections], frames: range = FRAMES, camera: int = 0) -> float:
    return mean_average_precision(truth(frames, camera), found).map


def same(first: list[Detections], second: list[Detections]) -> bool:
    return all(
        np.array_equal(getattr(one, field), getattr(other, field))
        for one, other in zip(first, second, strict=True)
        for field in ("boxes", "scores", "classes")
    )


def test_accuracy_follows_skill() -> None:
    found = [accuracy(look(skill)) for skill in (0.0, 0.1, 0.25, 0.4, 0.55)]
    assert found == sorted(found)
    assert found[0] < 0.02
    # other scenes than those of the fit are easier or harder, but not another thing altogether
    assert 0.1 < found[2] < 0.45


def test_whoever_asks_and_in_whatever_order_sees_the_same() -> None:
    seer = Seer(shipped(), 1, Scenes().view)
    images = sketches(0, range(40))
    together = seer.detect(student(0.3), images, None, 0.01)
    singly = [seer.detect(student(0.3), [image], None, 0.01)[0] for image in reversed(images)]
    assert same(together, singly[::-1])
    assert same(together, Seer(shipped(), 1, Scenes().view).detect(student(0.3), images, None, 0.01))
    assert seer.detect(student(0.3), [], None, 0.01) == []


def test_seed_camera_and_student_each_have_noise_of_their_own() -> None:
    usual = look(0.3)
    assert not same(usual, look(0.3, seed=2))
    assert not same(usual, look(0.3, lineage="b" * 16))
    assert not same(look(0.3, camera=1), look(0.3, camera=2))


def test_detections_are_what_the_project_expects_of_them() -> None:
    for found in look(0.3):
        assert len(found) <= 100
        assert (np.diff(found.scores) <= 0).all()
        assert (found.scores > 0.001).all()
        assert (found.scores < 1).all()
        assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()
        assert (found.boxes.dtype, found.scores.dtype, found.classes.dtype) == (
            np.float32,
            np.float32,
            np.int64,
        )


def test_pictures_without_objects_have_clutter_at_most() -> None:
    def view(image: Image) -> View:
        return View(CAMERAS[0], 0, 0.0, DAY, Labels.empty())

    (found,) = Seer(shipped(), 1, view).detect(student(0.3), sketches(0, range(1)), None, 0.001)
    assert len(found) <= shipped().seeing.clutter


def test_a_smaller_picture_or_input_shows_less() -> None:
    full = accuracy(look(0.4))
    assert accuracy(look(0.4, size=(160, 96))) < full - 0.03
    small = Seer(shipped(), 1, Scenes().view).detect(
        student(0.4), sketches(0, FRAMES, (160, 96)), None, 0.001
    )
    shrunk = [each.scaled(0.5, 0.5) for each in truth()]
    assert mean_average_precision(shrunk, small).map < full - 0.03


def estimates(skill: float, lineage: str) -> list[Estimate]:
    """Of windows of eight held-out frames, every fourth one at 5 frames a second."""
    found = []
    seer = Seer(shipped(), 1, Scenes().view)
    for camera in range(3):
        for start in range(0, 320, 32):
            frames = range(start, start + 32, 4)
            seen = seer.detect(student(skill, lineage), sketches(camera, frames), None, 0.001)
            measured = estimate(match_frames(truth(frames, camera), seen), list(frames))
            assert measured is not None
            found.append(measured)
    return found


def test_noise_is_that_of_measuring_and_mostly_shared_by_students() -> None:
    """Window to window real accuracies have a standard deviation of 0.04 to 0.08, and replicates know a part
    of it. The difference of two students on the same frames is far surer."""
    one, other = estimates(0.3, "a" * 16), estimates(0.3, "b" * 16)
    assert 0.03 < stdev(each.value for each in one) < 0.1
    gaps = [paired(first, second) for first, second in zip(one, other, strict=True)]
    apart = stdev([each.value for each in one]) * 2**0.5
    assert stdev(gap.value for gap in gaps) < 0.75 * apart
    assert abs(fmean(gap.value for gap in gaps)) < 0.03


def confidences(found: list[Detections]) -> list[float]:
    return [frame_confidence(each.scores) for each in found]


def test_confidence_lasts_and_falls_when_the_student_does_not_fit() -> None:
    frames = range(300)
    day = np.array(confidences(look(0.5, frames=frames)))
    off = day - day.mean()
    assert (off[1:] * off[:-1]).mean() / day.var() > 0.5  # frames 0.2 s apart are alike
    fog = confidences(look(0.5, frames=frames, conditions=FOG))
    assert fmean(fog) < day.mean() - 0.3
    half = confidences(look(0.5, frames=frames, conditions={"day": 0.5, "fog": 0.5}))
    assert fmean(fog) < fmean(half) < day.mean()


def test_sureness_changes_confidence_and_no_accuracy() -> None:
    fit = shipped()
    curve = fit.learning.conditions["day"].model_copy(update={"sureness": 2.0, "fooled": 2.0})
    surer = fit.model_copy(
        update={"learning": fit.learning.model_copy(update={"conditions": {"day": curve}})}
    )
    usual, sure = look(0.4), look(0.4, fit=surer)
    assert accuracy(sure) == pytest.approx(accuracy(usual), abs=0.005)
    assert fmean(confidences(sure)) > fmean(confidences(usual)) + 0.05


def test_a_picture_that_is_no_sketch_is_refused() -> None:
    with pytest.raises(ValueError, match="no sketch"):
        Seer(shipped(), 1, Scenes().view).detect(
            student(0.3), [np.zeros((192, 320, 3), np.uint8)], None, 0.01
        )


class Counting(Seer):
    """Counts how often, and at how many pictures, it looks."""

    looks = pictures = 0

    def detect(self, student: CurveStudent, images: Sequence[Image], *about: Any) -> list[Detections]:
        self.looks += 1
        self.pictures += len(images)
        return super().detect(student, images, *about)


def test_frames_to_come_are_looked_at_together_and_found_the_same() -> None:
    seer = Counting(shipped(), 1, Scenes().view)
    ahead = AheadSeer(seer)
    asked = [*range(0, 60, 2), *range(60, 120, 3), 40, 41, 42]  # a camera may look at other frames, or back
    images = [sketches(0, range(index, index + 1))[0] for index in asked]
    found = [ahead.detect(student(0.3), image, None, 0.01) for image in images]
    assert (seer.looks, seer.pictures) == (10, 8 * 8 + 2)
    assert same(found, Seer(shipped(), 1, Scenes().view).detect(student(0.3), images, None, 0.01))


def test_another_student_camera_or_size_is_looked_at_anew() -> None:
    ahead = AheadSeer(Seer(shipped(), 1, Scenes().view))
    for index in range(4):
        (image,), (other,) = sketches(0, range(index, index + 1)), sketches(1, range(index, index + 1))
        for who, picture, size in (
            (student(0.3), image, None),
            (student(0.5, "b" * 16), image, None),
            (student(0.3), other, None),
            (student(0.3), image, (160, 96)),
        ):
            fresh = Seer(shipped(), 1, Scenes().view).detect(who, [picture], size, 0.01)
            assert same([ahead.detect(who, picture, size, 0.01)], fresh)


async def test_the_cameras_inference() -> None:
    fit = shipped()
    weights = first_student(fit)
    model = model_hash(weights)
    inference = CurveInference(view=Scenes().view, fit=fit, seed=1)
    await inference.start()
    with pytest.raises(UnknownModelError):
        await inference.detect(model, sketches(0, range(1)))
    await inference.add_model(model, weights)
    found = await inference.detect(model, sketches(0, range(3)), min_score=0.25)
    assert len(found) == 3
    assert all((each.scores > 0.25).all() for each in found)
    await inference.remove_model(model)
    with pytest.raises(UnknownModelError):
        await inference.detect(model, sketches(0, range(1)))
    await inference.close()
