from __future__ import annotations

import pytest

from ecco_emu.core import events
from ecco_emu.core.faults import LinkDown, LinkUp
from ecco_emu.record import expectations as judging
from ecco_emu.record.expectations import RunFacts, evaluate
from ecco_emu.record.metrics import RunMetrics
from ecco_emu.scenario import expectations, loading
from ecco_emu.scenario.expectations import Comparison, FaultMoment
from ecco_emu.scenario.sections.expect import ExpectationSection

DELIVERS = {"camera": "cam2", "within": "10s", "of": "fault[0].end", "delivers": ">= 2 segments"}


class Facts:
    def __init__(self, ends=None, delivered=(), final=None):
        self.ends, self.times, self.final = ends or {}, delivered, final

    def fault_time(self, index, phase):
        return self.ends.get((index, phase))

    def delivered(self, camera, start, end):
        return sum(camera == "cam2" and start <= t <= end for t in self.times)

    def final_map(self, camera):
        return self.final


def delivered(*times):
    return Facts({(0, "end"): 12.0}, times)


@pytest.mark.parametrize(
    ("text", "value", "held"),
    [
        (">= 2", 2, True),
        ("> 2", 2, False),
        ("<= 2", 2, True),
        ("< 2", 2, False),
        ("== 2", 2, True),
        ("!= 2", 2, False),
    ],
)
def test_comparisons(text, value, held):
    assert expectations.parse_delivers(f"{text} segments").holds(value) is held


def test_comparisons_are_read():
    assert expectations.parse_delivers(">=1segment") == Comparison(">=", 1.0)
    assert expectations.parse_map(" > .25 ") == Comparison(">", 0.25)


@pytest.mark.parametrize(
    "text", ["", "1 segment", "=> 1 segment", ">= one segment", ">= 1 frame", ">= -1 segments"]
)
def test_bad_comparisons_are_refused(text):
    with pytest.raises(ValueError, match=r"\S"):
        expectations.parse_delivers(text)


def test_moments_are_read():
    assert expectations.parse_moment("start") == 0.0
    assert expectations.parse_moment("25s") == 25.0
    assert expectations.parse_moment("fault[3].end") == FaultMoment(3, "end")
    for bad in ("end", "fault[0]", "fault[-1].end", "fault[0].middle", "25", "-1s"):
        with pytest.raises(ValueError, match=r"\S"):
            expectations.parse_moment(bad)


def test_segments_count_from_the_moment_to_its_end_inclusive():
    expectation = ExpectationSection.model_validate(DELIVERS)
    assert evaluate(expectation, delivered(11.99, 12.0, 22.0, 22.01)) == (
        True,
        "2 segments delivered from 12.00 s to 22.00 s",
    )
    assert evaluate(expectation, delivered(11.99, 12.0, 22.01)) == (
        False,
        "1 segment delivered from 12.00 s to 22.00 s",
    )


def test_a_moment_that_never_came_fails_the_expectation():
    assert evaluate(ExpectationSection.model_validate(DELIVERS), Facts()) == (
        False,
        "fault[0].end never came",
    )


def test_accuracy_at_the_end():
    expectation = ExpectationSection.model_validate({"camera": "cam2", "map": ">= 0.3"})
    assert evaluate(expectation, Facts(final=0.3)) == (True, "mAP was 0.300 at the end")
    assert evaluate(expectation, Facts(final=0.2999)).held is False
    assert evaluate(expectation, Facts()) == (False, "its accuracy was never measured")


def test_descriptions():
    assert (
        judging.describe(ExpectationSection.model_validate(DELIVERS))
        == "cam2 delivers >= 2 segments within 10s of fault[0].end"
    )
    assert (
        judging.describe(ExpectationSection.model_validate({"camera": "cam2", "map": "> 0.3"}))
        == "cam2 ends with mAP > 0.3"
    )


def fault(index, phase, applied, change=None):
    return events.FaultApplied(
        t=applied,
        index=index,
        change=change or LinkDown("cam2"),
        phase=phase,
        requested=0.0,
        applied=applied,
    )


def segment(t, state="delivered", camera="cam2"):
    return events.SegmentMoved(t=t, camera=camera, sequence=0, state=state, frames=5, bytes=100)


def test_a_runs_events_are_its_facts(small):
    small["faults"] = [{"at": "4s", "on": "cam2", "down": {"for": "2s"}}]
    small["expect"] = [{**DELIVERS, "within": "5s"}]
    scenario = loading.from_mapping(small)
    metrics = RunMetrics()
    facts = RunFacts(scenario, metrics)
    for event in (
        segment(6.0),
        fault(0, "start", 4.01),
        fault(0, "end", 6.02),
        segment(7.0),
        segment(7.5, state="late"),
        segment(7.6, camera="cam1"),
        segment(8.0),
        events.Accuracy(t=9.0, camera="cam2", map=0.2, map50=0.4, frames=8, model="x"),
        events.Accuracy(t=19.0, camera="cam2", map=0.4, map50=0.6, frames=8, model="x"),
    ):
        metrics.apply(event)
    assert evaluate(scenario.expect[0], facts) == (True, "2 segments delivered from 6.02 s to 11.02 s")
    assert facts.final_map("cam2") == 0.4
    assert facts.final_map("cam1") is None


def test_a_down_that_an_up_ends_has_that_ups_time(small):
    small["faults"] = [
        {"at": "4s", "on": "cam2", "down": {"for": "9s"}},
        {"at": "6s", "on": "cam2", "up": True},
    ]
    metrics = RunMetrics()
    facts = RunFacts(loading.from_mapping(small), metrics)
    assert facts.fault_time(0, "end") is None
    metrics.apply(fault(0, "start", 4.0))
    metrics.apply(fault(1, "start", 6.1, LinkUp("cam2")))
    assert facts.fault_time(0, "end") == 6.1


def test_a_flap_begins_with_its_first_start_and_is_over_with_its_last_end(small):
    small["faults"] = [{"at": "4s", "on": "cam2", "flap": {"down": "1s", "up": "1s", "times": 2}}]
    metrics = RunMetrics()
    facts = RunFacts(loading.from_mapping(small), metrics)
    for phase, applied in (("start", 4.0), ("end", 5.0), ("start", 6.0), ("end", 7.0)):
        metrics.apply(fault(0, phase, applied))
    assert (facts.fault_time(0, "start"), facts.fault_time(0, "end")) == (4.0, 7.0)
