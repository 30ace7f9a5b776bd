from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ecco_emu.core.errors import ScenarioError
from ecco_emu.scenario import dump, loading, profiles, reference, schema
from ecco_emu.scenario.sections.base import name_in_yaml
from ecco_emu.scenario.sections.network import CameraUplinkSection
from ecco_emu.scenario.sections.world import WeatherChangeSection
from ecco_emu.scenario.shape import fields_of, inner_model, model_at

from .conftest import SMALL

SMALL_CAMERAS = SMALL.replace("windows: {count: 2, length: 10s, micro: 2s}\n", "")
ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs" / "reference" / "scenario.md"


def test_profiles_lie_in_the_checkout_unless_told(monkeypatch, profiles):
    from ecco_emu.scenario.profiles import profiles_dir

    assert profiles_dir() == profiles
    monkeypatch.delenv("ECCO_EMU_PROFILES")
    assert profiles_dir() == ROOT / "profiles"


def test_a_shipped_scenario_is_found_by_name_unless_a_file_has_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert {"quickstart", "faults/uplink-flap"} <= set(profiles.scenarios())
    assert loading.load("quickstart").path == ROOT / "scenarios" / "quickstart.yaml"
    assert loading.load("faults/uplink-flap").scenario.name == "uplink-flap"
    (tmp_path / "quickstart").write_text(SMALL)
    assert loading.load("quickstart").scenario.name == "small"
    for wrong in ("quickstrt", "scenarios/quickstart.yaml"):
        with pytest.raises(ScenarioError, match="there is no such file; did you mean 'quickstart'"):
            loading.load(wrong)


def test_a_student_is_found_by_name_and_by_path(tmp_path):
    shipped = profiles.student_path("yolo11n-town")
    assert shipped.name == "yolo11n-town.safetensors"
    assert profiles.student_path(str(shipped)) == shipped
    assert profiles.students() == ["yolo11n-town"]


@pytest.mark.parametrize("name", ["zebra", "../x.safetensors", "", "."])
def test_a_missing_student_says_how_to_make_one(name):
    with pytest.raises(ScenarioError, match="ecco-emu pretrain"):
        profiles.student_path(name)


def test_no_students_at_all(tmp_path, monkeypatch):
    monkeypatch.setenv("ECCO_EMU_PROFILES", str(tmp_path / "nowhere"))
    with pytest.raises(ScenarioError, match=r"there are none in .*nowhere"):
        profiles.student_path("yolo11n-town")


def full(small):
    small["clock"] = {"dilation": 2.5}
    small["network"] = {
        "uplink": {"delay": "20ms", "loss": "0.35%"},
        "bottleneck": {"rate": None, "delay": "333us"},
    }
    small["cameras"][1]["uplink"] = {"rate": "123456bit", "jitter": "1.5ms", "trace": "lte"}
    small["network"]["downlink"] = {
        "jitter": "1ms",
        "jitter_distribution": "pareto",
        "burst_loss": {"mean": "2%", "packets": 5},
        "reorder": "1%",
        "duplicate": "1%",
        "corrupt": "1%",
        "trace": {"file": "wifi", "loop": False, "start": "1s"},
    }
    small["faults"] = [
        {"at": "1s", "on": "cam1", "down": {"for": "2.5s"}},
        {"at": "5s", "on": "cam1", "down": {}},
        {"at": "6s", "on": "cam1", "up": True},
        {
            "at": "7s",
            "on": "bottleneck",
            "set": {"rate": "1.5mbit", "burst_loss": {"mean": "1%", "packets": 3}},
        },
        {"at": "7s", "on": "cam1", "flap": {"down": "1s", "up": "2s", "for": "4s"}},
        {"at": "7s", "on": "cam2", "cliff": {"rate": "1mbit"}},
        {"at": "7s", "on": "cam2", "blackhole": {"direction": "down", "for": "1s"}},
        {"at": "8s", "partition": {"sets": [["cam1"], ["cam2", "server"]], "for": "1s"}},
    ]
    small["expect"] = [
        {"camera": "cam1", "within": "5s", "of": "fault[0].end", "delivers": ">= 1 segment"},
        {"camera": "cam2", "map": ">= 0.3"},
    ]
    return loading.from_mapping(small)


