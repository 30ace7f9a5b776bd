"""Emulated units become the host's, and the lab has the links the scenario names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ecco_emu.emulation.topology import SERVER, host_shape, lab_spec, replays, trace_problem
from ecco_emu.scenario import schema
from ecco_emu.scenario.loading import from_mapping
from ecco_emu.scenario.sections.network import ShapeSection


def scenario(**changes: object) -> schema.Scenario:
    return from_mapping(
        {
            "version": 1,
            "name": "two",
            "windows": {"count": 2, "length": "20s", "micro": "2s"},
            "trainer": {"gpus": 2, "gpu_speed": 40, "eval_frames": 8},
            "network": {
                "bottleneck": {"rate": "6mbit", "delay": "10ms", "queue": "200ms"},
                "uplink": {"rate": "4mbit", "delay": "5ms", "loss": "1%"},
            },
            "world": {
                "town": {
                    "districts": [
                        {
                            "name": "all",
                            "center": ["0m", "0m"],
                            "radius": "100m",
                            "weather": [{"at": "0s", "is": "day"}],
                        }
                    ]
                }
            },
            "cameras": [
                {"id": "cam1", "at": ["0m", "0m"], "source": {"look_at": ["9m", "0m"]}},
                {
                    "id": "cam2",
                    "at": ["9m", "0m"],
                    "source": {"look_at": ["0m", "0m"]},
                    "uplink": {"rate": "800kbit"},
                },
            ],
            **changes,
        },
        files=False,
    )


def test_dilation_divides_rates_and_multiplies_delays_and_keeps_queues_in_bytes() -> None:
    shape = ShapeSection.model_validate({"rate": "6mbit", "delay": "10ms", "queue": "200ms"})
    host = host_shape(shape, 4.0)
    assert host.rate_bps == 1.5e6
    assert host.delay_s == pytest.approx(0.04)
    assert host.queue_s is not None
    assert host.rate_bps * host.queue_s == pytest.approx(6e6 * 0.2)


def test_every_camera_has_its_uplink_and_the_server_the_bottleneck() -> None:
    spec = lab_spec(scenario(), 1.0)
    links = {link.name: link for link in spec.links}
    assert set(links) == {SERVER, "cam1", "cam2"}
    assert links[SERVER].ingress.rate_bps == 6e6
    assert links[SERVER].egress.rate_bps == 50e6
    assert links["cam1"].egress.rate_bps == 4e6
    assert links["cam2"].egress.rate_bps == 800e3
    assert links["cam2"].egress.loss == pytest.approx(0.01)  # what it does not override it inherits
    assert links["cam1"].ingress.rate_bps is None
    assert links["cam1"].ingress.delay_s == pytest.approx(5e-3)


def test_every_impairment_reaches_the_link_lab_both_ways() -> None:
    uplink = {
        "rate": "2mbit",
        "delay": "20ms",
        "jitter": "5ms",
        "jitter_distribution": "pareto",
        "burst_loss": {"mean": "2%", "packets": 5},
        "reorder": "1%",
        "duplicate": "2%",
        "corrupt": "3%",
    }
    link = next(
        link for link in lab_spec(scenario(network={"uplink": uplink}), 2.0).links if link.name == "cam1"
    )
    for shape in (link.egress, link.ingress):
        assert shape.delay_s == pytest.approx(0.04)
        assert shape.jitter_s == pytest.approx(0.01)
        assert shape.jitter_distribution == "pareto"
        assert shape.burst_loss is not None
        assert shape.burst_loss.mean_loss == pytest.approx(0.02)
        assert (shape.reorder, shape.duplicate, shape.corrupt) == pytest.approx((0.01, 0.02, 0.03))
    assert (link.egress.rate_bps, link.ingress.rate_bps) == (1e6, None)


def test_a_trace_is_stretched_by_the_dilation() -> None:
    traced = scenario(network={"uplink": {"trace": {"file": "wifi", "start": "2s"}}})
    once, twice = (replays(traced, dilation)[0] for dilation in (1.0, 2.0))
    assert (once.on, twice.start_s) == ("cam1", 4.0)
    assert twice.trace.duration_s == pytest.approx(2 * once.trace.duration_s)
    for before, after in zip(once.trace.points, twice.trace.points, strict=True):
        assert after.time_s == pytest.approx(2 * before.time_s)
        assert after.rate_bps == pytest.approx((before.rate_bps or 0.0) / 2)
    # what the run is told is in its own units, whatever the dilation
    assert once.mean_rate_bps(3.0, 9.0) == pytest.approx(twice.mean_rate_bps(3.0, 9.0))


def test_a_link_whose_rate_only_its_trace_sets_is_planned_with_a_rate() -> None:
    uplink = {"rate": None, "trace": "lte", "reorder": "1%"}
    link = lab_spec(scenario(network={"uplink": uplink}), 2.0).links[1]
    traced = replays(scenario(network={"uplink": uplink}), 2.0)[0]
    assert link.egress.rate_bps == max(point.rate_bps or 0.0 for point in traced.trace.points)
    assert link.ingress.rate_bps is None


def test_a_link_that_is_to_be_impaired_later_is_made_for_it() -> None:
    clean = {"delay": "0s", "loss": "0%"}
    changes = [
        {"at": "3s", "on": "cam2", "set": {"delay": "10ms"}},
        {"at": "3s", "on": "cam1", "cliff": {"rate": "1mbit"}},
    ]
    spec = lab_spec(
        scenario(network={"uplink": clean, "bottleneck": clean, "downlink": clean}, faults=changes), 1.0
    )
    assert {link.name for link in spec.links if link.live_impairments} == {"cam2"}
    spec = lab_spec(scenario(network={"uplink": clean, "bottleneck": {"trace": "commuter"}}), 1.0)
    assert {link.name for link in spec.links if link.live_impairments} == {SERVER}


@pytest.mark.parametrize(
    ("text", "shape", "message"),
    [
        ("time_s,rate_bps\n0,1e6\n1,no\n", {}, r"t\.csv:3: rate_bps: 'no' is not a number"),
        (
            "time_s,rate_bps\n0,1e6\n5,1e6\n",
            {"start": "5s"},
            r"start \(5s\) is not within the trace, which lasts 5s",
        ),
        (
            "time_s,delay_s\n0,0.01\n5,0.01\n",
            {"jitter": "20ms"},
            r"jitter \(20ms\) cannot be larger than .* \(10ms\)",
        ),
        ("time_s,delay_s\n0,0\n5,0.01\n", {"reorder": "1%"}, "reorder needs a delay"),
        ("time_s,delay_s\n0,0.05\n5,0.01\n", {"jitter": "20ms"}, None),
    ],
)
def test_a_trace_is_checked_with_its_link(
    tmp_path: Path, text: str, shape: dict[str, str], message: str | None
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    start = shape.pop("start", "0s")
    link = ShapeSection.model_validate(
        {"delay": "50ms", "trace": {"file": str(path), "start": start}, **shape}
    )
    found = trace_problem(link)
    assert found is None if message is None else re.search(message, found or "")
