from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecco_emu.core.errors import ScenarioError
from ecco_emu.scenario import loading
from ecco_emu.scenario.document import parse
from ecco_emu.scenario.problems import InvalidScenario

from .conftest import SMALL, lines, wrong

SHIPPED = sorted((Path(__file__).parents[3] / "scenarios").rglob("*.yaml"))


def test_a_right_scenario_loads(write):
    path = write(SMALL)
    loaded = loading.load(path)
    assert loaded.path == path
    assert [camera.id for camera in loaded.scenario.cameras] == ["cam1", "cam2"]
    assert loaded.scenario.windows.duration_s == 20.0
    assert loading.check([path]) == []


def test_defaults_fill_in_partial_links(write):
    path = write(SMALL + "network: {bottleneck: {rate: 2mbit}, uplink: {delay: 20ms}}\n")
    network = loading.load(path).scenario.network
    assert (network.bottleneck.rate, network.bottleneck.delay, network.bottleneck.queue) == (2e6, 0.01, 0.2)
    assert (network.uplink.rate, network.uplink.delay) == (4e6, 0.02)


def test_a_camera_overrides_only_what_it_names(small):
    small["network"] = {"uplink": {"rate": "3mbit", "delay": "20ms", "loss": "1%"}}
    small["cameras"][1]["uplink"] = {"rate": "800kbit", "jitter": "15ms"}
    scenario = loading.from_mapping(small)
    first, second = (scenario.uplink_of(camera) for camera in scenario.cameras)
    assert first == scenario.network.uplink
    assert (second.rate, second.delay, second.jitter, second.loss) == (800e3, 0.02, 0.015, 0.01)


def test_every_error_comes_at_once_with_its_place(write):
    text = SMALL.replace("name: small", "name: small\nsed: 3\npolicy: {name: eco}").replace("2m]", "2]", 1)
    assert lines(write(text)) == [
        "3:1: sed: unknown key 'sed'; did you mean 'seed'?",
        "4:16: policy.name: 'eco' is not one of: ecco, naive; did you mean 'ecco'?",
        "12:25: cameras[0].at[1]: 2 has no unit; write the length as 12m",
    ]


def test_one_bad_part_does_not_hide_what_is_wrong_elsewhere(small):
    small["windows"]["micro"] = "3s"
    small["cameras"][0]["source"]["fov"] = 900
    small["faults"] = [{"at": "1s", "on": "cam3", "up": True}]
    small["expect"] = [{"camera": "cam9", "map": "much"}]
    assert len(wrong(small)) == 6


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1:1: is empty"),
        ("# nothing\n", "1:1: is empty"),
        ("a: [1", "1:6: not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("a:\n\tb: 1", "2:1: not valid YAML: a tab cannot indent YAML; use spaces"),
        ("a: 1\n---\nb: 2", "2:1: not valid YAML: more than one document ('---') in the file"),
        ("a: b: c", "1:5: not valid YAML: mapping values are not allowed here"),
        ("a: *x", "1:4: not valid YAML: found undefined alias 'x'"),
        ("a: 1\nb: \x01", "2:4: the character '\\x01' is not allowed in YAML"),
        ("a: &a [*a]", "1:4: is nested deeper than 40 levels"),
        ("[" * 5000, "1:1: is nested deeper than 40 levels"),
        ("x" * 1_048_577, "is larger than 1 MB; a scenario is a few kilobytes"),
        ("- 1", "1:1: [1] does not fit: this is a mapping of keys to values"),
        ("just text", "1:1: 'just text' does not fit: this is a mapping of keys to values"),
    ],
)
def test_what_is_no_scenario_at_all(write, text, expected):
    (line,) = lines(write(text))
    assert line.strip() == expected


def test_files_that_cannot_be_read(tmp_path):
    nothing, folder, latin = tmp_path / "no.yaml", tmp_path, tmp_path / "latin.yaml"
    latin.write_bytes("name: caf\xe9".encode("latin-1"))
    assert [str(problem) for problem in loading.check([nothing, folder, latin, "a\0b"])] == [
        f"{nothing}: there is no such file",
        f"{folder}: is a directory; name a scenario file in it",
        f"{latin}:1:10: is not UTF-8 text here",
        "'a\\x00b': is no name of a file",
    ]


