"""Everything that can be known of a scenario without running it."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

import netns
from ecco_emu.core.errors import HostError, ScenarioError
from ecco_emu.emulation import checking, plan
from ecco_emu.emulation.lab_errors import lab_errors
from ecco_emu.emulation.topology import lab_spec, load_trace, replays
from ecco_emu.scenario.problems import InvalidScenario

HEAD = """\
version: 1
name: many
clock: {dilation: 4}
network: {uplink: {trace: t.mahimahi}}
world: {town: {districts: [{name: d, center: [0m, 0m], radius: 80m, weather: [{at: 0s, is: day}]}]}}
cameras:
"""
CAMERA = "  - {{id: cam{0}, at: [{0}m, 0m], source: {{look_at: [0m, 40m]}}{1}}}\n"
TRACE = "\n".join(str(ms) for ms in range(1, 5000, 3))


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Sixty cameras that follow one trace, half of them with an uplink of their own."""
    (tmp_path / "t.mahimahi").write_text(TRACE)
    path = tmp_path / "x.yaml"
    uplinks = [", uplink: {trace: {file: t.mahimahi, start: 1s}}" if n % 2 else "" for n in range(60)]
    path.write_text(HEAD + "".join(CAMERA.format(n, uplinks[n]) for n in range(60)))
    return path


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The threads in which traces' files are parsed, one entry for each time."""
    found: list[str] = []
    parse = netns.Trace.load

    def load(path: Path) -> netns.Trace:
        found.append(threading.current_thread().name)
        return parse(path)

    monkeypatch.setattr(netns.Trace, "load", load)
    return found


def test_a_trace_is_read_once_however_many_links_follow_it(many: Path, read: list[str]) -> None:
    scenario = checking.load(many).scenario
    lab_spec(scenario, 4.0)
    assert len(replays(scenario, 4.0)) == 60
    assert len(read) == 1


def test_a_plan_reads_traces_off_the_event_loop(many: Path, read: list[str]) -> None:
    lines = asyncio.run(plan.plan(many))
    assert sum(line.startswith("trace on cam") for line in lines) == 60
    assert len(read) == 1
    assert read[0] != threading.main_thread().name


def test_a_trace_that_changes_is_read_again(tmp_path: Path, read: list[str]) -> None:
    path = tmp_path / "t.mahimahi"
    path.write_text("0\n10\n")
    assert load_trace(str(path)).duration_s == 0.01
    path.write_text("0\n10\n20000\n")
    assert load_trace(str(path)).duration_s == 20
    assert load_trace(str(path), 2.0).duration_s == 40
    assert len(read) == 2


def test_a_broken_trace_is_a_problem_of_each_link_that_names_it(many: Path) -> None:
    many.with_name("t.mahimahi").write_text("0\n" + "9" * 5000)
    with pytest.raises(InvalidScenario) as error:
        checking.load(many)
    assert len(error.value.problems) == 31  # network.uplink, and thirty of the cameras' own
    assert all("t.mahimahi:2: '9999" in one.message for one in error.value.problems)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 123\n"


def test_files_that_are_no_weights_are_problems_of_the_keys_that_name_them(tmp_path: Path) -> None:
    (tmp_path / "s.safetensors").write_bytes(POINTER)
    (tmp_path / "t.pt").write_bytes(b"PK\x03\x04")
    path = tmp_path / "x.yaml"
    trainer = "trainer: {student: ./s.safetensors, teacher: ./t.pt}\n"
    path.write_text(HEAD.replace("network: {uplink: {trace: t.mahimahi}}\n", trainer) + CAMERA.format(1, ""))
    with pytest.raises(InvalidScenario) as error:
        checking.load(path)
    student, teacher = map(str, error.value.problems)
    assert student.startswith(f"{path}:4:20: trainer.student: ")
    assert "a git-lfs pointer, not the file itself" in student
    assert teacher.startswith(f"{path}:4:46: trainer.teacher: ")
    assert "is not a PyTorch weight file, or is cut short" in teacher
    checking.load(path, files=False)


@pytest.mark.parametrize(
    ("error", "becomes", "incapable"),
    [
        (netns.SpecError("no"), ScenarioError, HostError),
        (netns.CapabilityError("no"), HostError, HostError),
        (netns.CapabilityError("no"), ScenarioError, ScenarioError),
        (netns.RelayDiedError("no"), HostError, ScenarioError),
        (netns.PrivilegeError("no"), HostError, HostError),
    ],
)
def test_the_labs_errors_become_ours(
    error: netns.LabError, becomes: type[Exception], incapable: type[HostError | ScenarioError]
) -> None:
    with pytest.raises(becomes, match="doing this: no"), lab_errors("doing this", incapable=incapable):
        raise error
