"""docs/reference/python.md names every public member and parameter of the Python API, and no others."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from ecco_emu import Emulation, LinkHandle, RunMetrics, WarmWorkers, pytest_plugin
from ecco_emu.record.curve import AccuracyCurve
from ecco_emu.record.parts import CameraMetrics, JobMetrics, Membership
from netns import DirectionCounters, LinkCounters

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
SECTIONS: dict[str, tuple[type, ...]] = {
    "A run": (Emulation,),
    "A link": (LinkHandle,),
    "Link counters": (LinkCounters, DirectionCounters),
    "The state of a run": (RunMetrics,),
    "A camera": (CameraMetrics,),
    "Accuracy over time": (AccuracyCurve,),
    "A job": (JobMetrics,),
    "A stay": (Membership,),
    "Kept processes": (WarmWorkers,),
}
WIRING = {"injecting", "clock"}
"""Of a ``LinkHandle``: its connections to the run, which no script needs."""


def section(heading: str) -> str:
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert found, f"the page has no heading {heading!r}"
    return re.sub(r"^```.*?^```", "", found[1], flags=re.DOTALL | re.MULTILINE)


def parameters(function: Any) -> set[str]:
    """Of a method that the class defines; empty for anything else."""
    function = getattr(function, "__func__", function)
    return set(inspect.signature(function).parameters) - {"self", "cls"} if callable(function) else set()


def members(thing: type) -> dict[str, set[str]]:
    """The public members of a class, with the parameters of those that are methods."""
    names = {name for name in dir(thing) if not name.startswith("_")}
    names |= {name for name in getattr(thing, "__dataclass_fields__", {}) if not name.startswith("_")}
    # attributes that __init__ sets
    made = re.findall(r"^        self\.([a-z]\w*)(?:: .*?)? = ", inspect.getsource(thing), re.MULTILINE)
    return {name: parameters(thing.__dict__.get(name)) for name in {*names, *made} - WIRING}


def constructor(thing: type) -> set[str]:
    return parameters(thing.__init__) if thing is Emulation else set()


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_member_and_parameter_is_in_its_section(heading: str) -> None:
    named = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", section(heading)))))
    for thing in SECTIONS[heading]:
        expected = constructor(thing)
        for name, arguments in members(thing).items():
            expected |= {name} | arguments
        assert expected <= named, f"not under {heading!r}: {sorted(expected - named)}"


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_row_names_something_that_is_there(heading: str) -> None:
    known: set[str] = set()
    for thing in SECTIONS[heading]:
        known |= {thing.__name__} | constructor(thing)
        for name, arguments in members(thing).items():
            known |= {name} | arguments
    rows = re.findall(r"^\| (.*?) \|", section(heading), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(?:await )?(\w+)", row)}
    assert named
    assert named <= known, f"under {heading!r} but not in the code: {sorted(named - known)}"


def test_fixtures_and_markers_are_those_of_the_plugin() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", section("The pytest plugin"), re.MULTILINE)
    markers = {pytest_plugin.marker_of(tier) for tier in pytest_plugin.TIERS}
    engines = {"auto", "real", "simulated"}
    assert set(rows) == {"emulate", "lab", "ecco_workers", pytest_plugin.SIMULATED} | markers | engines