def test_a_byte_order_mark_is_no_error(tmp_path):
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + SMALL.encode())
    assert loading.load(path).scenario.name == "small"


def test_an_alias_bomb_is_refused_quickly():
    rows = ["l0: &l0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    rows += [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]" for i in range(1, 12)]
    (problem,) = parse("\n".join(rows), "x").problems
    assert problem.message == "has more than 100000 values, aliases expanded"


def test_duplicate_keys_name_the_first(write):
    text = SMALL.replace("name: small", "name: small\nname: other")
    assert lines(write(text)) == ["3:1: name: duplicate key 'name'; it is first given in line 2"]


def test_aliases_and_merges_save_writing(write):
    text = SMALL.replace("source: {look_at: [10m, 10m]}}", "source: &src {look_at: [10m, 10m], fps: 5}}", 1)
    text = text.replace("source: {look_at: [10m, 10m]}}", "source: {<<: *src, fov: 50}}")
    sources = [camera.source for camera in loading.load(write(text)).scenario.cameras]
    assert [source.fps for source in sources] == [5.0, 5.0]
    assert [source.fov for source in sources] == [70.0, 50.0]


@pytest.mark.parametrize("argument", ["touch", "['touch mark']", "{a: b}"])
def test_nothing_in_a_file_makes_an_object(write, argument):
    text = SMALL.replace("name: small", f"name: !!python/object/apply:os.system {argument}")
    first, *_ = lines(write(text))
    assert first == "2:7: name: the tag '!!python/object/apply:os.system' is not allowed in a scenario"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("version", 2, "version: 2 does not fit: this is 1"),
        ("name", "no spaces please", "name: 'no spaces please' is not a name: letters"),
        ("seed", True, "seed: true does not fit: this is a whole number"),
        ("seed", "3", "seed: '3' does not fit: this is a whole number"),
        ("seed", 1.5, "seed: 1.5 does not fit: this is a whole number"),
        ("seed", -1, "seed: -1 is out of range: it must be at least 0"),
        ("seed", None, "seed: nothing is given; this is a whole number"),
        ("windows.length", 20, "windows.length: 20 has no unit; write the time as 20s or 200ms"),
        (
            "windows.length",
            "20 parsecs",
            "windows.length: unknown unit 'parsecs' in '20 parsecs'; a time takes",
        ),
        ("windows.length", "0s", "windows.length: '0s' is out of range: it must be more than 0s"),
        ("windows.micro", "3s", "windows: length (10s) must be a whole number of micro-windows (3s)"),
        (
            "clock.dilation",
            "2x",
            "clock.dilation: '2x' is not a dilation: it is auto, or a number from 0.1 to 1000",
        ),
        ("clock.dilation", 0, "clock.dilation: 0 is not a dilation"),
        ("transport.beta", 1, "transport.beta: 1 is out of range: it must be less than 1"),
        ("trainer.learning_rate", float("nan"), "trainer.learning_rate: "),
        ("trainer.gpu_speed", float("inf"), "trainer.gpu_speed: inf does not fit: this is a finite number"),
        (
            "network.bottleneck.loss",
            "150%",
            "network.bottleneck.loss: '150%' is out of range: it must be at most 100%",
        ),
        ("network.uplink.jitter", "20ms", "network.uplink: jitter cannot be larger than delay"),
        ("network.engine", "nss", "network.engine: 'nss' is not one of: auto, kernel, relay"),
        ("network.botleneck", {}, "network.botleneck: unknown key 'botleneck'; did you mean 'bottleneck'?"),
        (
            "network.xyz",
            {},
            "network.xyz: unknown key 'xyz'; known here: engine, bottleneck, uplink, downlink",
        ),
        ("cameras", [], "cameras: at least one is needed"),
        ("cameras", {"cam1": {}}, "cameras: {'cam1': {}} does not fit: this is a list, such as [a, b]"),
        (
            "cameras.0.id",
            "1cam",
            "cameras[0].id: '1cam' is not a name: letters, digits, '-' and '_', first a letter",
        ),
        ("cameras.0.at", ["1m"], "cameras[0].at[1]: two values are needed, such as [12m, -4m]"),
        ("cameras.0.at", ["1m", "2m", "3m"], "cameras[0].at: has 3 items; at most 2 fit"),
        ("cameras.0.source.size", [321, 192], "cameras[0].source: width and height must be multiples of 32"),
        (
            "cameras.0.source",
            {},
            "cameras[0].source.look_at: is missing and has no default (The point on the ground",
        ),
        ("world.town.districts.0.weather", [], "world.town.districts[0].weather: at least one is needed"),
        ("world", None, "world: nothing is given; this is a mapping of keys to values"),
        (
            "faults",
            [{"at": "1s", "on": "cam1"}],
            "faults[0]: a fault does exactly one of: down, up, flap, cliff",
        ),
        ("expect", [{"camera": "cam1"}], "expect[0]: an expectation has exactly one of: delivers, map"),
    ],
)
def test_each_mistake_is_named_in_plain_words(small, path, value, message):
    node = small
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in parents:
        node = node.setdefault(part, {}) if isinstance(node, dict) else node[part]
    node[last] = value
    (line,) = wrong(small)
    assert line.startswith(message)
    assert not re.search(r"Input should|pydantic|Value error|validation error", line)


