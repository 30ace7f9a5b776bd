"""The names that scripts import from ``ecco_emu`` itself, without its cost."""

from __future__ import annotations

import subprocess
import sys

import pytest

import ecco_emu

HEAVY = ("torch", "ultralytics", "scipy", "pydantic", "av", "numpy", "panda3d", "netns", "asyncio")


def modules_after(code: str) -> set[str]:
    program = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_is_cheap() -> None:
    assert not modules_after("import ecco_emu") & set(HEAVY)
    assert "torch" not in modules_after("from ecco_emu import Emulation")


@pytest.mark.parametrize("name", ecco_emu.__all__)
def test_its_names_are_those_of_their_modules(name: str) -> None:
    thing = getattr(ecco_emu, name)
    assert thing.__name__ == name
    assert thing is getattr(sys.modules[thing.__module__], name)


def test_other_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Emulator'"):
        ecco_emu.Emulator  # noqa: B018
