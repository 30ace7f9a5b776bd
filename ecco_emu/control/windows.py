"""When things happen: retraining windows, micro-windows, and the boundaries between them.

Time is cut into retraining windows of equal length, and these into micro-windows in each of which one
job has all GPUs (paper, section 3.1). At a window's end groups are examined again (section 3.3). The server
walks through ``WindowMachine``, whose states and steps are these:

    WAITING --open--> READY --train--> TRAINING --trained--> READY ... READY --close--> REGROUPING
                        ^  \\--idle--> READY                                                |
                        +------------------------------- open --------------------------- + --finish--> DONE

``TRANSITIONS`` is that picture as a table, and a step that it does not have is a bug in the caller.

Training that runs past its micro-window has missed its deadline. It eats into the next micro-window, which
is still used if enough of it is left (``late_start``) and is lost otherwise. Windows are never moved: a late
window would make all later ones late, and the cameras' estimates count on their length.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class WindowState(Enum):
    WAITING = auto()
    """Before the first window."""
    READY = auto()
    """In a window, between two micro-windows: the GPUs are free, and requests can be weighed."""
    TRAINING = auto()
    """In a micro-window: one job has all GPUs."""
    REGROUPING = auto()
    """Between two windows: every camera is measured under its group's model, and groups may be split."""
    DONE = auto()
    """After the last window."""


class Step(Enum):
    """What the server can do to the machine; ``WindowMachine`` has a method for each."""

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
    """The times of all boundaries, in emulated seconds.

    Each boundary is computed from the origin, never by adding to the one before, so that rounding errors do
    not grow over a long run.
    """

    length_s: float
    """Length of a retraining window."""
    micro_s: float
    """Length of a micro-window."""
    count: int
    """Number of retraining windows."""
    origin_s: float = 0.0
    """Start of the first one."""

    def __post_init__(self) -> None:
        # In floats 0.6 / 0.2 is 2.9999999999999996, and that is still three micro-windows.
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
        """Micro-window ``index`` of ``window``. Raises ``IndexError`` if there is none."""
        if not (0 <= window < self.count and 0 <= index < self.micro_per_window):
            raise IndexError(f"no micro-window {index} in window {window}")
        start = self.window_start(window)
        last = index == self.micro_per_window - 1
        # The last micro-window must end exactly where its window does, and 3 * 0.3 is not 0.9 in floats.
        end = self.window_end(window) if last else start + (index + 1) * self.micro_s
        return Slot(window, index, start + index * self.micro_s, end)


@dataclass(frozen=True, slots=True)
class MicroWindowEnd:
    """How a micro-window's training ended."""

    slot: Slot
    late: bool
    """It missed its deadline."""
    overrun_s: float
    """By how much it ran past the micro-window's end; 0 if it did not."""


class WindowMachine:
    """Where the server is in its windows. Times are arguments; the caller does the waiting.

    ``late_start`` is the fraction of a micro-window that must be left for it to be used when the one before
    overran; the default is ours, for the paper does not speak of overruns. ``tolerance_s`` is how late the
    end of training may be before its deadline counts as missed.
    """

    def __init__(self, calendar: Calendar, *, late_start: float = 0.5, tolerance_s: float = 0.0) -> None:
        self.calendar = calendar
        self.state = WindowState.WAITING
        self.window = -1
        self._next_index = 0
        self._slot: Slot | None = None
        self._late_start = late_start
        self._tolerance_s = tolerance_s

    @property
    def remaining_windows(self) -> int:
        """Windows that have not been opened yet."""
        return self.calendar.count - 1 - self.window

    def next_deadline(self) -> float | None:
        """The next boundary to wake at; None after the last window.

        That is the start of the next window or micro-window, or the present one's end.
        """
        match self.state:
            case WindowState.WAITING | WindowState.REGROUPING:
                # Groups are examined after a window's end, so that boundary is past when this is asked, and
                # the next window's start, which is the same time, comes at once. After the last window its
                # end stands in for a start that does not exist.
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

        The caller calls this before each ``train`` or ``idle`` and tells the allocator with ``skip``.
        """
        self._must(WindowState.READY)
        before = self._next_index
        while self._next_index < self.calendar.micro_per_window:
            slot = self.calendar.slot(self.window, self._next_index)
            # 1e-9: with ``late_start`` 1, rounding must not lose a micro-window that is reached just in time.
            if slot.end_s - now >= self._late_start * self.calendar.micro_s - 1e-9:
                break
            self._next_index += 1
        return self._next_index - before

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
        """No job takes the upcoming micro-window: there is none, or none that the policy would train."""
        return self._take(Step.IDLE)

    def trained(self, now: float) -> MicroWindowEnd:
        """Training ended at ``now``; after the micro-window's end that is a missed deadline."""
        self._go(Step.TRAINED)
        slot, self._slot = self._current(), None
        overrun = max(0.0, now - slot.end_s)
        return MicroWindowEnd(slot, late=overrun > self._tolerance_s, overrun_s=overrun)

    def close(self) -> None:
        """The window is over, and groups are examined. Micro-windows not used by now stay unused."""
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
