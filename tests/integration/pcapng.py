"""A reader of pcapng files, enough for those that netns writes: one section, one interface, nanoseconds."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple

SECTION, INTERFACE, STATISTICS, PACKET = 0x0A0D0D0A, 1, 5, 6
_COMMENT = 1


class CapturedPacket(NamedTuple):
    time_ns: int
    length: int
    """Of the whole packet, however little of it was kept."""
    kept: bytes


def blocks(data: bytes) -> list[tuple[int, bytes]]:
    """The type and the content of each block."""
    found, offset = [], 0
    while offset < len(data):
        kind, length = struct.unpack_from("=II", data, offset)
        assert struct.unpack_from("=I", data, offset + length - 4) == (length,)
        found.append((kind, data[offset + 8 : offset + length - 4]))
        offset += length
    return found


def packets(path: Path) -> list[CapturedPacket]:
    found = []
    for kind, body in blocks(path.read_bytes()):
        if kind == PACKET:
            high, low, kept, length = struct.unpack_from("=IIII", body, 4)
            found.append(CapturedPacket((high << 32) + low, length, body[20 : 20 + kept]))
    return found


def comment(path: Path) -> str:
    """The comment of the section; its fixed part has 16 bytes, then options follow."""
    [(kind, body), *_] = blocks(path.read_bytes())
    assert kind == SECTION
    code, length = struct.unpack_from("=HH", body, 16)
    assert code == _COMMENT
    return body[20 : 20 + length].decode()
