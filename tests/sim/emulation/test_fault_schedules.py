"""Two hundred random fault schedules break no rule of the transport or the server."""

from __future__ import annotations

import asyncio
import json
import re

import pytest

from ecco_emu import Emulation
from tests.sim.emulation.schedules import broken_rules, scenario, small_student
from tests.sim.emulation.small import decided

SCHEDULES, BATCH = 200, 10


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    return small_student(tmp_path_factory.mktemp("student"))


@pytest.mark.parametrize("first", range(0, SCHEDULES, BATCH))
def test_no_schedule_breaks_a_rule(first, student, tmp_path):
    broken = {}
    for seed in range(first, first + BATCH):
        wrong = broken_rules(asyncio.run(run(seed, student, tmp_path)))
        if wrong:
            broken[seed] = wrong
    assert broken == {}


@pytest.fixture(scope="module")
def whole(student, tmp_path_factory):
    return asyncio.run(run(0, student, tmp_path_factory.mktemp("whole")))


@pytest.mark.parametrize(
    ("kind", "change", "found"),
    [
        ("segment", lambda event: [event, event], "sent twice|fates"),
        ("segment", lambda event: [event | {"sequence": 999, "state": "delivered"}], "never sent"),
        ("job_created", lambda event: [event, event], "is in"),
        ("micro_window", lambda event: [event | {"charged": event["budget"] + 1}], "charged"),
        ("window_ended", lambda event: [event | {"groups": event["groups"] * 2}], "groups|shares"),
        ("run_ended", lambda event: [event | {"status": "degraded"}], "ended degraded"),
    ],
)
def test_a_broken_rule_is_found(whole, kind, change, found):
    changed = [new for event in whole for new in (change(event) if event["kind"] == kind else [event])]
    assert re.search(found, " ".join(broken_rules(changed)))
    assert broken_rules(whole) == []


async def run(seed, student, folder):
    file = folder / f"{seed}.yaml"
    file.write_text(json.dumps(scenario(seed, student)))
    async with Emulation.from_file(file, out=folder) as emu:
        await emu.finish()
    return [json.loads(line) for line in decided(emu.directory)]
