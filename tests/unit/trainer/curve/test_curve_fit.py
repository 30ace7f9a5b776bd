"""Fits as files: the shipped one, and what is said of others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ecco_emu.core.errors import ScenarioError
from ecco_emu.scenario import profiles
from ecco_emu.tasks.detection import CLASSES
from ecco_emu.trainer.curve.fit import SHIPPED, load_fit


def test_the_shipped_fit_says_what_it_was_made_from_and_how_good_it_is() -> None:
    fit = load_fit()
    assert fit == load_fit(SHIPPED) == load_fit(profiles.curve_path(SHIPPED))
    assert SHIPPED in profiles.curves()
    assert fit.provenance["runs"]
    assert fit.residuals["allocations"]
    assert set(fit.learning.conditions) == {"day", "fog", "night", "rain"}
    assert set(fit.seeing.class_logits) == set(CLASSES)
    assert list(fit.seeing.levels) == sorted(fit.seeing.levels)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("memory_s:", "memory:", "memory"),
        ("memory_s: ", "memory_s: -", "memory_s"),
        ("version: 1", "version: 2", "version"),
    ],
)
def test_a_mistake_is_named_by_file_line_and_column(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = profiles.curve_path(SHIPPED).read_text()
    assert old in text
    file = tmp_path / "mine.yaml"
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(ScenarioError, match=rf"mine\.yaml:\d+:\d+: .*{message}"):
        load_fit(file)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ScenarioError, match=r"no curve fit 'yolo'.*yolo11n-town"):
        load_fit("yolo")


def test_nothing_imports_torch() -> None:
    program = (
        "import sys; from ecco_emu.trainer.curve import backend, inference, fit; fit.load_fit(); "
        "print([name for name in ('torch', 'ultralytics', 'scipy', 'panda3d') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
