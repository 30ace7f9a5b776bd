"""H.264 byte streams (ITU-T H.264 Annex B): cutting one into NAL units and joining it again. Pure.

A segment of ours has exactly one form: SPS, PPS, one IDR slice, then one non-IDR slice per further frame.
The decoder refuses every other form by its start codes alone, before libav sees a byte. This bounds the
work that a hostile stream can ask for.
"""

from __future__ import annotations

from collections.abc import Iterable

from ecco_emu.core.errors import ProtocolError

NON_IDR, IDR, SEI, SPS, PPS = 1, 5, 6, 7, 8
"""NAL unit types (ITU-T H.264, Table 7-1)."""

_START = b"\x00\x00\x01"


def unit_type(unit: bytes) -> int:
    """The ``nal_unit_type`` of a NAL unit without its start code."""
    return unit[0] & 0x1F


def split(stream: bytes, max_units: int) -> list[bytes]:
    """The NAL units of a byte stream, without start codes.

    Raises ``ProtocolError`` if there are bytes before the first start code, an empty unit, or more than
    ``max_units``.
    """
    # Counted before splitting: a stream of nothing but start codes must not become millions of units.
    if stream.count(_START) > max_units:
        raise ProtocolError(f"more than {max_units} NAL units in a segment")
    head, *rest = stream.split(_START)
    if head.strip(b"\x00") or not rest:
        raise ProtocolError("a segment does not begin with a start code")
    # A NAL unit ends with a stop bit, so its last byte is not 0. Zeros after it belong to the next start
    # code, which may have four bytes.
    units = [unit.rstrip(b"\x00") for unit in rest]
    if not all(units):
        raise ProtocolError("an empty NAL unit in a segment")
    return units


def join(units: Iterable[bytes]) -> bytes:
    """The byte stream of these NAL units, with four-byte start codes."""
    return b"".join(b"\x00" + _START + unit for unit in units)


def access_units(stream: bytes, frames: int) -> list[bytes]:
    """The coded frames of one of our segments, each a byte stream of its own, the first with SPS and PPS.

    Raises ``ProtocolError`` if the segment is not SPS, PPS, IDR and ``frames - 1`` non-IDR slices.
    """
    units = split(stream, max_units=frames + 2)  # SPS and PPS come on top of a unit for each frame
    if [unit_type(unit) for unit in units] != [SPS, PPS, IDR] + [NON_IDR] * (frames - 1):
        raise ProtocolError(f"not a segment of {frames} frames: SPS, PPS, one IDR and P slices expected")
    return [join(units[:3]), *(join([unit]) for unit in units[3:])]
