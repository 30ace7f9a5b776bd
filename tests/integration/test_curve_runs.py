"""A whole run with ``trainer.backend: curve``: real packets, and nothing trained, rendered or coded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ecco_emu.record.log import read
from ecco_emu.record.metrics import RunMetrics
from ecco_emu.trainer.curve.fit import load_fit

pytestmark = pytest.mark.ecco_netns

SMALL = Path(__file__).parent / "small.yaml"
WEATHER = "[{at: 0s, is: day}, {at: 0.5s, is: fog, fade: 0s}]"
SETTINGS = (
    "trainer.backend=curve",
    "windows={count: 2, length: 4s, micro: 1s}",
    "network.engine=relay",
    f"world.town.districts=[{{name: all, center: [0m, 0m], radius: 100m, weather: {WEATHER}}}]",
    "expect=[]",
)
COMMAND = """
import atexit, sys
heavy = {"torch", "torchvision", "ultralytics", "panda3d", "direct", "av"}
atexit.register(lambda: print("loaded:", sorted(heavy & set(sys.modules)), file=sys.stderr))
from ecco_emu.cli import main
main()
"""


def test_a_run_goes_round_the_whole_loop(tmp_path: Path) -> None:
    options = [part for setting in SETTINGS for part in ("--set", setting)]
    ran = subprocess.run(
        [
            *(sys.executable, "-c", COMMAND, "run", str(SMALL), "--out", str(tmp_path), "--json"),
            *("--no-live", "--dilation", "1", *options),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode in (0, 4), ran.stderr  # a busy machine may be late; nothing else may go wrong
    assert "loaded: []" in ran.stderr
    summary = json.loads(ran.stdout)
    assert [group["members"] for group in summary["windows"][-1]["groups"]] == [["cam1", "cam2"]]

    directory = Path(summary["directory"])
    seen = RunMetrics.of(event for event, _ in read(directory / "events.jsonl"))
    student_bytes = load_fit().file_bytes
    assert seen.troubles == []
    for name in ("cam1", "cam2"):
        camera = seen.camera(name)
        assert camera.segments_delivered >= 3
        assert camera.segments_lost <= 1
        assert student_bytes in [student.transferred_bytes for student in camera.students]
    trained = [micro for micro in seen.micro_windows if micro.job is not None and micro.steps > 0]
    assert trained
    # training takes the GPUs' time, though nothing is computed: most of its micro-window
    assert all(micro.t - micro.start > 0.5 for micro in trained)

    # wherever its results are shown they carry the trainer's name
    assert seen.started is not None
    assert seen.started.trainer == summary["trainer"] == "curve"
    assert json.loads((directory / "manifest.json").read_text())["trainer"]["backend"] == "curve"
    assert "trainer <b>curve</b>" in (directory / "report.html").read_text()
    # a student's file has the size of a real one and next to no content
    assert summary["accuracy"] == "students"  # they were measured after the run, on sketches
    [*students] = (directory / "models").iterdir()
    assert {path.stat().st_size for path in students} == {student_bytes}
    assert all(path.stat().st_blocks * 512 < 100_000 for path in students)
