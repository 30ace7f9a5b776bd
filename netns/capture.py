"""Captures the packets of a node or a port into a pcapng file that Wireshark and tcpdump can read.

Each capture has a thread that reads a packet socket in the namespace. Packets that the thread cannot write in
time are dropped and counted; no sender waits for it. The format: draft-ietf-opsawg-pcapng.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from pathlib import Path
from typing import BinaryIO, Literal

from netns.errors import LabError
from netns.namespaces import Namespace, entered

_ETH_P_ALL = 0x0003
_SO_TIMESTAMPNS, _SO_RCVBUFFORCE = 35, 33
_PACKET_OUTGOING = 4
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_BUFFER_BYTES = 8 << 20
"""The socket's buffer, for the time that the disk holds the thread up."""
_SECTION, _INTERFACE, _ENHANCED_PACKET, _STATISTICS = 0x0A0D0D0A, 1, 6, 5
_ETHERNET = 1
_IF_NAME, _IF_TSRESOL, _EPB_FLAGS, _ISB_IFDROP = 2, 9, 2, 5
_NANOSECONDS = 9
"""A resolution of 10 to the power of -9 seconds."""

Where = Literal["node", "port"]


class Capture:
    """A capture that runs until it is stopped or the lab ends.

    The first ``snap_bytes`` of each packet are kept. ``max_bytes`` bounds the packets in the file.
    ``dropped`` counts the packets beyond that bound and those that came faster than they could be written.
    """

    def __init__(
        self, namespace: Namespace, device: str, path: Path, *, snap_bytes: int, max_bytes: int
    ) -> None:
        """Begins the capture. Raises: ``LabError`` if the file cannot be written."""
        self.path = path
        self.packets = 0
        self.dropped = 0
        self._snap_bytes, self._left_bytes = snap_bytes, max_bytes
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
        made.settimeout(0.1)  # the time after which the thread looks whether it is to stop
        self._socket = made
        self._file.write(_section() + _interface(f"{namespace.name}:{device}", snap_bytes))
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
        with self._socket, self._file:
            try:
                while self._take():
                    pass
                self._file.write(self._statistics())
            except OSError:  # the disk is full: the file can be read up to here, and the capture ends
                self.dropped += 1

    def _take(self) -> bool:
        """Writes one packet. False if the capture was stopped and no packet is left."""
        try:
            data, ancillary, _, origin = self._socket.recvmsg(self._snap_bytes + 1, 64)
        except (
            TimeoutError
        ):  # asked only when the socket is empty, so the packets before the stop are written
            return not self._stopping.is_set()
        # The kernel's time of the packet, a struct timespec.
        seconds, nanoseconds = struct.unpack("=qq", ancillary[0][2])
        block = _packet(
            data[: self._snap_bytes], seconds * 10**9 + nanoseconds, outgoing=origin[2] == _PACKET_OUTGOING
        )
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
        now = time.time_ns()
        body = struct.pack("=III", 0, now >> 32, now & 0xFFFFFFFF)
        body += _option(_ISB_IFDROP, struct.pack("=Q", self.dropped)) + _option(0, b"")
        return _block(_STATISTICS, body)


def _block(kind: int, body: bytes) -> bytes:
    # The length stands at both ends, so that a file can be read backwards.
    length = struct.pack("=I", len(body) + 12)
    return struct.pack("=I", kind) + length + body + length


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("=HH", code, len(value)) + value + bytes(-len(value) % 4)


def _section() -> bytes:
    # The magic number tells the byte order; then version 1.0 and a length of -1, which means unknown.
    return _block(_SECTION, struct.pack("=IHHq", 0x1A2B3C4D, 1, 0, -1))


def _interface(name: str, snap_bytes: int) -> bytes:
    body = struct.pack("=HHI", _ETHERNET, 0, snap_bytes)
    body += _option(_IF_NAME, name.encode()) + _option(_IF_TSRESOL, bytes([_NANOSECONDS])) + _option(0, b"")
    return _block(_INTERFACE, body)


def _packet(data: bytes, at_ns: int, outgoing: bool) -> bytes:
    # Interface 0, the time in two halves, the captured and the original length.
    body = struct.pack("=IIIII", 0, at_ns >> 32, at_ns & 0xFFFFFFFF, len(data), len(data))
    body += data + bytes(-len(data) % 4)
    body += _option(_EPB_FLAGS, struct.pack("=I", 2 if outgoing else 1)) + _option(0, b"")
    return _block(_ENHANCED_PACKET, body)
