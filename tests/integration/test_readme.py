"""The README's code blocks, run as they stand there, in a folder that is not the repository.

Blocks of commands are run by bash, line by line: as root where the line begins with ``sudo``, else as an
ordinary user (``ORDINARY``). The folder has these stand-ins:

- ``.venv/bin``: this environment's commands instead of an installed one's. ``ecco-emu run`` gets ``SHORT``
  added, because the README's run takes minutes: one camera, one window, at the pace of the wall's clock;
  ``ecco-emu world`` shows one moment.
- ``sudo``: the test is root already. ``make`` only says what it would do: ``make demo`` downloads gigabytes.
- ``runs/A`` is the run of the block's own line, ``runs/B`` a copy of it; ``scenarios/`` is a copy.

The python block is run by pytest; a ``conftest.py`` wraps ``emulate`` to add ``SHORT_TEST``, for the same
reason.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.ordinary import NOBODY, ORDINARY

pytestmark = pytest.mark.ecco_netns

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DEADLINE_S = 120.0
"""For a command that takes seconds: a hung one fails, a slow machine does not."""
CAMERA = "cameras=[{id: harbour1, at: [-64m, -84m], source: {look_at: [-60m, -62m], fps: 5}}]"
SMALL = (CAMERA, "expect=[]", "clock.dilation=1", "trainer.gpu_speed=2")
SHORT = (*SMALL, "windows={count: 1, length: 15s, micro: 5s}")
FOG = "world.town.districts[0].weather=[{at: 0s, is: day}, {at: 1s, is: fog, fade: 0s}]"
SHORT_TEST = (*SMALL, FOG, "drift.detector=oracle", "policy.name=naive")
OUTPUT = "What a run prints"
"""The section whose blocks show output."""


def blocks() -> Iterator[tuple[str, str, str]]:
    """Section, language and text of every code block; an indented one has no language."""
    for section in re.split(r"^## ", README, flags=re.MULTILINE):
        heading, _, text = section.partition("\n")
        for fenced in re.finditer(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            yield heading, fenced[1], fenced[2]
        rest = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
        for indented in re.finditer(r"(?:(?<=\n\n)|\A\n?)((?:    .*\n|\n(?=    ))+)", rest):
            yield heading, "", "".join(line.removeprefix("    ") for line in indented[1].splitlines(True))


def commands() -> list[str]:
    """Every line of a block of commands: first those for a live run, last those for one that is over."""
    lines = [
        line.partition("  #")[0].strip()
        for section, language, text in blocks()
        if language in ("", "bash", "sh", "console") and section != OUTPUT
        for line in text.splitlines()
    ]
    return sorted(
        filter(None, lines), key=lambda line: ("inject" not in line, "runs/" in line, " run " in line)
    )


RUN = next(line for line in commands() if line.startswith("sudo ") and " run " in line)
PYTHON = [text for _, language, text in blocks() if language == "python"]


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """The user's folder. Not under pytest's own, which only root may enter."""
    with tempfile.TemporaryDirectory(prefix="ecco-readme-") as name:
        path = Path(name)
        path.chmod(0o755)
        python = f"'{sys.executable}'"
        added = {"run": " ".join(f"--set '{each}'" for each in SHORT), "world": "--at 1s"}
        adding = "\n".join(f'[ "$1" = {verb} ] && set -- "$@" {more}' for verb, more in added.items())
        script(path / ".venv/bin/ecco-emu", f'{adding}\nexec {python} -m ecco_emu "$@"')
        script(path / ".venv/bin/pytest", f'exec {python} -m pytest -p no:cacheprovider "$@"')
        script(path / "stand-ins/sudo", 'exec "$@"')
        script(path / "stand-ins/make", f"exec {shutil.which('make')} --dry-run -C '{ROOT}' \"$@\"")
        shutil.copytree(ROOT / "scenarios", path / "scenarios")
        os.chown(path, NOBODY, NOBODY)
        yield path


def started(line: str, folder: Path) -> subprocess.Popen[str]:
    user = [] if line.startswith("sudo ") else ORDINARY
    environment = os.environ | {
        "PATH": f"{folder}/stand-ins:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder),
    }
    return subprocess.Popen(
        [*user, "bash", "-c", line],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def done(process: subprocess.Popen[str]) -> tuple[int, str]:
    try:
        output, _ = process.communicate(timeout=DEADLINE_S)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    return process.returncode, output


@pytest.fixture(scope="module")
def live_run(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The README's own run, with its links up; ``runs/A`` names it."""
    process = started(RUN, folder)
    end = time.monotonic() + DEADLINE_S
    try:
        while not (live := [*folder.glob("runs/*/control.sock")]):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < end, "its links are not up"
            time.sleep(0.1)
        (folder / "runs/A").symlink_to(live[0].parent, target_is_directory=True)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.fixture(scope="module")
def finished_run(folder: Path, live_run: subprocess.Popen[str]) -> tuple[int, str]:
    """Its code and output. ``runs/B`` is a copy."""
    outcome = done(live_run)
    shutil.copytree(folder / "runs/A", folder / "runs/B")
    return outcome


@pytest.mark.parametrize("line", commands())
def test_a_command_of_the_readme_works(line: str, folder: Path, request: pytest.FixtureRequest) -> None:
    if line == RUN:
        code, output = request.getfixturevalue("finished_run")
        assert code in (0, 4), output  # a busy machine may be late; nothing else may go wrong
        assert (folder / "runs/A/report.html").is_file()
        return
    if "runs/" in line:
        request.getfixturevalue("live_run" if "inject" in line else "finished_run")
    code, output = done(started(line, folder))
    assert "Traceback" not in output
    # a doctor that finds privileges missing says so, and not only in words
    assert code == 0 or (code == 3 and line.endswith("doctor") and "privileges" in output), output


def pytest_in(folder: Path, tests: str, user: str) -> tuple[int, str]:
    """The outcome of pytest as ``root`` or another user, in a folder with the tests and no configuration."""
    made = folder / user
    made.mkdir()
    (made / "test_mine.py").write_text(tests, encoding="utf-8")
    (made / "conftest.py").write_text(
        "import pytest\n\n@pytest.fixture\ndef emulate(emulate):\n"
        f"    return lambda *args, **options: emulate(*args, overrides={SHORT_TEST!r}, **options)\n",
        encoding="utf-8",
    )
    return done(started(f"{'sudo ' if user == 'root' else ''}.venv/bin/pytest -rs {user}", folder))


def test_the_python_block_works_in_a_project_of_ones_own(folder: Path) -> None:
    [tests] = PYTHON
    code, output = pytest_in(folder, tests, "root")
    assert code == 0, output
    assert "1 passed" in output


def test_the_python_block_works_on_simulated_links_without_root(folder: Path) -> None:
    [tests] = PYTHON
    code, output = pytest_in(folder, tests, "user")
    assert code == 0, output
    assert "1 passed" in output
    assert re.search(r"1 tests? on simulated links and clock \(.+\)", output), output
