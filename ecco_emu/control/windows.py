"""When things happen: retraining windows, micro-windows, and the steps that lead from one to the next.

Time is cut into retraining windows of equal length, and these into micro-windows in each of which one
job has all GPUs (paper section 3.1). At a window's end groups are examined again (section 3.3). The server
walks through this machine, in which a step that the present state does not have is an error:

    WAITING --open--> READY --train--> TRAINING --trained--> READY ... READY --close--> REGROUPING
                        ^  \\--idle--> READY                                                |
                        +------------------------------- open --------------------------- + --finish--> DONE

``TRANSITIONS`` says which step may follow which state. Requests are not weighed against jobs while one
trains: weighing runs models, and the GPUs are taken. The server's lock on the GPUs holds them back until the
boundary, a micro-window at most.

Training that runs past its micro-window has missed its deadline. It eats into the next one, which is
still used if enough of it is left (``late_start``), and is lost otherwise. Windows are never moved.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, auto


class WindowState(Enum):
    WAITING = auto()
    """Before the first window."""
    READY = auto()
    """In a window, the GPUs free."""
    TRAINING = auto()
    """In a window, one job on all GPUs."""
    REGROUPING = auto()
    """Between two windows: every member is measured under its group's model."""
    DONE = auto()
    """After the last window."""


class Step(Enum):
    OPEN = auto()
    TRAIN = auto()
    IDLE = auto()
    TRAINED = auto()
    CLOSE = auto()
    FINISH = auto()


TRANSITIONS: dict[WindowState, dict[Step, WindowState]] = {
    WindowState.WAITING: {Step.OPEN: WindowState.READY},
    WindowState.READY: {
        Step.TRAIN: WindowState.TRAINING,
        Step.IDLE: WindowState.READY,
        Step.CLOSE: WindowState.REGROUPING,
    },
    WindowState.TRAINING: {Step.TRAINED: WindowState.READY},
    WindowState.REGROUPING: {Step.OPEN: WindowState.READY, Step.FINISH: WindowState.DONE},
    WindowState.DONE: {},
}


class WrongStateError(RuntimeError):
    """A step that the present state does not have: a bug in the caller."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One micro-window."""

    window: int
    index: int
    """Within the window, from 0."""
    start_s: float
    end_s: float
    """Its deadline."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """Where the boundaries lie, in emulated seconds. Boundaries are computed, never accumulated."""

    length_s: float
    micro_s: float
    count: int
    origin_s: float = 0.0

    def __post_init__(self) -> None:
        parts = self.length_s / self.micro_s if self.micro_s > 0 else 0.0
        if self.count < 1 or round(parts) < 1 or abs(parts - round(parts)) > 1e-6:
            raise ValueError("a window is a whole number of micro-windows, and there is at least one window")

    @property
    def micro_per_window(self) -> int:
        return round(self.length_s / self.micro_s)

    @property
    def end_s(self) -> float:
        return self.origin_s + self.count * self.length_s

    def window_start(self, window: int) -> float:
        return self.origin_s + window * self.length_s

    def window_end(self, window: int) -> float:
        return self.window_start(window + 1)

    def slot(self, window: int, index: int) -> Slot:
        """Micro-window ``index`` of ``window``; the last one's end is exactly the window's end."""
        if not (0 <= window < self.count and 0 <= index < self.micro_per_window):
            raise IndexError(f"no micro-window {index} in window {window}")
        start = self.window_start(window)
        last = index == self.micro_per_window - 1
        end = self.window_end(window) if last else start + (index + 1) * self.micro_s
        return Slot(window, index, start + index * self.micro_s, end)

    def at(self, now: float) -> Slot | None:
        """The micro-window that ``now`` is in (starts included, ends excluded), None outside all windows."""
        window = math.floor((now - self.origin_s) / self.length_s + 1e-9)
        if not 0 <= window < self.count:
            return None
        into = max(0.0, now - self.window_start(window))
        index = min(self.micro_per_window - 1, math.floor(into / self.micro_s + 1e-9))
        return self.slot(window, index)


@dataclass(frozen=True, slots=True)
class SlotEnd:
    """How a micro-window's training ended."""

    slot: Slot
    late: bool
    overrun_s: float


