"""For what an event loop's thread uses its processor time, by samples of its stack.

A sample stands for the processor time that the thread has used since the one before, so that waiting costs
nothing and a busy host changes no shares. The innermost frame of this project's code decides for what it was.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from types import FrameType, TracebackType

EVERY_S = 0.004
LOOP = "event loop"
"""Where no code of this project runs: the loop itself, and the system's calls that it makes."""

_PARTS = (
    ("netns.", "links"),
    ("ecco_emu.transport.", "transport"),
    ("ecco_emu.world.sketch.codec", "codec"),
    ("ecco_emu.video.", "codec"),
    ("ecco_emu.world.", "world and inference"),
    ("ecco_emu.trainer.", "world and inference"),
    ("ecco_emu.tasks.", "world and inference"),
    ("ecco_emu.camera.", "cameras"),
    ("ecco_emu.server.", "control"),
    ("ecco_emu.control.", "control"),
    ("ecco_emu.policies.", "control"),
    ("ecco_emu.record.", "record and meters"),
    ("ecco_emu.emulation.", "record and meters"),
)
"""Beginnings of modules' names, and the part of a run that they are. The first that fits counts."""
PARTS = (*dict.fromkeys(part for _, part in _PARTS), LOOP)


def part_of(modules: Iterator[str]) -> str:
    """The part of a stack's modules, from the innermost outward."""
    for module in modules:
        for beginning, part in _PARTS:
            if f"{module}.".startswith(beginning):
                return part
    return LOOP


class StackSampler:
    """Samples a thread while the context is entered. ``cpu_s``: its processor time by part, in seconds."""

    def __init__(self, thread: int) -> None:
        """``thread``: its identifier."""
        self.cpu_s: dict[str, float] = defaultdict(float)
        self._thread = thread
        self._clock = time.pthread_getcpuclockid(thread)
        self._over = threading.Event()
        self._sampler = threading.Thread(target=self._run, name="stack sampler", daemon=True)

    def __enter__(self) -> StackSampler:
        self._sampler.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._sampler.join()

    def _run(self) -> None:
        before = time.clock_gettime(self._clock)
        while not self._over.wait(EVERY_S):
            frame = sys._current_frames().get(self._thread)
            now = time.clock_gettime(self._clock)
            if now > before:
                self.cpu_s[part_of(_modules(frame))] += now - before
            before = now


def _modules(frame: FrameType | None) -> Iterator[str]:
    while frame is not None:
        yield frame.f_globals.get("__name__", "")
        frame = frame.f_back
