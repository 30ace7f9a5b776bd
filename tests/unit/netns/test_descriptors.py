"""Room for a lab's file descriptors."""

from __future__ import annotations

import os
import resource

import pytest

from netns.descriptors import make_room
from netns.errors import CapabilityError


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The limits of this process, the newest last; it has ten descriptors open."""
    seen = [(100, 500)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: seen[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: seen.append(new))
    monkeypatch.setattr(os, "listdir", lambda _: [str(number) for number in range(10)])
    return seen


def test_a_limit_that_suffices_is_left_alone(limits: list[tuple[int, int]]) -> None:
    make_room(90)
    assert limits == [(100, 500)]


def test_the_soft_limit_is_raised_to_the_hard_one(limits: list[tuple[int, int]]) -> None:
    make_room(91)
    assert limits[-1] == (500, 500)


def test_a_hard_limit_that_is_too_low_is_named_with_the_way_out(limits: list[tuple[int, int]]) -> None:
    with pytest.raises(CapabilityError, match=r"501 are needed, and the hard limit is 500.*ulimit -Hn 501"):
        make_room(491)
    assert limits == [(100, 500)]
