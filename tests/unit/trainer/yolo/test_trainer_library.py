"""Students in use are never built twice and never evicted; the others are kept while memory allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn

from ecco_emu.core.errors import HostError
from ecco_emu.core.ids import ModelHash, model_hash
from ecco_emu.trainer.backend import BadStudentError, UnknownModelError
from ecco_emu.trainer.yolo import inference_worker, library
from ecco_emu.trainer.yolo.inference_worker import InferenceServer
from ecco_emu.trainer.yolo.library import RESERVE_BYTES, Library
from ecco_emu.trainer.yolo.student import Student

BYTES = 4000
"""Of a stand-in's weights: 1000 numbers in float32."""


class StandIn(nn.Module):
    """A detector that is built in no time."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(BYTES // 4))

    def fuse(self, verbose: bool) -> StandIn:
        return self


class Shelf:
    """Stands in for ``student.load``: counts how often a student is built."""

    def __init__(self) -> None:
        self.builds = 0

    def load(self, data: bytes) -> Student:
        if data == b"bad":
            raise BadStudentError("not a student")
        self.builds += 1
        return Student(StandIn(), (64, 64))  # type: ignore[arg-type]


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    shelf = Shelf()
    monkeypatch.setattr(library, "load", shelf.load)
    return shelf


def students(count: int) -> list[tuple[ModelHash, bytes]]:
    files = [f"student {number}".encode() for number in range(count)]
    return [(model_hash(file), file) for file in files]


def keeping(*, files: bool = False, kept_bytes: int = 0, free: Callable[[], int] | None = None) -> Library:
    return Library(
        torch.device("cpu"), files=files, kept_bytes=kept_bytes, available_bytes=free or (lambda: 1 << 40)
    )


def names(held: Library, among: list[tuple[ModelHash, bytes]]) -> Iterator[ModelHash]:
    return (model for model, _ in among if model in held)


@pytest.mark.parametrize("count", [1, 22, 70])
def test_the_cost_of_a_frame_does_not_depend_on_how_many_students_are_in_use(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    seen: list[object] = []
    monkeypatch.setattr(inference_worker, "detect", lambda model, *_, **__: seen.append(model) or [])
    server = InferenceServer(threads=1)
    used = students(count)
    for model, file in used:
        server.add_model(model, file)
    assert shelf.builds == count
    for _ in range(3):  # frames interleaved, one of every camera in turn
        for model, _ in used:
            server.detect(model, [], None, 0.05)
    assert shelf.builds == count
    assert seen[:count] == seen[count : 2 * count] == seen[2 * count :]
    assert len({id(model) for model in seen}) == count


def test_students_in_use_are_never_evicted_whatever_they_take(shelf: Shelf) -> None:
    held = keeping(kept_bytes=BYTES)
    used = students(5)
    for model, file in used:
        held.add(model, file)
    assert list(names(held, used)) == [model for model, _ in used]
    assert held.bytes == 5 * BYTES


def test_a_file_is_kept_beside_the_detector_and_counted_where_it_is_trained_from(shelf: Shelf) -> None:
    held = keeping(files=True, kept_bytes=1 << 20)
    [(model, file)] = students(1)
    held.add(model, file)
    assert held.bytes == BYTES + len(file)
    assert held.fresh(model).model is not held.ready(model).model


def test_a_student_is_known_until_its_last_user_leaves(shelf: Shelf) -> None:
    held = keeping(kept_bytes=1 << 20)
    [(model, file)] = students(1)
    held.add(model, file)
    held.add(model, file)
    held.remove(model)
    assert held.ready(model).size == (64, 64)
    held.remove(model)
    with pytest.raises(UnknownModelError, match="add it first"):
        held.ready(model)
    held.remove(model)  # a user too few changes nothing
    held.add(model, file)
    assert held.ready(model)
    assert shelf.builds == 1  # it was still at hand


def test_students_without_users_go_first_come_first_when_the_bytes_are_full(shelf: Shelf) -> None:
    held = keeping(kept_bytes=3 * BYTES)
    [(first, _), (second, _), (third, _), (fourth, _)] = some = students(4)
    for model, file in some[:3]:
        held.add(model, file)
    for model in (second, first, third):
        held.remove(model)
    held.add(*some[3])
    assert held.bytes == 3 * BYTES
    held.add(*some[0])
    held.add(*some[2])
    assert shelf.builds == 4  # both were at hand
    held.add(*some[1])
    assert shelf.builds == 5  # the one without users for longest was not
    assert list(names(held, some)) == [first, second, third, fourth]


def test_where_memory_ends_the_error_says_so(shelf: Shelf) -> None:
    used = students(4)
    held: Library
    held = keeping(kept_bytes=1 << 40, free=lambda: RESERVE_BYTES + 3 * BYTES - held.bytes)
    for model, file in used[:3]:
        held.add(model, file)
    with pytest.raises(HostError, match="3 students in use take 0 MB"):
        held.add(*used[3])
    assert used[3][0] not in held
    held.remove(used[0][0])
    held.add(*used[3])  # the one without users made room, though less than the bound was kept
    assert held.bytes == 3 * BYTES


def test_a_bad_student_has_no_users(shelf: Shelf) -> None:
    held = keeping()
    with pytest.raises(BadStudentError, match="hash to"):
        held.add(ModelHash("0" * 16), b"student 0")
    with pytest.raises(BadStudentError, match="not a student"):
        held.add(model_hash(b"bad"), b"bad")
    assert ModelHash("0" * 16) not in held
    assert model_hash(b"bad") not in held
    assert held.bytes == 0
