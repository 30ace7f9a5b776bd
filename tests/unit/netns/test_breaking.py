"""The bookkeeping of causes, the timelines of faults, and the lab's thread."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netns import Blackhole, Down, Flap, LabError, Partition, RateCliff, SpecError
from netns.breaking import Causes, Layers
from netns.thread import LabThread


def test_a_thing_is_held_until_its_last_cause_is_gone():
    causes = Causes()
    assert causes.hold(["a", "b"], 1) == ["a", "b"]
    assert causes.hold(["b"], 2) == []
    assert causes.release(["a", "b", "c"], 1) == ["a"]
    assert causes.release(["b"], 2) == ["b"]
    assert not causes.free("b")
    causes.hold(["b"], 1)
    assert causes.free("b")
    assert causes.release(["b"], 1) == []


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 3))))
def test_held_means_some_cause_holds(steps):
    causes, model = Causes(), {}
    for hold, key, cause in steps:
        held = model.setdefault(key, set())
        if hold:
            assert causes.hold([key], cause) == ([] if held else [key])
            held.add(cause)
        else:
            was = bool(held)
            held.discard(cause)
            assert causes.release([key], cause) == ([key] if was and not held else [])
    assert all(causes.free(key) == bool(held) for key, held in model.items())


def test_the_lowest_limit_holds():
    layers = Layers({})
    assert layers.effective(None) is None
    assert layers.effective(5.0) == 5.0
    layers.limits["a"] = 3.0
    layers.limits["b"] = 4.0
    assert layers.effective(None) == 3.0
    assert layers.effective(2.0) == 2.0


def test_timelines():
    assert Down("a").timeline(None) == [(0.0, True)]
    assert Down("a").timeline(2.0) == [(0.0, True), (2.0, False)]
    flap = Flap("a", down_s=1.0, up_s=2.0, times=2)
    assert flap.timeline(None) == [(0.0, True), (1.0, False), (3.0, True), (4.0, False)]
    assert flap.timeline(3.5) == [(0.0, True), (1.0, False), (3.0, True), (3.5, False)]
    endless = Flap("a", down_s=1.0, up_s=2.0)
    assert endless.timeline(4.0) == [(0.0, True), (1.0, False), (3.0, True), (4.0, False)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Down(), "at least one link"),
        (lambda: Flap("a", down_s=0, up_s=1), "over 0"),
        (lambda: Flap("a", down_s=1, up_s=1, times=0), "flap 0 times"),
        (lambda: Flap("a", down_s=1, up_s=1).timeline(None), "never end"),
        (lambda: RateCliff("a", "egress", 1.0), "rate_bps=1 is outside"),
        (lambda: RateCliff("a", "up", 1e6), "none of egress, ingress"),
        (lambda: Partition({"a"}), "two sets"),
        (lambda: Partition({"a", "b"}, {"b"}), "share b"),
        (lambda: Blackhole("a", "both"), "none of egress, ingress"),
    ],
)
def test_faults_that_cannot_be(make, message):
    with pytest.raises(SpecError, match=message):
        make()


def test_the_thread_keeps_order_and_time():
    thread = LabThread("test")
    done = []
    start = thread.now()
    late = thread.call(lambda: done.append("late"), at=start + 0.1)
    later = thread.call(lambda: done.append("later"), at=start + 3600)
    thread.call(lambda: done.append("first"))
    thread.call(lambda: done.append("second")).result(5)
    assert done == ["first", "second"]
    late.result(5)
    assert thread.now() >= start + 0.1
    thread.close()
    assert done == ["first", "second", "late"]
    assert later.cancelled()
    with pytest.raises(LabError, match="closed"):
        thread.call(lambda: None)
    assert not any(other.name == "test" for other in threading.enumerate())


def test_an_error_reaches_its_caller_and_the_thread_goes_on():
    thread = LabThread("test")
    failed = thread.call(lambda: 1 / 0)
    cancelled = thread.call(lambda: None, at=time.monotonic() + 3600)
    assert cancelled.cancel()
    with pytest.raises(ZeroDivisionError):
        failed.result(5)
    assert thread.call(lambda: 5).result(5) == 5
    thread.close()
