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
import heapq
import json
import os
import select
import signal
import socket
import sys
import time
from array import array
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
_LINE_LIMIT_BYTES = 8 << 20
_MAX_DESCRIPTORS = 2
_REQUEST_BYTES = 1 << 16


class Relay:
    """All lines of the process. Line 2k runs from link k's node to the switch, line 2k + 1 back."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._lines: dict[int, DelayLine] = {}
        self._sinks: dict[int, int] = {}
        self._line_of_source: dict[int, int] = {}
        self._refused: dict[int, int] = {}
        self._last_read: dict[int, float] = {}
        self._tables: dict[str, array[int]] = {}
        self._due: list[tuple[float, int]] = []
        self._epoll = select.epoll()
        self._epoll.register(control.fileno(), select.EPOLLIN)

    def run(self) -> None:
        """Relays until the control socket closes."""
        waiting_on = [self._epoll.fileno()]
        while True:
            timeout_s = max(0.0, self._due[0][0] - time.monotonic()) if self._due else None
            # epoll's own timeout is in whole milliseconds; select's is not.
            if select.select(waiting_on, [], [], timeout_s)[0]:
                for fd, _ in self._epoll.poll(0):
                    if fd != self._control.fileno():
                        self._receive(fd)
                    elif not self._serve():
                        return
            self._deliver(time.monotonic())

    def _receive(self, fd: int) -> None:
        number = self._line_of_source[fd]
        line = self._lines[number]
        was_empty = line.next_due is None
        now = time.monotonic()
        # Most often there is one packet, and trying for another costs as much, so it must be likely.
        most = _BURST_PACKETS if now - self._last_read[fd] < _BURST_GAP_S else 1
        self._last_read[fd] = now
        try:
            for _ in range(most):
                line.push(os.read(fd, _READ_BYTES), now)
        except BlockingIOError:
            pass
        except OSError:  # the device is gone; at real-time priority it must not be polled for ever
            self._epoll.unregister(fd)
        if was_empty and line.next_due is not None:
            heapq.heappush(self._due, (line.next_due, number))

    def _deliver(self, now: float) -> None:
        while self._due and self._due[0][0] <= now:
            _, number = heapq.heappop(self._due)
            line, sink = self._lines[number], self._sinks[number]
            for packet in line.pop_due(now):
                try:
                    os.write(sink, packet)
                except OSError:  # the link is down: EIO
                    self._refused[number] += 1
            if line.next_due is not None:
                heapq.heappush(self._due, (line.next_due, number))

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
                self._lines[request["line"]].set(table=table, **request["parameters"])
                return {}
            case "table":
                self._tables[request["name"]] = array("h", request["values"])
                return {}
            case "clear":
                number = request["line"]
                self._refused[number] += self._lines[number].clear()
                self._due = [entry for entry in self._due if entry[1] != number]
                heapq.heapify(self._due)
                return {}
            case "counters":
                return {str(number): self._count(number) for number in self._lines}
            case other:
                raise ValueError(f"unknown request {other!r}")

    def _attach(self, number: int, source: int, sink: int, seed: int) -> None:
        self._lines[number] = DelayLine(seed=seed, limit_bytes=_LINE_LIMIT_BYTES)
        self._sinks[number], self._line_of_source[source] = sink, number
        self._refused[number], self._last_read[source] = 0, 0.0
        self._epoll.register(source, select.EPOLLIN)

    def _count(self, number: int) -> list[int]:
        line = self._lines[number]
        return [line.lost, line.overflowed + self._refused[number], line.backlog_bytes]


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
