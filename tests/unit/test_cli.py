"""The command line: messages, exit codes, answers in JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ecco_emu import cli
from ecco_emu.cli.run import outcome_lines
from ecco_emu.core.errors import HostError
from ecco_emu.record.metrics import RunMetrics
from ecco_emu.record.summary import summarize
from ecco_emu.scenario import loading
from tests.unit.record.synthetic import second_drift

GOOD = """\
version: 1
name: good
world:
  town:
    districts: [{name: all, center: [0m, 0m], radius: 100m, weather: [{at: 0s, is: day}]}]
cameras:
  - {id: cam1, at: [0m, 0m], source: {look_at: [9m, 0m]}}
"""


@pytest.fixture
def student(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "students").symlink_to(Path(__file__).parents[2] / "profiles" / "students")
    monkeypatch.setenv("ECCO_EMU_PROFILES", str(tmp_path))


def ecco_emu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object
) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["ecco-emu", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    captured = capsys.readouterr()
    code = end.value.code
    return (code if isinstance(code, int) else 0), captured.out, captured.err


MISTAKES = {
    "unknown key": (GOOD.replace("name: good", "name: good\npolice: {}"), "did you mean 'policy'"),
    "missing unit": (GOOD.replace("[9m, 0m]", "[9, 0m]"), "has no unit"),
    "duplicate camera": (
        GOOD + "  - {id: cam1, at: [5m, 0m], source: {look_at: [9m, 0m]}}\n",
        "is the id of cameras[0] already",
    ),
    "uplink of 0": (
        GOOD.replace("look_at: [9m, 0m]}", "look_at: [9m, 0m]}, uplink: {rate: 0kbit}"),
        "at least 8kbit",
    ),
    "unreachable time": (GOOD + "faults: [{at: 500s, on: cam1, down: {for: 1s}}]\n", "the run ends at 60s"),
    "duplicate key": (GOOD + "name: again\n", "name"),
}


@pytest.mark.usefixtures("student")
@pytest.mark.parametrize("verb", ["check", "run"])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_mistake_is_one_clear_line_and_code_2(
    mistake: str,
    verb: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text, expected = MISTAKES[mistake]
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    code, out, err = ecco_emu(monkeypatch, capsys, verb, file)
    assert code == 2
    assert out == ""
    assert expected in err
    assert err.startswith(f"error: {file}:")
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_a_missing_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = ecco_emu(monkeypatch, capsys, "run", tmp_path / "nowhere.yaml")
    assert code == 2
    assert "nowhere.yaml: there is no such file" in err


@pytest.mark.usefixtures("student")
def test_a_good_scenario_is_ok_and_problems_can_be_had_as_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(GOOD)
    code, out, _ = ecco_emu(monkeypatch, capsys, "check", file)
    assert (code, out) == (0, f"{file}: ok\n")
    file.write_text(MISTAKES["missing unit"][0])
    code, out, _ = ecco_emu(monkeypatch, capsys, "check", "--json", file)
    [problem] = json.loads(out)
    assert code == 2
    assert problem["path"] == "cameras[0].source.look_at[0]"
    assert problem["place"]["line"] == 7


@pytest.mark.usefixtures("student")
@pytest.mark.parametrize("name", ["cams[red].yaml", "x[/].yaml", ":smile:.yaml"])
def test_names_are_shown_as_they_are(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(GOOD)
    assert ecco_emu(monkeypatch, capsys, "check", file)[:2] == (0, f"{file}: ok\n")
    file.write_text(MISTAKES["missing unit"][0])
    assert ecco_emu(monkeypatch, capsys, "check", file)[2].startswith(f"error: {file}:7")


EARLY = GOOD.replace("[{at: 0s, is: day}]", "[{at: 0s, is: day}, {at: 3s, is: fog}]")


@pytest.mark.usefixtures("student")
def test_a_drift_that_comes_too_early_is_a_warning_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "early.yaml"
    file.write_text(EARLY)
    code, out, err = ecco_emu(monkeypatch, capsys, "check", file)
    assert (code, out) == (0, f"{file}: ok\n")
    assert err.startswith(f"warning: {file}:5:")
    assert ": world.town.districts[0].weather[1].at: at 3s cameras still learn what is normal" in err
    code, out, _ = ecco_emu(monkeypatch, capsys, "check", "--json", file)
    [warning] = json.loads(out)
    assert (code, warning["severity"], warning["place"]["line"]) == (0, "warning", 5)
    # a mistake beside it is an error all the same
    file.write_text(EARLY)
    bad = tmp_path / "bad.yaml"
    bad.write_text(MISTAKES["missing unit"][0])
    code, _, err = ecco_emu(monkeypatch, capsys, "check", file, bad)
    assert code == 2
    assert "warning: " in err
    assert f"error: {bad}:7" in err


@pytest.mark.usefixtures("student")
@pytest.mark.parametrize("verb", ["check", "run"])
def test_each_of_several_mistakes_is_a_line_of_the_same_form(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(GOOD.replace("[0m, 0m], source", "[0, 0m], source").replace("[9m, 0m]", "[9, 0m]"))
    code, _, err = ecco_emu(monkeypatch, capsys, verb, file)
    assert code == 2
    assert [line.partition(" ")[0] for line in err.splitlines()] == ["error:", "error:"]
    assert all(line.startswith(f"error: {file}:7:") for line in err.splitlines())


def test_a_new_scenario_is_right_and_never_overwrites(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = ecco_emu(monkeypatch, capsys, "init", "mine.yaml")
    assert (code, out) == (0, "mine.yaml: next, ecco-emu check mine.yaml\n")
    assert ecco_emu(monkeypatch, capsys, "check", "mine.yaml") == (0, "mine.yaml: ok\n", "")
    code, _, err = ecco_emu(monkeypatch, capsys, "init", "mine.yaml")
    assert (code, err) == (2, "error: mine.yaml is there already; give another name\n")


SLOW = GOOD + "network: {bottleneck: {rate: 100kbit}}\n"


@pytest.mark.usefixtures("student")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--dilation", "20"],
            "yaml:8:30: network.bottleneck.rate: at a dilation of 20 100kbit is 5kbit",
        ),
        (["--dilation", "2"], None),
        ([], "which auto may choose, 100kbit"),  # at 16
        (
            ["--dilation", "2", "--set", "network.bottleneck.rate=9kbit"],
            "--set network.bottleneck.rate=9kbit: ",
        ),
        (["--dilation", "2", "--policy", "nave"], "'nave' is not one of: ecco, naive; did you mean 'naive'?"),
        (["--dilation", "2", "--seed", "-3"], "seed: -3 is out of range"),
        (["--dilation", "never"], "--dilation never: clock.dilation: 'never' is not a dilation"),
    ],
)
def test_check_takes_the_options_with_which_a_scenario_will_run(
    options: list[str],
    message: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "slow.yaml"
    file.write_text(SLOW)
    code, _, err = ecco_emu(monkeypatch, capsys, "check", file, *options)
    assert code == (0 if message is None else 2)
    assert err.count("error: ") == err.count("\n") == (0 if message is None else 1)
    assert message is None or message in err


@pytest.mark.usefixtures("student")
@pytest.mark.parametrize(
    ("text", "warned"),
    [
        (EARLY, True),
        (EARLY.replace("3s", "4s"), False),
        (EARLY.replace("3s", "8s") + "drift: {infer_fps: 1}\n", True),  # ten values take nine seconds
        (EARLY.replace("3s", "9s") + "drift: {infer_fps: 1}\n", False),
        (EARLY + "drift: {detector: oracle}\n", False),
        (EARLY.replace("3s", "9s") + "windows: {count: 1}\n", True),  # no retrained student arrives in time
        (EARLY.replace("3s", "9s") + "windows: {count: 2}\n", False),
        (GOOD + "windows: {count: 1}\n", False),  # nothing drifts: a run of the network alone
    ],
)
def test_when_a_scenario_is_warned_about(text: str, warned: bool, tmp_path: Path) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(text)
    assert bool(loading.load(file).warnings) == warned


@pytest.mark.usefixtures("student")
def test_a_run_prints_the_warnings_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def refuse(_: object) -> None:
        raise HostError("no root here")

    monkeypatch.setattr("ecco_emu.emulation.preflight.require", refuse)
    file = tmp_path / "early.yaml"
    file.write_text(EARLY)
    code, _, err = ecco_emu(monkeypatch, capsys, "run", file)
    assert code == 3
    assert err.startswith(f"warning: {file}:5:")
    assert "cameras still learn what is normal" in err


def test_the_outcome_is_told_with_what_nobody_noticed() -> None:
    lines = outcome_lines(summarize(RunMetrics.of(second_drift()), "ok"))
    assert lines == [
        "mean mAP 0.24; of the cameras that drifted, from then on: 0.21",
        "4 of 6 requests after a drift were answered with 0.4 mAP after 28 s (median, the others counted)",
        "Accuracy (mAP) that was not won back: cam3 fell from 0.55 to 0.30.",
        "nobody noticed: cam3 turned to rain at 80 s (mAP 0.02 before, 0.02 after)",
    ]


def test_the_schema_is_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ecco_emu(monkeypatch, capsys, "schema")
    assert code == 0
    assert "cameras" in json.loads(out)["properties"]


def test_a_report_of_something_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = ecco_emu(monkeypatch, capsys, "report", tmp_path)
    assert code == 2
    assert "is not a run directory" in err


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_and_version(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = ecco_emu(monkeypatch, capsys, *arguments)
    assert code == 0
    assert "ecco-emu" in out


@pytest.mark.parametrize("arguments", [["walk"], ["run"], ["run", "--fast", "x.yaml"]])
def test_a_wrong_command_line_is_code_2(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = ecco_emu(monkeypatch, capsys, *arguments)
    assert code == 2
    assert "for help" in err
