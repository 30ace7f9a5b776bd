"""The camera's shelf of students: what is fetched, what is run, what is refused."""

from __future__ import annotations

import pytest

from ecco_emu.camera.students import StudentShelf
from ecco_emu.core.errors import ProtocolError
from ecco_emu.core.ids import ModelHash, model_hash

FILES = [f"student {number}".encode() for number in range(8)]
MODELS = [model_hash(file) for file in FILES]


def fetch(shelf: StudentShelf, number: int) -> None:
    assert not shelf.announce(MODELS[number])
    assert shelf.next_fetch() == MODELS[number]
    shelf.arrived(MODELS[number], FILES[number])
    shelf.run(MODELS[number])


def test_a_student_it_holds_is_run_without_a_transfer() -> None:
    shelf = StudentShelf(FILES[0])
    fetch(shelf, 1)
    assert shelf.announce(MODELS[0])
    assert shelf.next_fetch() is None


def test_one_transfer_at_a_time_and_the_newest_wins() -> None:
    shelf = StudentShelf(FILES[0])
    shelf.announce(MODELS[1])
    assert shelf.next_fetch() == MODELS[1]
    shelf.announce(MODELS[2])
    shelf.announce(MODELS[3])
    assert shelf.next_fetch() is None  # one is on its way
    shelf.arrived(MODELS[1], FILES[1])
    assert shelf.next_fetch() == MODELS[3]


def test_a_lost_connection_forgets_the_transfer_but_not_the_wish() -> None:
    shelf = StudentShelf(FILES[0])
    shelf.announce(MODELS[1])
    shelf.next_fetch()
    shelf.forget_fetch()
    assert shelf.next_fetch() == MODELS[1]


def test_weights_that_are_not_what_their_hash_says_are_refused() -> None:
    shelf = StudentShelf(FILES[0])
    shelf.announce(MODELS[1])
    shelf.next_fetch()
    with pytest.raises(ProtocolError, match="other content"):
        shelf.arrived(MODELS[1], FILES[2])
    assert MODELS[1] not in shelf
    assert shelf.running == MODELS[0]


def test_unasked_weights_are_refused() -> None:
    shelf = StudentShelf(FILES[0])
    with pytest.raises(ProtocolError, match="unasked"):
        shelf.arrived(MODELS[1], FILES[1])


def test_the_shelf_is_bounded_and_keeps_what_runs() -> None:
    shelf = StudentShelf(FILES[0], capacity=3)
    for number in range(1, 6):
        fetch(shelf, number)
    held = [model for model in MODELS if model in shelf]
    assert len(held) == 3
    assert shelf.running == MODELS[5]
    assert shelf.weights(shelf.running) == FILES[5]
    assert shelf.weights(ModelHash("0" * 16)) is None
