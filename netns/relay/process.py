"""The relay process: moves Ethernet frames between the two TAP devices of each of its links.

Started by ``client`` with one end of a SOCK_SEQPACKET pair, over which it gets JSON requests and, with
``attach``, the devices' descriptors. Ends when that socket does, or with its parent. A TAP device needs
neither checksums finished nor offloads turned off, has no echo of what was sent, and its descriptors
stay with the parent too, so that the devices outlive this process.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import select
import signal
import socket
import sys
import time
from array import array
from heapq import heappop, heappush, heapreplace
from os import read, write
from typing import Any

from netns.relay.delay_line import DelayLine

_PR_SET_PDEATHSIG, _PR_SET_TIMERSLACK = 1, 29
_PRIORITY = 50
_READ_BYTES = 9_216
"""No frame is longer."""
_BURST_PACKETS = 32
"""Packets read from one device before the others get their turn."""
_BURST_GAP_S = 0.0002
"""Packets of one device that are closer than this come in bursts."""
_EARLY_S = 0.00006
"""A packet may come out so much too early: going to sleep and waking up for it would take as long."""
_NEVER = float("inf")
_LINE_LIMIT_BYTES = 8 << 20
_MAX_DESCRIPTORS = 2
_REQUEST_BYTES = 1 << 16


class Line:
    """One direction of a link on its way through the process."""

    __slots__ = ("delay", "due", "last_read", "number", "refused", "sink", "source")

    def __init__(self, number: int, source: int, sink: int, seed: int) -> None:
        self.number, self.source, self.sink = number, source, sink
        self.delay = DelayLine(seed=seed, limit_bytes=_LINE_LIMIT_BYTES)
        self.due = _NEVER
        """The time under which it stands on the relay's list."""
        self.last_read = 0.0
        self.refused = 0
        """Packets that were lost because the link was cut, or that its device did not take."""

    def __lt__(self, other: Line) -> bool:
        return self.number < other.number


class Relay:
    """All lines of the process. Line 2k runs from link k's node to the switch, line 2k + 1 back."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._lines: dict[int, Line] = {}
        self._line_of_source: dict[int, Line] = {}
        self._tables: dict[str, array[int]] = {}
        self._due: list[tuple[float, Line]] = []
        """A heap of the lines that hold packets, by the time of their next. Of a line's entries the one that
        has ``Line.due`` counts; those that a packet overtook stay until they come up."""
        self._epoll = select.epoll()
        self._epoll.register(control.fileno(), select.EPOLLIN)

    def run(self) -> None:
        """Relays until the control socket closes."""
        waiting_on, nothing = [self._epoll.fileno()], ()
        poll, wait, clock = self._epoll.poll, select.select, time.monotonic
        lines, control = self._line_of_source, self._control.fileno()
        while True:
            due = self._due
            timeout_s = max(0.0, due[0][0] - clock()) if due else None
            # epoll's own timeout is in whole milliseconds; select's is not.
            if wait(waiting_on, nothing, nothing, timeout_s)[0]:
                now = clock()
                for fd, _ in poll(0):
                    if fd != control:
                        self._receive(lines[fd], now)
                    elif not self._serve():
                        return
            self._deliver(clock() + _EARLY_S)

    def _receive(self, line: Line, now: float) -> None:
        delay, source = line.delay, line.source
        try:
            delay.push(read(source, _READ_BYTES), now)
            # Most often there is one packet, and trying for another costs as much, so it must be likely.
            if now - line.last_read < _BURST_GAP_S:
                for _ in range(_BURST_PACKETS - 1):
                    delay.push(read(source, _READ_BYTES), now)
        except BlockingIOError:
            pass
        except OSError:  # the device is gone; at real-time priority it must not be polled for ever
            self._epoll.unregister(source)
        line.last_read = now
        due = delay.next_due
        if due is not None and due < line.due:
            line.due = due
            heappush(self._due, (due, line))

    def _deliver(self, now: float) -> None:
        due = self._due
        while due and due[0][0] <= now:
            at, line = due[0]
            if at != line.due:
                heappop(due)
                continue
            delay, sink = line.delay, line.sink
            for packet in delay.pop_due(now):
                try:
                    write(sink, packet)
                except OSError:  # the link is down: EIO
                    line.refused += 1
            if delay.next_due is None:
                line.due = _NEVER
                heappop(due)
            else:
                line.due = delay.next_due
                heapreplace(due, (line.due, line))

    def _serve(self) -> bool:
        data, descriptors, _, _ = socket.recv_fds(self._control, _REQUEST_BYTES, _MAX_DESCRIPTORS)
        if not data:
            return False
        self._control.send(json.dumps(self._answer(json.loads(data), descriptors)).encode())
        return True

    def _answer(self, request: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
        match request["op"]:
            case "attach":
                node, port = descriptors
                self._attach(2 * request["link"], node, port, request["seeds"][0])
                self._attach(2 * request["link"] + 1, port, node, request["seeds"][1])
                return {}
            case "set":
                name = request["table"]
                table = self._tables[name] if name is not None else None
                self._lines[request["line"]].delay.set(table=table, **request["parameters"])
                return {}
            case "table":
                self._tables[request["name"]] = array("h", request["values"])
                return {}
            case "clear":
                for number in request["lines"]:
                    line = self._lines[number]
                    line.refused += line.delay.clear()
                    line.due = _NEVER
                return {}
            case "counters":
                return {str(line.number): _count(line) for line in self._lines.values()}
            case other:
                raise ValueError(f"unknown request {other!r}")

    def _attach(self, number: int, source: int, sink: int, seed: int) -> None:
        self._lines[number] = self._line_of_source[source] = Line(number, source, sink, seed)
        self._epoll.register(source, select.EPOLLIN)


def _count(line: Line) -> list[int]:
    delay = line.delay
    return [delay.lost, delay.overflowed + line.refused, delay.backlog_bytes]


def main() -> None:
    """Runs the relay. Arguments: the control socket's descriptor and the parent's process id."""
    control_fd, parent_pid = int(sys.argv[1]), int(sys.argv[2])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C belongs to the parent
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it died before the line above took effect
        return
    prctl(_PR_SET_TIMERSLACK, 1)
    real_time = True
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
    except OSError:
        real_time = False
    gc.disable()  # there are no cycles to find, only pauses to make
    control = socket.socket(fileno=control_fd)
    relay = Relay(control)
    control.send(json.dumps({"real_time": real_time}).encode())
    with contextlib.suppress(ConnectionError):
        relay.run()


if __name__ == "__main__":
    main()
