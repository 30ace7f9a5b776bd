"""The link lab's limits, in the units of the wall that a scenario's dilation makes of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import netns
from ecco_emu.core.clock import EmulatedTime
from ecco_emu.core.errors import HostError, ScenarioError
from ecco_emu.core.faults import LinkSet
from ecco_emu.emulation import limits
from ecco_emu.emulation.topology import lab_changes, lab_spec, node_of, replays
from ecco_emu.scenario import loading
from ecco_emu.scenario.problems import path_text
from ecco_emu.scenario.schema import Scenario
from ecco_emu.scenario.sections import network
from ecco_emu.scenario.semantics import Draft

DATA: dict[str, Any] = {
    "version": 1,
    "name": "two",
    "clock": {"dilation": 4},
    "world": {
        "town": {
            "districts": [
                {
                    "name": "all",
                    "center": ["0m", "0m"],
                    "radius": "90m",
                    "weather": [{"at": "0s", "is": "day"}],
                }
            ]
        }
    },
    "cameras": [
        {"id": "cam1", "at": ["0m", "0m"], "source": {"look_at": ["9m", "0m"]}},
        {"id": "cam2", "at": ["9m", "0m"], "source": {"look_at": ["0m", "0m"]}},
    ],
}


def found(**changes: object) -> list[str]:
    return [
        f"{path_text(path)}: {message}" for path, message in limits.findings(Draft.of({**DATA, **changes}))
    ]


def fault(**change: object) -> dict[str, object]:
    return {"at": "1s", "on": "bottleneck", **change}


def test_links_that_fit_are_no_problem() -> None:
    assert found() == []
    assert found(clock={}) == []


def test_a_rate_that_is_too_low_for_the_lab_once_dilated() -> None:
    assert found(network={"bottleneck": {"rate": "8kbit"}}) == [
        "network.bottleneck.rate: at a dilation of 4 8kbit is 2kbit of the wall, and a link's least is "
        "8kbit: give at least 32kbit, or a dilation of at most 1"
    ]
    assert found(network={"bottleneck": {"rate": "32kbit"}}) == []
    cameras = [DATA["cameras"][0], {**DATA["cameras"][1], "uplink": {"rate": "9kbit"}}]
    (one,) = found(cameras=cameras)
    assert one.startswith("cameras[1].uplink.rate: ")
    assert one.endswith("a dilation of at most 1.12")


def test_a_rate_that_is_too_high_when_the_clock_runs_faster_than_the_wall() -> None:
    (one,) = found(clock={"dilation": 0.5}, network={"downlink": {"rate": "90gbit", "queue": "10ms"}})
    assert one.endswith("a link's most is 100gbit: give at most 50gbit, or a dilation of at least 0.9")


@pytest.mark.parametrize("key", ["delay", "queue"])
def test_a_time_that_is_too_long_once_dilated(key: str) -> None:
    (one,) = found(network={"uplink": {key: "60s"}})
    assert one == (
        f"network.uplink.{key}: at a dilation of 4 60s is 240s of the wall, and a link's most is 60s: "
        "give at most 15s, or a dilation of at most 1"
    )


def test_a_queue_that_no_link_holds() -> None:
    (one,) = found(clock={"dilation": 1}, network={"bottleneck": {"rate": "100gbit", "queue": "60s"}})
    assert one == (
        "network.bottleneck.queue: 60s at 100gbit are 698 GiB, and a link's queue holds 2 GiB: "
        "give at most 171ms"
    )
    assert found(clock={"dilation": 1}, network={"bottleneck": {"rate": "100gbit", "queue": "171ms"}}) == []


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"cliff": {"rate": "10kbit", "for": "1s"}}, "faults[0].cliff.rate: "),
        ({"set": {"rate": "10kbit"}}, "faults[0].set.rate: "),
        ({"set": {"delay": "30s"}}, "faults[0].set.delay: "),
    ],
)
def test_faults_are_held_against_the_same_limits(change: dict[str, object], path: str) -> None:
    (one,) = found(faults=[fault(**change)])
    assert one.startswith(path)
    assert found(clock={"dilation": 1}, faults=[fault(**change)]) == []


def test_a_fault_is_tried_on_the_link_that_those_before_it_left() -> None:
    later = {"at": "2s", "on": "bottleneck", "set": {"rate": "20gbit"}}
    (one,) = found(network={"bottleneck": {"queue": "2s"}}, faults=[later, fault(set={"rate": "1gbit"})])
    assert one.startswith(
        "faults[0].set: at a dilation of 4 the link lab cannot do this: a queue of 8 s at 5 Gb"
    )


def test_an_engine_that_cannot_is_found_before_the_run() -> None:
    links = {"engine": "kernel", "uplink": {"reorder": "1%"}}
    assert all("engine cannot reorder" in one for one in found(network=links))
    assert found(network=links)
    assert found(network={"uplink": {"reorder": "1%"}}) == []  # the relay can
    # a rate that comes later is refused too, on the engine that the lab has from the beginning
    late = found(
        network={"bottleneck": {"rate": None, "queue": None, "reorder": "1%"}},
        faults=[fault(set={"rate": "1mbit"})],
    )
    assert len(late) == 1
    assert late[0].startswith("faults[0].set: ")


def test_the_relays_memory_is_a_limit() -> None:
    (one,) = found(network={"engine": "relay", "bottleneck": {"rate": "2gbit", "delay": "4s"}})
    assert one.startswith("network.bottleneck: ")
    assert "hold at most 512 MiB" in one


def test_a_trace_is_tried_too(tmp_path: Path) -> None:
    slow = tmp_path / "slow.csv"
    slow.write_text("time_s,rate_bps,delay_s\n0,1e6,0.1\n1,0,20\n2,1e6,0.1\n")
    uplink = {"trace": str(slow)}
    (one,) = found(network={"uplink": uplink})
    assert one.startswith("network.uplink.trace: at a dilation of 4 the link lab cannot do this: delay_s=80")
    assert found(clock={"dilation": 3}, network={"uplink": uplink}) == []


def test_auto_must_bear_every_dilation_that_any_host_may_choose() -> None:
    (one,) = found(clock={}, network={"bottleneck": {"rate": "100kbit"}})
    assert one == (
        "network.bottleneck.rate: at a dilation of 16, which auto may choose, 100kbit is 6.25kbit of the "
        "wall, and a link's least is 8kbit: give at least 128kbit, or a dilation of at most 12.5"
    )
    assert found(clock={}, network={"bottleneck": {"rate": "128kbit"}}) == []


def test_a_host_that_needs_more_than_that_is_told_so_before_the_network_is_made() -> None:
    scenario = loading.from_mapping({**DATA, "clock": {}}, files=False)
    limits.require(scenario, 300.0)
    with pytest.raises(HostError, match=r"a dilation of 600 .*bottleneck\.queue: at a dilation of 600"):
        limits.require(scenario, 600.0)


def test_the_sections_bounds_are_the_labs() -> None:
    assert bounds(network.LinkRate) == netns.RATE_RANGE_BPS
    assert bounds(network.LinkDelay)[1] == bounds(network.LinkQueue)[1] == netns.MAX_DELAY_S


def bounds(annotation: object) -> tuple[float, float]:
    """The least and the most of an annotated number."""
    limits = [each for item in get_args(annotation) for each in getattr(item, "metadata", [])]
    (least,) = (each.ge if hasattr(each, "ge") else each.gt for each in limits if not hasattr(each, "le"))
    (most,) = (each.le for each in limits if hasattr(each, "le"))
    return least, most


RATES = st.floats(8e3, 1e11).map(lambda bps: f"{bps:.6g}bit")
DELAYS = st.floats(0, 60).map(lambda s: f"{s:.6f}s")
QUEUES = st.none() | st.floats(1e-3, 60).map(lambda s: f"{s:.6f}s")
SHARES = st.sampled_from(["0%", "1%", "100%"])
LINKS = st.fixed_dictionaries(
    {},
    optional={
        "rate": st.none() | RATES,
        "delay": DELAYS,
        "queue": QUEUES,
        "loss": SHARES,
        "reorder": SHARES,
    },
)
FAULTS = st.lists(
    st.fixed_dictionaries(
        {
            "at": st.integers(1, 50).map(lambda s: f"{s}s"),
            "on": st.sampled_from(["bottleneck", "downlink", "cam2"]),
        }
    ).flatmap(
        lambda base: st.sampled_from(["cliff", "rate", "delay"]).flatmap(
            lambda kind: {
                "cliff": RATES.map(lambda rate: {**base, "cliff": {"rate": rate}}),
                "rate": RATES.map(lambda rate: {**base, "set": {"rate": rate}}),
                "delay": DELAYS.map(lambda delay: {**base, "set": {"delay": delay}}),
            }[kind]
        )
    ),
    max_size=3,
)


def carry_out(scenario: Scenario, dilation: float) -> None:
    """Everything that a run asks of the lab, on the lab's plan. Raises ``LabError``."""
    plan = netns.plan(lab_spec(scenario, dilation))
    time = EmulatedTime(dilation)
    for replay in replays(scenario, dilation):
        for point in replay.trace.points:
            changes = point.changes(replay.trace.mean_rate_bps)
            netns.changed_plan(plan, node_of(replay.on), "egress", changes)
    for fault in sorted(scenario.faults, key=lambda one: one.at):
        change = fault.change
        if isinstance(change, LinkSet):
            for direction, settings_ in lab_changes(change, time):
                plan = netns.changed_plan(plan, node_of(change.on), direction, settings_)
        elif fault.cliff is not None:
            netns.RateCliff("x", "egress", time.wall_rate(fault.cliff.rate))


@settings(max_examples=150)
@given(
    bottleneck=LINKS,
    uplink=LINKS,
    own=LINKS,
    faults=FAULTS,
    engine=st.sampled_from(["auto", "kernel", "relay"]),
    dilation=st.sampled_from([0.1, 1, 4, 50, 1000]),
)
def test_a_scenario_without_findings_can_be_carried_out(
    bottleneck: dict[str, Any],
    uplink: dict[str, Any],
    own: dict[str, Any],
    faults: list[dict[str, Any]],
    engine: str,
    dilation: float,
) -> None:
    data = {
        **DATA,
        "clock": {"dilation": dilation},
        "network": {"engine": engine, "bottleneck": bottleneck, "uplink": uplink},
        "cameras": [DATA["cameras"][0], {**DATA["cameras"][1], "uplink": own}],
        "faults": faults,
    }
    try:
        scenario = loading.from_mapping(data, files=False)
    except ScenarioError:
        return  # refused whatever the dilation
    if not list(limits.findings(Draft.of(data))):
        carry_out(scenario, dilation)
