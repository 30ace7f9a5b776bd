"""Captures: pcapng files that Wireshark and tcpdump can read. The format: draft-ietf-opsawg-pcapng.

``Capture`` writes the file. Each engine has a subclass that gets the packets.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from typing import BinaryIO

from netns.engine import CaptureOptions
from netns.errors import LabError

_SECTION, _INTERFACE, _ENHANCED_PACKET, _STATISTICS = 0x0A0D0D0A, 1, 6, 5
_ETHERNET = 1
_COMMENT, _IF_NAME, _IF_TSRESOL, _EPB_FLAGS, _ISB_IFDROP = 1, 2, 9, 2, 5
_NANOSECONDS = 9
"""A resolution of 10 to the power of -9 seconds."""


class Capture(ABC):
    """A capture that runs until it is stopped or the lab ends.

    The first ``snap_bytes`` of each packet are kept, with its length. ``max_bytes`` bounds the packets in the
    file. ``dropped`` counts the packets beyond that bound and, once the capture has ended, those that came
    faster than they could be written.
    """

    def __init__(self, device: str, node: str, options: CaptureOptions) -> None:
        """Opens the file. Raises: ``LabError`` if it cannot be written."""
        self.path = options.path
        self.packets = 0
        self.dropped = 0
        self._left_bytes = options.max_bytes
        self._snap_bytes = options.snap_bytes
        self._file_time = options.file_time
        try:
            self._file: BinaryIO = self.path.open("wb")
        except OSError as error:
            raise LabError(f"cannot capture {device} of {node} to {self.path}: {error}") from error
        self._file.write(_section(options.comment) + _interface(f"{node}:{device}", self._snap_bytes))

    @abstractmethod
    def stop(self) -> None:
        """Writes the packets that have arrived and the number of dropped ones, and closes the file.
        Blocks."""

    def _add(self, kept: bytes, length: int, at_ns: int, outgoing: bool) -> None:
        """Writes a packet of ``length`` bytes, of which ``kept`` are kept. ``at_ns`` is the lab's time."""
        block = _packet(kept, length, self._file_time(at_ns), outgoing)
        if len(block) > self._left_bytes:
            self.dropped += 1
        else:
            self._left_bytes -= len(block)
            self._file.write(block)
            self.packets += 1

    def _add_statistics(self, at_ns: int) -> None:
        now = self._file_time(at_ns)
        body = struct.pack("=III", 0, now >> 32, now & 0xFFFFFFFF)
        body += _option(_ISB_IFDROP, struct.pack("=Q", self.dropped)) + _option(0, b"")
        self._file.write(_block(_STATISTICS, body))


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
