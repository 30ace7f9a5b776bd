"""The relay process: moves Ethernet frames between the two TAP devices of each of its links.

``client`` starts it with one end of a SOCK_SEQPACKET pair. Over this socket it gets requests in JSON and,
with the request ``attach``, the descriptors of the devices. It ends when the socket is closed or its parent
ends.

It uses TAP devices rather than packet sockets on veth pairs. The kernel finishes the checksums of the frames
that it hands to a TAP device and does not merge their segments, and a TAP device never reads back a frame
that was written to it. The parent keeps the descriptors too, so the devices outlive this process.
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

from netns.delay_line import DelayLine

_PR_SET_PDEATHSIG, _PR_SET_TIMERSLACK = 1, 29
_PRIORITY = 50
"""SCHED_FIFO priority. Where all CPUs are busy, p99 of the lateness is 0.17 ms with it and 3 ms without."""
_READ_BYTES = 9_216
"""No frame is longer: the largest MTU of a lab is 9000 bytes, and a frame has a header of 14."""
_BURST_PACKETS = 32
"""The most packets that are read from one device before the other devices get their turn."""
_BURST_GAP_S = 0.0002
"""If a device was last read less than this many seconds ago, more than one packet is expected."""
_EARLY_S = 0.00006
"""A packet may come out this many seconds early, because going to sleep and waking up takes as long."""
_NEVER = float("inf")
_LINE_LIMIT_BYTES = 8 << 20
"""The limit of a line until it is set."""
_MAX_DESCRIPTORS = 2
_REQUEST_BYTES = 1 << 16
"""Longer than any request: that for a jitter table of 4096 values has some 25 kB."""


class RelayLine:
    """One direction of a link within the process: frames go from ``source`` through ``delay`` to ``sink``,
    both of which are descriptors of TAP devices."""

    __slots__ = ("delay", "due", "last_read", "number", "refused", "sink", "source")

    def __init__(self, number: int, source: int, sink: int, seed: int) -> None:
        self.number, self.source, self.sink = number, source, sink
        self.delay: DelayLine[bytes] = DelayLine(seed=seed, limit_bytes=_LINE_LIMIT_BYTES)
        self.due = _NEVER
        """The time of its valid entry in the relay's heap."""
        self.last_read = 0.0
        self.refused = 0
        """Packets that were lost because the link was cut, or because the sink did not take them."""

    def __lt__(self, other: RelayLine) -> bool:
        # The heap compares two lines when their times are equal.
        return self.number < other.number


class Relay:
    """All lines of the process. Line 2k runs from the node of link k to the switch, and line 2k + 1 back."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._lines: dict[int, RelayLine] = {}
        self._line_of_source: dict[int, RelayLine] = {}
        self._tables: dict[str, array[int]] = {}
        self._due: list[tuple[float, RelayLine]] = []
        """A heap of the lines that hold packets, by the time at which their next packet is due. A line may
        have several entries, because removing one from the middle is slow. Only the one whose time is
        ``RelayLine.due`` is valid; the others are thrown away when they come up."""
        self._epoll = select.epoll()
        self._epoll.register(control.fileno(), select.EPOLLIN)

    def run(self) -> None:
        """Relays until the control socket closes."""
        # Looked up once: at real-time priority every microsecond in this loop is taken from somebody else.
        waiting_on, nothing = [self._epoll.fileno()], ()
        poll, wait, clock = self._epoll.poll, select.select, time.monotonic
        lines, control = self._line_of_source, self._control.fileno()
        while True:
            due = self._due
            timeout_s = max(0.0, due[0][0] - clock()) if due else None
            # The timeout of epoll is in whole milliseconds, so select waits, for epoll's descriptor.
            if wait(waiting_on, nothing, nothing, timeout_s)[0]:
                now = clock()
                for fd, _ in poll(0):
                    if fd != control:
                        self._receive(lines[fd], now)
                    elif not self._serve():
                        return
            self._deliver(clock() + _EARLY_S)

    def _receive(self, line: RelayLine, now: float) -> None:
        delay, source = line.delay, line.source
        try:
            delay.push(read(source, _READ_BYTES), now)
            # Mostly there is one packet, and a read that finds no other costs as much as one that does. So it
            # is only tried where another packet is likely.
            if now - line.last_read < _BURST_GAP_S:
                for _ in range(_BURST_PACKETS - 1):
                    delay.push(read(source, _READ_BYTES), now)
        except BlockingIOError:  # no more packets
            pass
        except OSError:  # the device is gone, and would be reported ready for ever, at real-time priority
            self._epoll.unregister(source)
        line.last_read = now
        due = delay.next_due
        # Mostly the line's next packet is one that came before this one, and its entry is in the heap.
        if due is not None and due < line.due:
            line.due = due
            heappush(self._due, (due, line))

    def _deliver(self, now: float) -> None:
        due = self._due
        while due and due[0][0] <= now:
            at, line = due[0]
            if at != line.due:  # no longer valid: overtaken, or its line was cleared
                heappop(due)
                continue
            delay, sink = line.delay, line.sink
            for packet in delay.pop_due(now):
                try:
                    write(sink, packet)
                except OSError:  # EIO: the device is not up
                    line.refused += 1
            if delay.next_due is None:
                line.due = _NEVER
                heappop(due)
            else:
                line.due = delay.next_due
                heapreplace(due, (line.due, line))

    def _serve(self) -> bool:
        data, descriptors, _, _ = socket.recv_fds(self._control, _REQUEST_BYTES, _MAX_DESCRIPTORS)
        if not data:  # the parent has closed its end
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
                # The lines' entries in the heap become invalid.
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
        self._lines[number] = self._line_of_source[source] = RelayLine(number, source, sink, seed)
        self._epoll.register(source, select.EPOLLIN)


def _count(line: RelayLine) -> list[int]:
    # The fields of client.LineCounters, in their order.
    delay = line.delay
    return [delay.lost, delay.overflowed + line.refused, delay.backlog_bytes]


def main() -> None:
    """Runs the relay. Arguments: the control socket's descriptor and the parent's process id."""
    control_fd, parent_pid = int(sys.argv[1]), int(sys.argv[2])
    # Ctrl-C and the terminal's end go to all its processes. The parent ends the lab, and this one with it.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # the parent ended before the call above, so no signal will come
        return
    # 1 ns instead of 50 µs. It matters where the priority below is refused: real-time threads have no slack.
    prctl(_PR_SET_TIMERSLACK, 1)
    real_time = True
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
    except OSError:  # the parent is told, and tells its caller (Lab.relay_real_time)
        real_time = False
    gc.disable()  # the objects here form no cycles, and looking for some would hold packets up
    control = socket.socket(fileno=control_fd)
    relay = Relay(control)
    control.send(json.dumps({"real_time": real_time}).encode())
    with contextlib.suppress(ConnectionError):  # the parent ended while it was being answered
        relay.run()


if __name__ == "__main__":
    main()
