"""Captures the packets of a node or a port into a pcapng file that Wireshark and tcpdump can read.

Each capture has a thread that empties a packet socket in the namespace twenty times a second. The kernel
notes each packet's time, so the thread need not hurry and take the interpreter from others for each packet.
Packets for which the socket has no room are dropped and counted; no sender waits. The format:
draft-ietf-opsawg-pcapng.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Literal

from netns.errors import LabError
from netns.namespaces import Namespace, entered

_ETH_P_ALL = 0x0003
_SO_TIMESTAMPNS, _SO_RCVBUFFORCE = 35, 33
_PACKET_OUTGOING = 4
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_BUFFER_BYTES = 8 << 20
"""The socket's buffer: thousands of packets, for the time between two looks, or while the disk is busy."""
_PERIOD_S = 0.05
_SECTION, _INTERFACE, _ENHANCED_PACKET, _STATISTICS = 0x0A0D0D0A, 1, 6, 5
_ETHERNET = 1
_COMMENT, _IF_NAME, _IF_TSRESOL, _EPB_FLAGS, _ISB_IFDROP = 1, 2, 9, 2, 5
_NANOSECONDS = 9
"""A resolution of 10 to the power of -9 seconds."""

Where = Literal["node", "port"]
FileTime = Callable[[int], int]
"""The time that a file shows for a packet, by the kernel's time of it. Both in nanoseconds since 1970."""


class Capture:
    """A capture that runs until it is stopped or the lab ends.

    The first ``snap_bytes`` of each packet are kept, with its length. ``max_bytes`` bounds the packets in the
    file. ``dropped`` counts the packets beyond that bound and, once the capture has ended, those that came
    faster than they could be written.
    """

    def __init__(
        self,
        namespace: Namespace,
        device: str,
        path: Path,
        *,
        snap_bytes: int,
        max_bytes: int,
        comment: str = "",
        file_time: FileTime = int,
    ) -> None:
        """Begins the capture. Raises: ``LabError`` if the file cannot be written."""
        self.path = path
        self.packets = 0
        self.dropped = 0
        self._left_bytes = max_bytes
        self._file_time = file_time
        self._buffer = bytearray(snap_bytes)
        with entered(namespace.fd):
            # Protocol 0 receives nothing until bind: with ETH_P_ALL, packets of other devices would come
            # first.
            made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
            try:
                made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
                made.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
                made.bind((device, _ETH_P_ALL))
                self._file: BinaryIO = path.open("wb")
            except OSError as error:
                made.close()
                raise LabError(f"cannot capture {device} of {namespace.name} to {path}: {error}") from error
        made.setblocking(False)
        self._socket = made
        self._file.write(_section(comment) + _interface(f"{namespace.name}:{device}", snap_bytes))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"netns-capture-{device}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Writes the packets that have arrived and the number of dropped ones, and closes the file.
        Blocks."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            with self._socket, self._file:
                while not self._stopping.wait(_PERIOD_S):
                    self._write_waiting()
                self._write_waiting()  # those that came before the stop
                self._file.write(self._statistics())
        except OSError:  # the disk is full: the file can be read up to here, and the capture ends
            self.dropped += 1

    def _write_waiting(self) -> None:
        """Writes the packets in the socket, to the disk: a process that is killed leaves whole packets."""
        while self._take():
            pass
        self._file.flush()

    def _take(self) -> bool:
        """Writes one packet. False if none is waiting."""
        try:
            # with MSG_TRUNC the kernel tells the packet's whole length, however little of it fits
            length, ancillary, _, origin = self._socket.recvmsg_into([self._buffer], 64, socket.MSG_TRUNC)
        except BlockingIOError:
            return False
        # The kernel's time of the packet, a struct timespec.
        seconds, nanoseconds = struct.unpack("=qq", ancillary[0][2])
        at_ns = self._file_time(seconds * 10**9 + nanoseconds)
        block = _packet(bytes(self._buffer[:length]), length, at_ns, outgoing=origin[2] == _PACKET_OUTGOING)
        if len(block) > self._left_bytes:
            self.dropped += 1
        else:
            self._left_bytes -= len(block)
            self._file.write(block)
            self.packets += 1
        return True

    def _statistics(self) -> bytes:
        # struct tpacket_stats: packets, drops (those for which the socket's buffer had no room).
        raw = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        self.dropped += struct.unpack("=II", raw)[1]
        now = self._file_time(time.time_ns())
        body = struct.pack("=III", 0, now >> 32, now & 0xFFFFFFFF)
        body += _option(_ISB_IFDROP, struct.pack("=Q", self.dropped)) + _option(0, b"")
        return _block(_STATISTICS, body)


def _block(kind: int, body: bytes) -> bytes:
    # The length stands at both ends, so that a file can be read backwards.
    length = struct.pack("=I", len(body) + 12)
    return struct.pack("=I", kind) + length + body + length


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("=HH", code, len(value)) + value + bytes(-len(value) % 4)


def _section(comment: str) -> bytes:
    # The magic number tells the byte order; then version 1.0 and a length of -1, which means unknown.
    body = struct.pack("=IHHq", 0x1A2B3C4D, 1, 0, -1)
    if comment:
        body += _option(_COMMENT, comment.encode()) + _option(0, b"")
    return _block(_SECTION, body)


def _interface(name: str, snap_bytes: int) -> bytes:
    body = struct.pack("=HHI", _ETHERNET, 0, snap_bytes)
    body += _option(_IF_NAME, name.encode()) + _option(_IF_TSRESOL, bytes([_NANOSECONDS])) + _option(0, b"")
    return _block(_INTERFACE, body)


def _packet(data: bytes, length: int, at_ns: int, outgoing: bool) -> bytes:
    # Interface 0, the time in two halves, the captured and the original length.
    body = struct.pack("=IIIII", 0, at_ns >> 32, at_ns & 0xFFFFFFFF, len(data), length)
    body += data + bytes(-len(data) % 4)
    body += _option(_EPB_FLAGS, struct.pack("=I", 2 if outgoing else 1)) + _option(0, b"")
    return _block(_ENHANCED_PACKET, body)
