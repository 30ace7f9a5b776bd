"""Real training in virtual time: repeatable to the byte, and no slower host is seen in it."""

from __future__ import annotations

import pytest

from tests.sim.emulation.small import SCENARIO, decided, of_kind

# Of seven pairs of runs one differed, in the fourth digit of an accuracy that the server measured; the cause
# is not known yet (docs/how-to/simulated-runs.md). Until then the test is for those who look for it.
pytestmark = [pytest.mark.ecco_simulated, pytest.mark.ecco_soak]

SHORT = (
    "trainer.backend=yolo",
    "trainer.gpu_speed=8",
    "trainer.evaluation_cost=0.05",
    "windows={count: 2, length: 6s, micro: 2s}",
    "world.town.districts[0].weather=[{at: 0s, is: day}, {at: 400ms, is: fog, fade: 0s}]",
    "faults=[]",
)


async def test_two_runs_train_and_decide_the_same(emulate):
    found = []
    for _ in range(2):  # the second one in the first one's processes, which have trained already
        emu = await emulate(SCENARIO, overrides=SHORT)
        await emu.until(t=6.5)  # not to the end: measuring the students takes as long again
        found.append((decided(emu.directory), {path.name for path in emu.directory.glob("models/*")}))
    events = found[0][0]
    trained = [event for event in of_kind(events, "micro_window") if event["job"] is not None]
    assert sum(event["steps"] for event in trained) >= 2
    assert all(len(event["losses"]) == event["steps"] for event in trained)
    assert of_kind(events, "student_sent")
    assert found[0] == found[1]
