"""A student's file: what goes in comes out, and nothing else is let in."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save

from ecco_emu.tasks.detection import CLASSES
from ecco_emu.trainer import weight_files
from ecco_emu.trainer.backend import BadStudentError
from ecco_emu.trainer.yolo import student

Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def weights() -> bytes:
    return student.to_bytes(student.build(seed=3), (128, 96))


def about(**changes: object) -> dict[str, str]:
    said = {"format": "ecco-emu student 1", "classes": list(CLASSES), "size": [128, 96]}
    return {"student": json.dumps(said | changes)}


def test_round_trip(weights: bytes) -> None:
    original, back = student.build(seed=3), student.load(weights)
    assert back.size == (128, 96)
    for name, value in original.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(value.half().float(), back.model.state_dict()[name]), name


def test_a_student_fits_its_limit(weights: bytes) -> None:
    assert 5_000_000 < len(weights) <= weight_files.MAX_STUDENT_BYTES


def test_equal_students_have_equal_files(weights: bytes) -> None:
    assert student.to_bytes(student.load(weights).model, (128, 96)) == weights


def test_the_seed_decides_the_first_weights() -> None:
    first = [next(student.build(seed=seed).parameters()) for seed in (1, 1, 2)]
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first[0], first[2])


def test_building_leaves_torchs_own_chance_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    student.build(seed=1)
    assert torch.equal(torch.rand(1), expected)


def test_loaded_students_share_nothing(weights: bytes) -> None:
    one, other = student.load(weights).model, student.load(weights).model
    with torch.no_grad():
        next(one.parameters()).add_(1)
    assert not torch.equal(next(one.parameters()), next(other.parameters()))


def lacking(tensors: Tensors) -> None:
    del tensors["model.0.conv.weight"]


def foreign(tensors: Tensors) -> None:
    tensors["payload"] = torch.zeros(1, dtype=torch.float16)


def single(tensors: Tensors) -> None:
    tensors["model.0.conv.weight"] = tensors["model.0.conv.weight"].float()


def reshaped(tensors: Tensors) -> None:
    tensors["model.0.conv.weight"] = tensors["model.0.conv.weight"].flatten()


def not_a_number(tensors: Tensors) -> None:
    tensors["model.0.conv.weight"].view(-1)[7] = np.nan


def infinite(tensors: Tensors) -> None:
    tensors["model.0.conv.weight"].view(-1)[7] = np.inf


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lacking, "'model.0.conv.weight' is lacking"),
        (foreign, "'payload' is lacking or foreign"),
        (single, "is F32"),
        (reshaped, r"has shape \[432\]"),
        (not_a_number, "not finite"),
        (infinite, "not finite"),
    ],
)
def test_other_tensors_are_refused(weights: bytes, spoil: Callable[[Tensors], None], complaint: str) -> None:
    tensors = load_tensors(weights)
    spoil(tensors)
    with pytest.raises(BadStudentError, match=complaint):
        student.load(save(tensors, metadata=about()))


@pytest.mark.parametrize(
    ("metadata", "complaint"),
    [
        (None, "does not say what it is"),
        ({"student": "]"}, "does not say what it is"),
        ({"student": "[]"}, "does not say what it is"),
        (about(classes=["cat"]), "for the classes"),
        (about(format="other"), "for the classes"),
        (about(size=[320]), "does not say what it is"),
        (about(size=["wide", 3]), "does not say what it is"),
        (about(size=[100, 96]), "multiples of 32"),
        (about(size=[32000, 96]), "multiples of 32"),
        (about(size=[-32, 0]), "multiples of 32"),
    ],
)
def test_other_headers_are_refused(weights: bytes, metadata: dict[str, str] | None, complaint: str) -> None:
    with pytest.raises(BadStudentError, match=complaint):
        student.load(save(load_tensors(weights), metadata=metadata))


@pytest.mark.parametrize(
    ("cut", "complaint"),
    [
        (lambda data: b"", "not a safetensors file"),
        (lambda data: b"\x80\x04\x95", "not a safetensors file"),
        (lambda data: data[: len(data) // 2], "not a safetensors file"),
        (lambda data: data[:-1], "not a safetensors file"),
        (lambda data: data + b"\0", "not a safetensors file"),
        (lambda data: b"\xff" * 8 + data[8:], "not a safetensors file"),
        (lambda data: data + bytes(weight_files.MAX_STUDENT_BYTES), "at most 6000000 bytes"),
    ],
)
def test_damaged_files_are_refused(weights: bytes, cut: Callable[[bytes], bytes], complaint: str) -> None:
    with pytest.raises(BadStudentError, match=complaint):
        student.load(cut(weights))


def test_a_diverged_student_is_not_exported() -> None:
    model = student.build()
    with torch.no_grad():
        next(model.parameters()).fill_(1e6)  # finite, but not in float16
    with pytest.raises(BadStudentError, match="diverged"):
        student.to_bytes(model)


def test_a_students_file_can_be_recognised_without_building_one(weights: bytes) -> None:
    model = student.build()
    weight_files.inspect_student(student.to_bytes(model))
    weight_files.inspect_student(weights)
