from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecco_emu.core.errors import ScenarioError
from ecco_emu.core.faults import LinkDown, LinkSet, LinkUp, action, where
from ecco_emu.scenario import loading
from ecco_emu.scenario.faults import timeline
from ecco_emu.scenario.faults.line import parse_fault
from ecco_emu.scenario.faults.timeline import FaultStep
from ecco_emu.scenario.sections.faults import FaultSection

from .conftest import wrong


def told(step):
    """What the step does, in words."""
    return action(step.change, step.phase)


def timeline_of(small, *items):
    small["faults"] = list(items)
    return timeline.timeline(loading.from_mapping(small))


def test_a_down_for_a_while_ends_by_itself(small):
    assert timeline_of(small, {"at": "8s", "on": "cam2", "down": {"for": "4s"}}) == [
        FaultStep(0, LinkDown("cam2"), "start", 8.0),
        FaultStep(0, LinkDown("cam2"), "end", 12.0),
    ]


def test_an_up_ends_a_down_early_and_only_once(small):
    events = timeline_of(
        small,
        {"at": "5s", "on": "cam2", "up": True},
        {"at": "2s", "on": "cam2", "down": {"for": "9s"}},
        {"at": "3s", "on": "bottleneck", "set": {"rate": "2mbit"}},
    )
    assert events == [
        FaultStep(1, LinkDown("cam2"), "start", 2.0),
        FaultStep(2, LinkSet("bottleneck", rate_bps=2e6), "start", 3.0),
        FaultStep(0, LinkUp("cam2"), "start", 5.0),
    ]


