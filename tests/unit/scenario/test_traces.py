"""Traces in scenarios: how they are named, where their files are looked for, and what is wrong with them."""

from __future__ import annotations

import json

import pytest

from ecco_emu.scenario import dump, loading, profiles

from .conftest import SMALL, lines, wrong


def test_a_trace_is_a_name_or_a_mapping(small):
    small["network"] = {"uplink": {"trace": "lte"}, "downlink": {"trace": {"file": "wifi", "loop": False}}}
    scenario = loading.from_mapping(small)
    assert scenario.network.uplink.trace.file == "lte"
    assert scenario.network.uplink.trace.loop
    assert not scenario.network.downlink.trace.loop
    assert profiles.trace_path("lte").name == "lte.mahimahi"
    assert profiles.trace_path("wifi").name == "wifi.csv"
    assert profiles.traces() == ["commuter", "lte", "wifi"]


def test_a_camera_may_have_a_trace_of_its_own_or_none(small):
    small["network"] = {"uplink": {"trace": "lte"}}
    small["cameras"][0]["uplink"] = {"trace": None}
    small["cameras"][1]["uplink"] = {"trace": {"file": "lte", "start": "5s"}}
    scenario = loading.from_mapping(small)
    assert scenario.uplink_of(scenario.cameras[0]).trace is None
    assert scenario.uplink_of(scenario.cameras[1]).trace.start == 5.0


def test_paths_count_from_the_scenarios_folder(write, tmp_path):
    (tmp_path / "mine.csv").write_text("time_s,rate_bps\n0,1e6\n1,2e6\n")
    path = write(
        f"{SMALL}network: {{uplink: {{trace: mine.csv}}, bottleneck: {{trace: {{file: ./mine.csv}}}}}}"
    )
    network = loading.load(path).scenario.network
    assert network.uplink.trace.file == str(tmp_path / "mine.csv")
    assert profiles.trace_path(network.bottleneck.trace.file).samefile(tmp_path / "mine.csv")


@pytest.mark.parametrize(
    ("trace", "message"),
    [
        ("ltee", "no trace 'ltee'; did you mean 'lte'?; or give a path"),
        ("zebra", "no trace 'zebra'; there are: commuter, lte, wifi; or give a path"),
        ("./no/such.csv", "no trace at "),
        ("", "no trace ''; there are: commuter, lte, wifi"),
    ],
)
def test_a_trace_that_is_not_there(write, trace, message):
    path = write(f"{SMALL}network:\n  uplink:\n    trace: '{trace}'\n")
    (line,) = lines(path)
    assert line.startswith(f"14:12: network.uplink.trace: {message}")


def test_a_mistake_in_a_mapping_is_at_its_place(write):
    path = write(f"{SMALL}network: {{uplink: {{trace: {{flie: lte}}}}}}\n")
    assert any("unknown key 'flie'; did you mean 'file'?" in line for line in lines(path))


def test_upper_layers_checks_are_asked_and_their_findings_get_places(write):
    class Checks:
        def findings(self, draft, *, files):
            assert files
            return [((*path, "trace"), f"{shape.trace.start:g}") for path, shape in draft.traced().items()]

        def cautions(self, scenario):
            return [(("cameras", 1), "is odd")]

    path = write(
        SMALL.replace("}}\n  - {id: cam2", "}, uplink: {trace: {file: lte, start: 5s}}}\n  - {id: cam2")
    )
    assert lines(path, checks=Checks()) == ["10:77: cameras[0].uplink.trace: 5"]
    (warning,) = (
        one for one in loading.load(write(SMALL), checks=Checks()).warnings if one.path == "cameras[1]"
    )
    assert str(warning) == f"{path}:11:5: cameras[1]: is odd"
    assert warning.severity == "warning"


def test_losses_exclude_each_other_and_a_cameras_own_replaces_the_default(small):
    small["network"] = {"uplink": {"loss": "1%", "burst_loss": {"mean": "1%", "packets": 3}}}
    assert wrong(small) == ["network.uplink: a link has loss or burst_loss, not both"]
    small["network"] = {"uplink": {"loss": "1%"}}
    small["cameras"][0]["uplink"] = {"burst_loss": {"mean": "2%", "packets": 3}}
    scenario = loading.from_mapping(small)
    own, default = (scenario.uplink_of(camera) for camera in scenario.cameras)
    assert (own.loss, own.burst_loss.mean) == (0.0, 0.02)
    assert (default.loss, default.burst_loss) == (0.01, None)


def test_reordering_needs_a_delay(small):
    small["network"] = {"bottleneck": {"delay": "0s", "reorder": "1%"}}
    assert wrong(small) == [
        "network.bottleneck: reorder needs a delay: it lets packets overtake those that are delayed"
    ]
    small["network"] = {"uplink": {"reorder": "1%"}}
    small["cameras"][0]["uplink"] = {"delay": "0s"}
    assert wrong(small) == [
        "cameras[0].uplink: reorder needs a delay, with network.uplink for what is left out"
    ]


def test_the_json_schema_takes_a_trace_in_both_ways():
    uplink = json.loads(json.dumps(dump.json_schema()))["$defs"]["Uplink"]["properties"]["trace"]
    kinds = {option.get("type") or option.get("$ref") for option in uplink["anyOf"]}
    assert kinds == {"string", "null", "#/$defs/LinkTrace"}
