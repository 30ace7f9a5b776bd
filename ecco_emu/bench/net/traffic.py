"""Blocking traffic between a lab's nodes, from a thread that asks for real-time priority."""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

HEADERS_BYTES = 14 + 20 + 8
_SO_TIMESTAMPNS = 35
_PRIORITY = 40
"""Of real time, and below the relay's: the lab must not wait for the process that measures it."""
_STAMP = struct.Struct("=dI")


@dataclass
class Received:
    """The packets that arrived at one socket. ``times``: the kernel's times of arrival, seconds since the
    epoch; ``frame_bytes``: the size of an Ethernet frame; ``delays_s``: each packet's one-way delay."""

    times: list[float] = field(default_factory=list)
    frame_bytes: int = 0
    delays_s: list[float] = field(default_factory=list)


def stamping(receiver: socket.socket) -> socket.socket:
    """The same socket; from now on the kernel records the time of arrival of each packet."""
    receiver.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    return receiver


@contextlib.contextmanager
def real_time() -> Iterator[None]:
    """Within the context the calling thread has real-time priority, if this user may have it."""
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@contextlib.contextmanager
def busy_cpus() -> Iterator[None]:
    """Within the context each CPU has a process of ordinary priority that computes without pause."""
    spin = "import os\nwhile os.getppid() == {}:\n    sum(range(10_000))"
    command = [sys.executable, "-S", "-c", spin.format(os.getpid())]
    spinners = [subprocess.Popen(command) for _ in range(len(os.sched_getaffinity(0)))]
    try:
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()


def exchange(
    pairs: Sequence[tuple[socket.socket, socket.socket]],
    *,
    rate_bps: float,
    for_s: float,
    frame_bytes: int = 1242,
    ack_every: int = 0,
) -> list[Received]:
    """Sends from the first to the second socket of every pair for ``for_s`` seconds; returns each pair's
    arrivals.

    Each pair carries ``rate_bps``, in Ethernet frames of ``frame_bytes``; the pairs take turns, evenly
    spaced. The receiver answers every ``ack_every``-th packet with a short one; with 0, none.
    """
    found = [Received() for _ in pairs]
    of_fd = {receiver.fileno(): index for index, (_, receiver) in enumerate(pairs)}
    poller = select.poll()
    for _, receiver in pairs:
        poller.register(receiver, select.POLLIN)
    targets = [receiver.getsockname() for _, receiver in pairs]
    padding = bytes(frame_bytes - HEADERS_BYTES - _STAMP.size)
    gap_s = frame_bytes * 8 / rate_bps / len(pairs)
    with real_time():
        start = time.monotonic()
        for number in itertools.count():
            due = start + number * gap_s
            if (
                max(due, time.monotonic()) > start + for_s
            ):  # the second: a slow host must not send on for ever
                break
            while (ahead := due - time.monotonic()) > 0:
                for fd, _ in poller.poll(min(2, ahead * 1e3)):
                    _drain(pairs[of_fd[fd]], found[of_fd[fd]], ack_every)
            index = number % len(pairs)
            with contextlib.suppress(BlockingIOError):
                pairs[index][0].sendto(_STAMP.pack(time.time(), number) + padding, targets[index])
            if number % 64 == 0:  # a sender that is always late never waits, and so never polls
                for pair, one in zip(pairs, found, strict=True):
                    _drain(pair, one, ack_every)
        time.sleep(0.3)
        for pair, one in zip(pairs, found, strict=True):
            _drain(pair, one, 0)
    return found


def _drain(pair: tuple[socket.socket, socket.socket], into: Received, ack_every: int) -> None:
    sender, receiver = pair
    while True:
        try:
            data, ancillary, _, origin = receiver.recvmsg(2048, 64)
        except BlockingIOError:
            break
        seconds, nanoseconds = struct.unpack("=qq", ancillary[0][2])
        at = seconds + nanoseconds * 1e-9
        into.times.append(at)
        into.frame_bytes = len(data) + HEADERS_BYTES
        into.delays_s.append(at - _STAMP.unpack_from(data)[0])
        if ack_every and len(into.times) % ack_every == 0:
            receiver.sendto(b"acknowledged", origin)
    if ack_every:
        with contextlib.suppress(BlockingIOError):
            while sender.recv(100):
                pass
