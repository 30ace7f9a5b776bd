"""A client that sends the frames a test chooses, and helpers to make such frames."""

from __future__ import annotations

from collections.abc import Iterable

from ecco_emu.transport import wire
from ecco_emu.transport.auth import Seal, Session, session

SESSION: Session = session(b"a secret of tests", "cam", b"c" * 16, b"s" * 16)


class ScriptedClient:
    """A client that sends any frames in properly sealed packets."""

    def __init__(self) -> None:
        self.seal = Seal(SESSION.client_key)
        self.number = 0

    def packet(self, *frames: bytes, number: int | None = None, seal: Seal | None = None) -> bytes:
        if number is None:
            number = self.number
            self.number += 1
        header = wire.HEADER.pack(wire.VERSION, wire.DATA, SESSION.connection_id, number)
        return (seal or self.seal).sign(header + b"".join(frames))


def stream(channel: int, offset: int, data: bytes) -> bytes:
    return wire.stream_header(channel, offset, len(data)) + data


def message(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def video(number: int, total: int, offset: int, data: bytes) -> bytes:
    return wire.video_header(number, total, offset, len(data)) + data


def frames_of(datagrams: Iterable[bytes]) -> list[wire.WireFrame]:
    return [frame for datagram in datagrams for frame in wire.parse_data(datagram)]