class WindowMachine:
    """Where the server is in its windows. Each step takes ``now`` and returns the next thing to know.

    ``late_start`` is the fraction of a micro-window that must be left for it to be used when the one
    before overran; ``tolerance_s`` is how late the end of training may be before it counts as missed.
    """

    def __init__(self, calendar: Calendar, *, late_start: float = 0.5, tolerance_s: float = 0.0) -> None:
        self.calendar = calendar
        self.state = WindowState.WAITING
        self.window = -1
        self.missed_deadlines = 0
        self.lost_slots = 0
        self._next_index = 0
        self._slot: Slot | None = None
        self._late_start = late_start
        self._tolerance_s = tolerance_s

    @property
    def remaining_windows(self) -> int:
        return self.calendar.count - 1 - self.window

    def next_deadline(self) -> float | None:
        """The next boundary to wake at: a window's or micro-window's start, or its end while training."""
        match self.state:
            case WindowState.WAITING | WindowState.REGROUPING:
                if self.remaining_windows == 0:
                    return self.calendar.end_s
                return self.calendar.window_start(self.window + 1)
            case WindowState.READY:
                if self._next_index == self.calendar.micro_per_window:
                    return self.calendar.window_end(self.window)
                return self.calendar.slot(self.window, self._next_index).start_s
            case WindowState.TRAINING:
                return self._current().end_s
            case WindowState.DONE:
                return None

    def open(self) -> int:
        """The next window begins. Returns its number."""
        if self.remaining_windows == 0:
            raise WrongStateError("every window has been")
        self._go(Step.OPEN)
        self.window += 1
        self._next_index = 0
        return self.window

    def lose(self, now: float) -> int:
        """Gives up the micro-windows that it is too late to start at ``now``; returns how many.

        To be called before each ``train`` or ``idle``, and reported to the allocator's ``skip``.
        """
        self._must(WindowState.READY)
        before = self._next_index
        while self._next_index < self.calendar.micro_per_window:
            slot = self.calendar.slot(self.window, self._next_index)
            if slot.end_s - now >= self._late_start * self.calendar.micro_s - 1e-9:
                break
            self._next_index += 1
        lost = self._next_index - before
        self.lost_slots += lost
        return lost

    def upcoming(self) -> Slot | None:
        """The micro-window to use next, None when this window has no more."""
        self._must(WindowState.READY)
        if self._next_index == self.calendar.micro_per_window:
            return None
        return self.calendar.slot(self.window, self._next_index)

    def train(self) -> Slot:
        """A job takes the upcoming micro-window."""
        slot = self._take(Step.TRAIN)
        self._slot = slot
        return slot

    def idle(self) -> Slot:
        """Nobody takes the upcoming micro-window."""
        return self._take(Step.IDLE)

    def trained(self, now: float) -> SlotEnd:
        """Training ended at ``now``; past the micro-window's end it is a missed deadline."""
        self._go(Step.TRAINED)
        slot, self._slot = self._current(), None
        overrun = max(0.0, now - slot.end_s)
        late = overrun > self._tolerance_s
        self.missed_deadlines += late
        return SlotEnd(slot, late, overrun)

    def close(self) -> None:
        """The window is over: groups are examined. Unused micro-windows are forfeited."""
        self._go(Step.CLOSE)

    def finish(self) -> None:
        """No window follows."""
        if self.remaining_windows:
            raise WrongStateError(f"{self.remaining_windows} windows are still to come")
        self._go(Step.FINISH)

    def _take(self, step: Step) -> Slot:
        slot = self.upcoming()
        if slot is None:
            raise WrongStateError(f"window {self.window} has no micro-window left")
        self._go(step)
        self._next_index += 1
        return slot

    def _current(self) -> Slot:
        assert self._slot is not None
        return self._slot

    def _must(self, state: WindowState) -> None:
        if self.state is not state:
            raise WrongStateError(f"only in {state.name}, not in {self.state.name}")

    def _go(self, step: Step) -> None:
        target = TRANSITIONS[self.state].get(step)
        if target is None:
            raise WrongStateError(f"{step.name} is not possible in {self.state.name}")
        self.state = target