def test_at_one_time_ends_come_before_starts(small):
    events = timeline_of(
        small,
        {"at": "3s", "on": "cam1", "down": {}},
        {"at": "1s", "on": "cam1", "down": {"for": "2s"}},
    )
    assert [(event.at, told(event), event.index) for event in events] == [
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
    listed = [FaultSection.model_validate({"at": f"{at}s", "on": on, **kind}) for at, on, kind in items]
    ends, problems = timeline.pair(listed)
    changes = []
    bad = {index for index, _ in problems}
    for index, fault in enumerate(listed):
        if index in bad or fault.set is not None:
            continue
        changes.append((fault.at, 1, index, fault.on, action(fault.change, "start")))
        if index in ends and ends[index].ended_by is None:
            changes.append((ends[index].at, 0, index, fault.on, "up"))
    down = set()
    for _, _, _, on, done in sorted(changes):
        assert (on in down) == (done == "up")
        (down.add if done == "down" else down.discard)(on)


@pytest.mark.parametrize(
    ("text", "done", "duration_s", "rate_bps"),
    [
        ("cam2 down for=5s", "down", 5.0, None),
        ("cam2 down", "down", None, None),
        ("cam2 up", "up", None, None),
        ("  bottleneck   set rate=2mbit ", "set rate=2mbit", None, 2e6),
    ],
)
def test_a_fault_is_read_from_one_line(text, done, duration_s, rate_bps):
    fault = parse_fault(text, at=7.25, cameras=["cam2"])
    assert fault.at == 7.25
    assert action(fault.change, "start") == done
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
        ("cam2 set", "set: changes nothing; give one of: rate, delay"),
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


def actions(events):
    return [(event.at, told(event), event.phase) for event in events]


def test_a_flap_is_a_row_of_downs_and_ups(small):
    times = timeline_of(small, {"at": "2s", "on": "cam1", "flap": {"down": "1s", "up": "2s", "times": 2}})
    assert actions(times) == [
        (2.0, "down", "start"),
        (3.0, "up", "end"),
        (5.0, "down", "start"),
        (6.0, "up", "end"),
    ]
    lasting = timeline_of(
        small, {"at": "2s", "on": "cam1", "flap": {"down": "1s", "up": "1s", "for": "2500ms"}}
    )
    assert actions(lasting)[-2:] == [(4.0, "down", "start"), (4.5, "up", "end")]


def test_cliffs_partitions_and_blackholes_end_by_themselves(small):
    events = timeline_of(
        small,
        {"at": "1s", "on": "bottleneck", "cliff": {"rate": "200kbit", "for": "2s"}},
        {"at": "4s", "partition": {"sets": [["cam1", "cam2"], ["server"]], "for": "1s"}},
        {"at": "6s", "on": "cam1", "blackhole": {"for": "1s"}},
        {"at": "8s", "on": "downlink", "blackhole": {}},
    )
    assert [(where(event.change), *row) for event, row in zip(events, actions(events), strict=True)] == [
        ("bottleneck", 1.0, "cliff rate=200kbit", "start"),
        ("bottleneck", 3.0, "cliff over", "end"),
        ("cam1, cam2 / server", 4.0, "partition", "start"),
        ("cam1, cam2 / server", 5.0, "partition over", "end"),
        ("cam1", 6.0, "blackhole up", "start"),
        ("cam1", 7.0, "blackhole over", "end"),
        ("downlink", 8.0, "blackhole down", "start"),
    ]


def test_faults_that_overlap_go_together(small):
    small["faults"] = [
        {"at": "1s", "on": "cam1", "down": {"for": "9s"}},
        {"at": "2s", "on": "cam1", "flap": {"down": "1s", "up": "1s", "times": 3}},
        {"at": "3s", "on": "cam1", "blackhole": {"for": "2s"}},
        {"at": "3s", "on": "cam1", "cliff": {"rate": "1mbit"}},
    ]
    assert wrong(small) == []


def test_a_set_tells_all_that_it_changes(small):
    change = {"loss": "1%", "rate": "2mbit", "delay": "20ms", "duplicate": "0.5%"}
    (event,) = timeline_of(small, {"at": "1s", "on": "cam1", "set": change})
    assert told(event) == "set rate=2mbit delay=20ms loss=1% duplicate=0.5%"
    (event,) = timeline_of(
        small, {"at": "1s", "on": "cam1", "set": {"burst_loss": {"mean": "2%", "packets": 5}}}
    )
    assert told(event) == "set burst_loss=2% in 5"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            {"on": "cam1", "flap": {"down": "1s", "up": "1s"}},
            "faults[0].flap: a flap has exactly one of: times, for",
        ),
        (
            {"on": "cam1", "flap": {"down": "1s", "up": "1s", "tmies": 3}},
            "faults[0].flap.tmies: unknown key 'tmies'; did you mean 'times'?",
        ),
        ({"on": "cam1", "cliff": {}}, "faults[0].cliff.rate: is missing"),
        ({"on": "cam1", "cliff": {"rate": "0bit"}}, "faults[0].cliff.rate: '0bit' is out of range"),
        ({"on": "cma1", "cliff": {"rate": "1mbit"}}, "faults[0].on: 'cma1' is no link; did you mean 'cam1'?"),
        ({"cliff": {"rate": "1mbit"}}, "faults[0]: is on no link: give 'on'"),
        (
            {"on": "cam1", "partition": {"sets": [["cam1"], ["server"]]}},
            "faults[0]: a partition is between sets",
        ),
        ({"partition": {"sets": [["cam1"]]}}, "faults[0].partition.sets: at least 2 are needed"),
        ({"partition": {"sets": [["cam1"], []]}}, "faults[0].partition.sets[1]: at least one is needed"),
        (
            {"partition": {"sets": [["cam1"], ["sever"]]}},
            "faults[0].partition.sets[1][0]: 'sever' is no node; did you mean 'server'?",
        ),
        (
            {"partition": {"sets": [["cam1"], ["cam2", "cam1"]]}},
            "faults[0].partition.sets[1][1]: 'cam1' stands in sets[0] already",
        ),
        (
            {"on": "cam1", "blackhole": {"direction": "sideways"}},
            "faults[0].blackhole.direction: 'sideways' is not one of: up, down",
        ),
        ({"on": "cam1", "set": {}}, "faults[0].set: changes nothing; give one of: rate, delay"),
        ({"on": "cam1", "set": {"rate": None}}, "faults[0].set: rate: nothing is given"),
        (
            {"on": "cam1", "set": {"jitter": "9ms"}},
            "faults[0].set: jitter (9ms) would be larger than delay (5ms)",
        ),
        (
            {"on": "cam1", "set": {"loss": "1%", "burst_loss": {"mean": "1%", "packets": 2}}},
            "faults[0].set: a link has loss or burst_loss, not both",
        ),
        (
            {"on": "cam1", "set": {"burst_loss": {"mean": "100%", "packets": 2}}},
            "faults[0].set.burst_loss.mean: '100%' is out of range: it must be less than 100%",
        ),
    ],
)
def test_each_mistake_in_a_fault_is_named(small, fault, message):
    small["faults"] = [{"at": "1s"} | fault]
    (line,) = wrong(small)
    assert line.startswith(message)


def test_a_later_set_is_checked_against_what_an_earlier_one_made(small):
    small["faults"] = [
        {"at": "3s", "on": "cam1", "set": {"jitter": "9ms"}},
        {"at": "2s", "on": "cam1", "set": {"delay": "10ms"}},
        {"at": "4s", "on": "cam1", "set": {"delay": "8ms"}},
    ]
    (line,) = wrong(small)
    assert line.startswith("faults[2].set: jitter (9ms) would be larger than delay (8ms)")


def test_the_rate_of_a_traced_link_is_not_set(small):
    small["network"] = {"uplink": {"trace": "lte"}}
    small["faults"] = [{"at": "3s", "on": "cam1", "set": {"rate": "1mbit"}}]
    assert wrong(small) == [
        "faults[0].set.rate: the rate of cam1 follows its trace; cap it with a 'cliff' instead"
    ]


@pytest.mark.parametrize(
    ("line", "done"),
    [
        ("cam1 flap down=1s up=2s times=3", "down"),
        ("bottleneck cliff rate=200kbit for=5s", "cliff rate=200kbit"),
        ("cam1 blackhole direction=down", "blackhole down"),
        ("cam1,cam2/server partition for=2s", "partition"),
        ("bottleneck set delay=30ms loss=1%", "set delay=30ms loss=1%"),
    ],
)
def test_every_kind_is_read_from_one_line(line, done):
    fault = parse_fault(line, at=1.5, cameras=["cam1", "cam2"])
    assert told(timeline.steps_of(0, fault)[0]) == done