def test_what_is_dumped_loads_as_the_same(small, write):
    scenario = full(small)
    again = loading.load(write(dump.dump(scenario))).scenario
    assert again == scenario
    assert [again.uplink_of(camera) for camera in again.cameras] == [
        scenario.uplink_of(camera) for camera in scenario.cameras
    ]
    assert dump.dump(again) == dump.dump(scenario)


def test_a_dump_spells_out_units_and_defaults(small):
    text = dump.dump(full(small))
    for line in (
        "segment_deadline: 4s",
        "loss: 0.35%",
        "rate: 123.456kbit",
        "range: 80m",
        "fade: 1s",
        "rate: null",
    ):
        assert line in text


@pytest.mark.parametrize("path", sorted((ROOT / "scenarios").rglob("*.yaml")), ids=lambda path: path.name)
def test_shipped_scenarios_survive_a_dump(path, write):
    scenario = loading.load(path).scenario
    assert loading.load(write(dump.dump(scenario))).scenario == scenario


def test_the_json_schema_knows_keys_units_and_meanings():
    described = json.loads(json.dumps(dump.json_schema()))
    assert described["$schema"].endswith("2020-12/schema")
    assert set(described["properties"]) == set(fields_of(schema.Scenario))
    assert described["additionalProperties"] is False
    window = described["$defs"]["Windows"]["properties"]["length"]
    assert window["type"] == "string"
    assert "retraining window" in window["description"]
    assert "for" in described["$defs"]["Down"]["properties"]


def models(model=schema.Scenario, seen=None):
    seen = {} if seen is None else seen
    if model not in seen:
        seen[model] = fields_of(model)
        for field in seen[model].values():
            inner = inner_model(field.annotation)
            if inner:
                models(inner, seen)
    return seen


FIELDS = [(model, key) for model, fields in models().items() for key in fields]


@pytest.mark.parametrize(("model", "key"), FIELDS, ids=lambda item: getattr(item, "__name__", item))
def test_every_key_has_a_meaning_and_stands_in_the_reference(model, key):
    assert fields_of(model)[key].description, f"{model.__name__}.{key} has no line of meaning"
    assert re.search(rf"`{re.escape(key)}`", DOCS.read_text(encoding="utf-8")), (
        f"{key} is not in docs/reference/scenario.md"
    )


def test_the_references_tables_are_the_schemas():
    """If not: python -c "from ecco_emu.scenario import reference; reference.write()"."""
    text = DOCS.read_text(encoding="utf-8")
    assert reference.renewed(text) == text
    shown = set(re.findall(r"<!-- table: (\w+) -->", text))
    assert shown == {name_in_yaml(model) for model in models()} - {"CameraUplink"}


@pytest.mark.parametrize(("model", "key"), [("Transport", "qlog"), ("LinkTrace", "loop")])
def test_the_reference_says_which_values_are_true_or_false(model, key):
    assert f"| `{key}` | true or false | `true` |" in reference.table(model)


def test_the_references_examples_are_right(write, small):
    """Every YAML block of the reference is a scenario, or parts of one."""
    for block in re.findall(r"```yaml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL):
        path = write(block if block.startswith("version") else f"{SMALL_CAMERAS}{block}")
        assert loading.check([path]) == [], block


def test_the_schema_can_be_asked():
    assert model_at(schema.Scenario, ("cameras", 0, "uplink")) is CameraUplinkSection
    assert model_at(schema.Scenario, ("world", "town", "districts", 1, "weather", 0)) is WeatherChangeSection
    assert model_at(schema.Scenario, ("cameras", 0, "id")) is None
    assert model_at(schema.Scenario, ("nothing",)) is None