@pytest.mark.parametrize("field", ["network.bottleneck", "network.uplink", "network.downlink"])
def test_a_dead_link_is_a_fault_and_not_a_rate(small, field):
    node = small
    for part in field.split("."):
        node = node.setdefault(part, {})
    node["rate"] = "0kbit"
    (line,) = wrong(small)
    assert line.endswith(
        "'0kbit' is out of range: it must be at least 8kbit; for a dead link use a 'down' fault"
    )


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["2s", "1m", "8mbit"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["at", "id", "rate", "for", "is", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), value=plain)
def test_any_value_anywhere_is_taken_or_named(small, data, value):
    changed = copy.deepcopy(small)
    changed["faults"] = [{"at": "1s", "on": "cam1", "down": {"for": "2s"}}]
    changed["expect"] = [{"camera": "cam1", "within": "2s", "of": "fault[0].end", "delivers": ">= 1 segment"}]
    changed["network"] = {"uplink": {"rate": "1mbit"}}
    node = changed
    while True:
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if not isinstance(node[key], (dict, list)) or not node[key] or data.draw(st.booleans()):
            break
        node = node[key]
    node[key] = value
    for line in wrong(changed):
        assert not re.search(r"Input should|pydantic|Value error|validation error", line)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=60) | st.text("ab: -[]{}*&!?|>%@\n'\"#,1", max_size=60))
def test_any_text_is_refused_with_a_place(tmp_path, text):
    path = tmp_path / "x.yaml"
    path.write_bytes(text.encode())
    assert all(re.match(r"\d+:\d+: ", line) for line in lines(path))
    assert lines(path)


def test_the_error_is_bad_input():
    assert issubclass(InvalidScenario, ScenarioError)
    assert InvalidScenario([]).exit_code == 2


def test_weights_are_found_from_the_scenarios_folder(write, tmp_path, monkeypatch):
    (tmp_path / "mine.safetensors").touch()
    path = write(SMALL + "trainer: {student: ./mine.safetensors, teacher: big.pt}\n")
    missing = f"trainer.teacher: no weights at '{tmp_path}/big.pt'"
    assert lines(path) == [f"12:49: {missing}; give oracle, or a path to YOLO11x weights"]
    (tmp_path / "big.pt").touch()
    monkeypatch.chdir("/")
    trainer = loading.load(path).scenario.trainer
    assert trainer.student == str(tmp_path / "mine.safetensors")
    assert trainer.teacher == str(tmp_path / "big.pt")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_what_is_shipped_loads(path):
    assert loading.check([path]) == []


def test_shipped_scenarios_go_by_their_names_unless_a_file_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert loading.load("quickstart").scenario.name == "quickstart"
    assert loading.load("faults/uplink-flap", files=False).path.is_file()
    Path("quickstart").write_text("version: 1\n", encoding="utf-8")
    with pytest.raises(InvalidScenario, match=r"^quickstart:1"):
        loading.load("quickstart")
    with pytest.raises(InvalidScenario, match=r"quickstrat: there is no such file.*quickstart"):
        loading.load("quickstrat")
