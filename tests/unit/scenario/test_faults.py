from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecco_emu.core.errors import ScenarioError
from ecco_emu.scenario import faults, loading
from ecco_emu.scenario.faults import FaultEvent, parse_fault
from ecco_emu.scenario.schema import Fault


def timeline_of(small, *items):
    small["faults"] = list(items)
    return faults.timeline(loading.from_mapping(small))


def test_a_down_for_a_while_ends_by_itself(small):
    assert timeline_of(small, {"at": "8s", "on": "cam2", "down": {"for": "4s"}}) == [
        FaultEvent(0, "cam2", "down", "start", 8.0),
        FaultEvent(0, "cam2", "up", "end", 12.0),
    ]


def test_an_up_ends_a_down_early_and_only_once(small):
    events = timeline_of(
        small,
        {"at": "5s", "on": "cam2", "up": True},
        {"at": "2s", "on": "cam2", "down": {"for": "9s"}},
        {"at": "3s", "on": "bottleneck", "set": {"rate": "2mbit"}},
    )
    assert events == [
        FaultEvent(1, "cam2", "down", "start", 2.0),
        FaultEvent(2, "bottleneck", "set rate=2mbit", "start", 3.0, 2e6),
        FaultEvent(0, "cam2", "up", "start", 5.0),
    ]


def test_at_one_time_ends_come_before_starts(small):
    events = timeline_of(
        small,
        {"at": "3s", "on": "cam1", "down": {}},
        {"at": "1s", "on": "cam1", "down": {"for": "2s"}},
    )
    assert [(event.at, event.action, event.index) for event in events] == [
        (1.0, "down", 1),
        (3.0, "up", 1),
        (3.0, "down", 0),
    ]


def test_what_would_end_after_the_run_is_left_out(small):
    (event,) = timeline_of(small, {"at": "19s", "on": "cam1", "down": {"for": "5s"}})
    assert event.phase == "start"


@given(
    st.lists(
        st.tuples(
            st.integers(0, 30),
            st.sampled_from(["cam1", "cam2", "bottleneck"]),
            st.sampled_from(
                [{"down": {}}, {"down": {"for": "3s"}}, {"up": True}, {"set": {"rate": "1mbit"}}]
            ),
        ),
        max_size=12,
    )
)
def test_a_paired_list_without_problems_alternates(items):
    """Per link, a down is never applied to a link that is down, nor an up to one that is up."""
    listed = [Fault.model_validate({"at": f"{at}s", "on": on, **action}) for at, on, action in items]
    ends, problems = faults.pair(listed)
    changes = []
    bad = {index for index, _ in problems}
    for index, fault in enumerate(listed):
        if index in bad or fault.set is not None:
            continue
        changes.append((fault.at, 1, index, fault.on, faults.action_of(fault)))
        if index in ends and ends[index].ended_by is None:
            changes.append((ends[index].at, 0, index, fault.on, "up"))
    down = set()
    for _, _, _, on, action in sorted(changes):
        assert (on in down) == (action == "up")
        (down.add if action == "down" else down.discard)(on)


@pytest.mark.parametrize(
    ("text", "action", "duration_s", "rate_bps"),
    [
        ("cam2 down for=5s", "down", 5.0, None),
        ("cam2 down", "down", None, None),
        ("cam2 up", "up", None, None),
        ("  bottleneck   set rate=2mbit ", "set rate=2mbit", None, 2e6),
    ],
)
def test_a_fault_is_read_from_one_line(text, action, duration_s, rate_bps):
    fault = parse_fault(text, at=7.25, cameras=["cam2"])
    assert fault.at == 7.25
    assert faults.action_of(fault) == action
    assert (fault.down.for_ if fault.down else None) == duration_s
    assert (fault.set.rate if fault.set else None) == rate_bps


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "write LINK down"),
        ("cam2", "write LINK down"),
        ("cam2 explode", "'explode' is no fault"),
        ("cam2 up now", "'now' does not belong here"),
        ("cam2 up for=3s", "'for=3s' does not belong here"),
        ("cam2 down for=5", "down.for: '5' has no unit"),
        ("cam2 down fro=5s", "down.fro: unknown key 'fro'; did you mean 'for'?"),
        ("cam2 set", "set.rate: is missing"),
        ("cam2 set rate=0mbit", "at least 8kbit; for a dead link use a 'down' fault"),
        ("cma2 down", "'cma2' is no link; did you mean 'cam2'?"),
    ],
)
def test_what_is_wrong_with_a_line_is_said(text, message):
    with pytest.raises(ScenarioError) as raised:
        parse_fault(text, cameras=["cam2"])
    assert message in str(raised.value)
    assert raised.value.exit_code == 2


@pytest.mark.parametrize("at", [0.0, 1e-7, 12.3456789, 1e17])
def test_any_time_can_be_given(at):
    assert parse_fault("cam2 up", at=at).at == at
