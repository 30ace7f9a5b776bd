"""The example in docs/reference/link-lab.md works when it is pasted."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.ecco_netns

DOCUMENT = Path(__file__).parents[3] / "docs" / "reference" / "link-lab.md"


def test_the_example_works_when_pasted():
    (example,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert len([line for line in example.splitlines() if line.strip()]) <= 20
    ran = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    greeting, counters = ran.stdout.splitlines()
    assert greeting == "b'hello'"
    assert counters.startswith("DirectionCounters(bytes=47, packets=1, drops=0")
