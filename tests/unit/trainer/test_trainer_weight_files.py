"""Files of weights are recognised without torch, and without running anything that is in them."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors import numpy

from ecco_emu.core.errors import ScenarioError
from ecco_emu.scenario import profiles
from ecco_emu.trainer import weight_files

SHIPPED = profiles.student_path("yolo11n-town")
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 123\n"


def test_the_shipped_student_is_one() -> None:
    assert weight_files.read_student(SHIPPED) == SHIPPED.read_bytes()


Tensors = dict[str, "np.ndarray[tuple[int, ...], np.dtype[np.float16]]"]


def altered(change: Callable[[Tensors], object]) -> bytes:
    """The shipped student with other tensors."""
    data = SHIPPED.read_bytes()
    tensors = numpy.load(data)
    change(tensors)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return numpy.save(tensors, header["__metadata__"])


def without_one(tensors: Tensors) -> None:
    tensors.popitem()


def not_a_number(tensors: Tensors) -> None:
    name, values = next(iter(tensors.items()))
    tensors[name] = np.full_like(values, np.nan)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (lambda: POINTER, "a git-lfs pointer, not the file itself: run 'git lfs pull'"),
        (lambda: b"", "not a safetensors file"),
        (lambda: b"<html>404</html>", "not a safetensors file"),
        (lambda: SHIPPED.read_bytes()[:-1000], "not a safetensors file"),
        (lambda: bytes(weight_files.MAX_STUDENT_BYTES + 1), "is at most 6000000 bytes"),
        (lambda: altered(without_one), "its tensors are not those of a yolo11n for 3 classes"),
        (lambda: altered(not_a_number), "holds numbers that are not finite"),
    ],
)
def test_other_files_are_no_students(tmp_path: Path, data: Callable[[], bytes], complaint: str) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(data())
    with pytest.raises(ScenarioError, match=complaint) as error:
        weight_files.read_student(path)
    assert str(path) in str(error.value)


def checkpoint(
    path: Path, *, model: str, words: tuple[str, ...] = ("person", "car"), protocol: int = 2
) -> Path:
    """An archive as torch writes it, whose pickle would make an object of the class ``model``."""
    module, _, name = model.rpartition(".")
    kind = type(name, (), {"__module__": module})
    # pickle insists on finding the class it names
    holder = type(sys)(module)
    setattr(holder, name, kind)
    before = sys.modules.get(module)
    sys.modules[module] = holder
    try:
        pickled = pickle.dumps({"model": kind(), "names": dict(enumerate(words))}, protocol)
    finally:
        if before is None:
            del sys.modules[module]
        else:
            sys.modules[module] = before
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights/data.pkl", pickled)
        archive.writestr("weights/data/0", bytes(10_000))
    return path


DETECTOR = "ultralytics.nn.tasks.DetectionModel"


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_detector_that_knows_coco_may_be_a_teacher(tmp_path: Path, protocol: int) -> None:
    weight_files.inspect_teacher(checkpoint(tmp_path / "x.pt", model=DETECTOR, protocol=protocol))


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    ("model", "words", "complaint"),
    [
        (
            "ultralytics.nn.tasks.SegmentationModel",
            ("person",),
            "holds a SegmentationModel, not a DetectionModel: take a detector's, such as yolo11x.pt",
        ),
        ("somewhere.Else", ("person",), "holds no Ultralytics model, not a DetectionModel"),
        (DETECTOR, ("cat", "dog"), "knows none of car, truck, person: take weights trained on COCO"),
    ],
)
def test_another_model_is_no_teacher(
    tmp_path: Path, model: str, words: tuple[str, ...], complaint: str, protocol: int
) -> None:
    path = checkpoint(tmp_path / "x.pt", model=model, words=words, protocol=protocol)
    with pytest.raises(ScenarioError, match=complaint):
        weight_files.inspect_teacher(path)


def cut(path: Path) -> bytes:
    return checkpoint(path, model=DETECTOR).read_bytes()[:-200]


def empty_archive(path: Path) -> bytes:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme", "nothing")
    return path.read_bytes()


def torn_pickle(path: Path) -> bytes:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights/data.pkl", b"\x80\x02}q\x00X\xff\xff")
    return path.read_bytes()


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda _: POINTER, "is a git-lfs pointer"),
        (lambda _: b"", "is not a PyTorch weight file"),
        (lambda _: SHIPPED.read_bytes(), "is not a PyTorch weight file"),
        (cut, "is not a PyTorch weight file, or is cut short"),
        (empty_archive, "there is no data.pkl in it"),
        (torn_pickle, "is not a PyTorch weight file, or is cut short"),
    ],
)
def test_other_files_are_no_teachers(tmp_path: Path, make: Callable[[Path], bytes], complaint: str) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(make(path))
    with pytest.raises(ScenarioError, match=complaint) as error:
        weight_files.inspect_teacher(path)
    assert str(path) in str(error.value)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, ("never",))


def test_nothing_in_a_pickle_is_carried_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("evil.pt", "w") as archive:
        archive.writestr("weights/data.pkl", pickle.dumps(Evil()))
    with pytest.raises(ScenarioError, match="no Ultralytics model"):
        weight_files.inspect_teacher(Path("evil.pt"))
    assert [path.name for path in tmp_path.iterdir()] == ["evil.pt"]


def test_torch_is_not_needed() -> None:
    code = "import sys, ecco_emu.emulation.checking; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
