"""The students a camera keeps: what is fetched, what is run, what is refused."""

from __future__ import annotations

import tracemalloc

import pytest

from ecco_emu.camera.students import StudentCache
from ecco_emu.core.errors import ProtocolError
from ecco_emu.core.ids import ModelHash, model_hash

FILES = [f"student {number}".encode() for number in range(8)]
MODELS = [model_hash(file) for file in FILES]


def fetch(students: StudentCache, number: int) -> None:
    assert not students.announce(MODELS[number])
    assert students.next_fetch() == MODELS[number]
    students.arrived(MODELS[number], FILES[number])
    students.run(MODELS[number])


def test_a_student_it_holds_is_run_without_a_transfer() -> None:
    students = StudentCache(FILES[0])
    fetch(students, 1)
    assert students.announce(MODELS[0])
    assert students.next_fetch() is None


def test_one_transfer_at_a_time_and_the_newest_wins() -> None:
    students = StudentCache(FILES[0])
    students.announce(MODELS[1])
    assert students.next_fetch() == MODELS[1]
    students.announce(MODELS[2])
    students.announce(MODELS[3])
    assert students.next_fetch() is None  # one is on its way
    students.arrived(MODELS[1], FILES[1])
    assert students.next_fetch() == MODELS[3]


def test_a_lost_connection_forgets_the_transfer_but_not_the_wish() -> None:
    students = StudentCache(FILES[0])
    students.announce(MODELS[1])
    students.next_fetch()
    students.forget_fetch()
    assert students.next_fetch() == MODELS[1]


def test_weights_that_are_not_what_their_hash_says_are_refused() -> None:
    students = StudentCache(FILES[0])
    students.announce(MODELS[1])
    students.next_fetch()
    with pytest.raises(ProtocolError, match="other content"):
        students.arrived(MODELS[1], FILES[2])
    assert students.weights(MODELS[1]) is None
    assert students.running == MODELS[0]


def test_unasked_weights_are_refused() -> None:
    students = StudentCache(FILES[0])
    with pytest.raises(ProtocolError, match="unasked"):
        students.arrived(MODELS[1], FILES[1])


def test_the_cache_is_bounded_and_keeps_what_runs() -> None:
    students = StudentCache(FILES[0], capacity=3)
    for number in range(1, 6):
        fetch(students, number)
    held = [model for model in MODELS if students.weights(model) is not None]
    assert len(held) == 3
    assert students.running == MODELS[5]
    assert students.weights(students.running) == FILES[5]
    assert students.weights(ModelHash("0" * 16)) is None


def test_the_running_student_is_not_to_be_run_again() -> None:
    students = StudentCache(FILES[0])
    assert not students.announce(MODELS[0])
    assert students.next_fetch() is None


def test_a_file_on_its_way_is_kept_and_not_run_when_the_server_went_back() -> None:
    students = StudentCache(FILES[0])
    students.announce(MODELS[1])
    assert students.next_fetch() == MODELS[1]
    assert not students.announce(MODELS[0])  # runs already
    assert not students.arrived(MODELS[1], FILES[1])
    assert students.announce(MODELS[1])  # but it is here when it is wanted after all
    students.announce(MODELS[2])
    assert students.next_fetch() == MODELS[2]
    assert students.arrived(MODELS[2], FILES[2])


@pytest.mark.parametrize("weights", [b"a student", b"numbers".ljust(5_000_000, b"\0"), b"\0\0", b""])
def test_a_file_is_given_back_as_it_came(weights: bytes) -> None:
    students = StudentCache(weights)
    assert students.weights(students.running) == weights
    assert students.weights(ModelHash("0" * 16)) is None


def test_zeros_at_a_files_end_take_no_memory() -> None:
    """A hundred cameras hold up to four students each, and modelled ones are zeros but for a few numbers."""
    tracemalloc.start()
    try:
        students = StudentCache(FILES[0])
        for number in range(3):
            padded = f"student {number}".encode().ljust(5_000_000, b"\0")
            students.announce(model_hash(padded))
            students.next_fetch()
            students.arrived(model_hash(padded), padded)
        del padded
        assert tracemalloc.get_traced_memory()[0] < 100_000
    finally:
        tracemalloc.stop()


def test_all_cameras_share_the_file_that_they_begin_with() -> None:
    weights = b"x" * 1_000_000 + b"\0"
    tracemalloc.start()
    try:
        cameras = [StudentCache(weights) for _ in range(10)]
        assert tracemalloc.get_traced_memory()[0] < 2_000_000
    finally:
        tracemalloc.stop()
    assert {camera.weights(camera.running) for camera in cameras} == {weights}
