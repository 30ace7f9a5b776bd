"""A measured figure beside its target, and the link lab's report of many."""

from __future__ import annotations

import pytest

from ecco_emu.bench.measurement import Measurement, table
from ecco_emu.bench.net.command import NetReport

BUILD = Measurement("build 22 cameras", 0.05123, "s", 0.2)
FULL = Measurement("link used", 92.0, "%", 95.0, at_least=True)
RELAY = Measurement("relay", 31.24, "µs")


@pytest.mark.parametrize(("one", "met"), [(BUILD, True), (FULL, False), (RELAY, None)])
def test_a_target_is_the_most_or_the_least(one: Measurement, met: bool | None) -> None:
    assert one.met is met


def test_a_table_names_the_target_and_whether_it_is_met() -> None:
    assert table("Targets", [BUILD, FULL, RELAY]).rows == (
        ("build 22 cameras", "0.051 s", "≤ 0.2 s", "yes"),
        ("link used", "92.0 %", "≥ 95.0 %", "no"),
        ("relay", "31.2 µs", "", ""),
    )


def test_the_labs_report_is_the_same_as_a_table_and_as_json() -> None:
    report = NetReport("2 CPUs", (BUILD, RELAY), ("not compared with Mininet: tc is not installed",))
    assert report.table().rows[0] == ("build 22 cameras", "0.0512 s", "≤ 0.2 s", "yes")
    assert report.table().notes == report.notes
    assert report.as_data() == {
        "host": "2 CPUs",
        "figures": [
            {"name": "build 22 cameras", "value": 0.05123, "unit": "s", "target": 0.2, "met": True},
            {"name": "relay", "value": 31.24, "unit": "µs", "target": None, "met": None},
        ],
        "notes": ("not compared with Mininet: tc is not installed",),
    }
