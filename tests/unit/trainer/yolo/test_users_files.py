"""Nothing of the user's is read or written: Ultralytics keeps settings in the home folder, with keys."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SETTINGS = {"settings_version": "0.0.1", "api_key": "the user's own"}

IMPORTS = """
import os, sys

touched = []

def see(event, arguments):
    if event in ("open", "os.listdir", "os.scandir") and str(arguments[0]).startswith(os.environ["HOME"]):
        touched.append((event, arguments[0]))

sys.addaudithook(see)
import ecco_emu.trainer.yolo.inference_worker
from ultralytics.utils import SETTINGS
assert SETTINGS["api_key"] == ""
assert os.environ.get("YOLO_CONFIG_DIR") == os.environ["HOME"] + "/yolo"
print(touched)
"""


def test_the_users_settings_are_neither_read_nor_written(tmp_path: Path) -> None:
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    temporary.mkdir()
    for folder in (".config/Ultralytics", "yolo/Ultralytics"):
        (home / folder).mkdir(parents=True)
        (home / folder / "settings.json").write_text(json.dumps(SETTINGS))
    before = {path: path.read_text() for path in home.rglob("*") if path.is_file()}
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "YOLO_"))
    }
    ran = subprocess.run(
        [sys.executable, "-s", "-c", IMPORTS],
        env={**environment, "HOME": str(home), "YOLO_CONFIG_DIR": f"{home}/yolo", "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "[]"
    assert {path: path.read_text() for path in home.rglob("*") if path.is_file()} == before
    assert not list(temporary.glob("ecco-emu-*"))
