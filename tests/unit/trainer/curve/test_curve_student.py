"""A student's file: small header, checked; users are counted."""

from __future__ import annotations

import json

import pytest

from ecco_emu.core.ids import ModelHash, model_hash
from ecco_emu.trainer.backend import BadStudentError, UnknownModelError
from ecco_emu.trainer.curve.model import CurveStudent
from ecco_emu.trainer.curve.student import FORMAT, Students, first_student, load, to_bytes
from ecco_emu.trainer.weight_files import MAX_STUDENT_BYTES
from tests.unit.trainer.curve.curve_scenes import shipped

STUDENT = CurveStudent({"fog": 0.25, "day": 0.0}, "00ff" * 4, (320, 192))


def file(**changes: object) -> bytes:
    header = {
        "format": FORMAT,
        "lineage": STUDENT.lineage,
        "size": list(STUDENT.size),
        "skills": dict(STUDENT.skills),
    }
    return json.dumps(header | changes).encode() + b"\n" + bytes(100)


def test_a_student_comes_back_as_it_was_and_equal_ones_are_equal_bytes() -> None:
    data = to_bytes(STUDENT, 5000)
    assert len(data) == 5000
    assert load(data) == STUDENT
    turned = CurveStudent(dict(reversed(STUDENT.skills.items())), STUDENT.lineage, STUDENT.size)
    assert to_bytes(turned, 5000) == data


def test_the_first_student_is_as_large_as_a_real_one() -> None:
    fit = shipped()
    assert load(first_student(fit)).skills["day"] == fit.learning.conditions["day"].first
    real = fit.model_copy(update={"file_bytes": 5_256_000})
    assert len(first_student(real)) == 5_256_000 < MAX_STUDENT_BYTES


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "does not begin with a header"),
        (bytes(5000), "does not begin with a header"),
        (b"{}\n", "missing required field"),
        (b"[" * 9000 + b"\n", "not a student"),
        (b"\xff\xfe\n", "not a student"),
        (file(format="another"), "not a 'ecco-emu curve student 1'"),
        (file(lineage="../../etc/passwd"), "sixteen hex digits"),
        (file(size=[0, 192]), "input size 0x192"),
        (file(size=[320]), "not a student"),
        (file(skills={"fog": 1.5}), "from 0 to 1"),
        (file(skills={"fog": -0.1}), "from 0 to 1"),
        (file(skills={"fog": "much"}), "not a student"),
        (file(skills={"fog" * 100: 0.1}), "short names"),
        (file(skills={str(place): 0.1 for place in range(65)}), "at most 64 conditions"),
        (file(code="import os"), "unknown field"),
        (file() + b"x", "something else than zeros"),
        (file() + bytes(MAX_STUDENT_BYTES), "at most 6000000 bytes"),
    ],
)
def test_any_other_bytes_are_refused(data: bytes, fault: str) -> None:
    with pytest.raises(BadStudentError, match=fault):
        load(data)


def test_users_are_counted() -> None:
    students, data = Students(), file()
    model = model_hash(data)
    students.add(model, data)
    students.add(model, data)
    students.remove(model)
    assert students[model] == STUDENT
    students.remove(model)
    students.remove(model)  # nothing happens
    assert model not in students
    with pytest.raises(UnknownModelError, match=model):
        students[model]


def test_a_file_under_anothers_name_is_refused() -> None:
    with pytest.raises(BadStudentError, match="hash to"):
        Students().add(ModelHash("0" * 16), file())
