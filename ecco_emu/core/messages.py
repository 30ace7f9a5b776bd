"""What cameras and the server say to each other, above the transport.

Messages are msgpack, decoded by msgspec against these types, so that a message of another shape is a
``ProtocolError`` and never an object. Weights and video travel as bytes inside them.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated

import msgspec

from ecco_emu.core.errors import ProtocolError

CONTROL, WEIGHTS = 0, 1
"""Reliable channels of a connection: control is never queued behind weights."""

MAX_WEIGHTS_BYTES = 64 * 1024 * 1024
MAX_SEGMENT_BYTES = 8 * 1024 * 1024
MAX_SEGMENT_FRAMES = 240

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Hash = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}\Z")]
_Fraction = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Index = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Side = Annotated[int, msgspec.Meta(ge=16, le=8192)]


class Segment(msgspec.Struct, frozen=True, tag="segment"):
    """About one second of video. ``indices`` are frame-clock numbers, in order, one per coded frame."""

    camera: _Name
    sequence: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    fps: Annotated[float, msgspec.Meta(gt=0, le=240)]
    """The camera's sampling rate when this was taken (frames per emulated second)."""
    width: Side
    height: Side
    indices: Annotated[list[Index], msgspec.Meta(min_length=1, max_length=MAX_SEGMENT_FRAMES)]
    t0: float
    """Emulated second in which the segment's first frame was captured."""
    frame_clock_fps: Annotated[float, msgspec.Meta(gt=0, le=240)]
    """Frames per second of the camera's frame clock: frame ``i`` was captured at ``i / it``."""
    data: Annotated[bytes, msgspec.Meta(max_length=MAX_SEGMENT_BYTES)]
    """H.264, Annex B, decodable on its own."""


class Register(msgspec.Struct, frozen=True, tag="register"):
    """Camera to server, first thing: where it stands and which student it runs."""

    camera: _Name
    at: tuple[float, float]
    model: Hash


class RetrainingRequest(msgspec.Struct, frozen=True, tag="request"):
    """Camera to server on drift (paper section 3.3): metadata, its model and its newest frames."""

    camera: _Name
    t: float
    at: tuple[float, float]
    model: Hash
    frames: Segment


class NeedModel(msgspec.Struct, frozen=True, tag="need-model"):
    """Either way: this side lacks that student; send it."""

    model: Hash


class Weights(msgspec.Struct, frozen=True, tag="weights"):
    """Either way, on the weights channel: a student's safetensors file."""

    model: Hash
    data: Annotated[bytes, msgspec.Meta(max_length=MAX_WEIGHTS_BYTES)]


class Assignment(msgspec.Struct, frozen=True, tag="assignment"):
    """Server to camera: its job's GPU estimate c_j (GPU micro-windows), share p_j and size n_j."""

    job: _Name
    c: Annotated[float, msgspec.Meta(ge=0.0)]
    p: _Fraction
    members: Annotated[int, msgspec.Meta(ge=1)]


class NewStudent(msgspec.Struct, frozen=True, tag="new-student"):
    """Server to camera: run this student from now on."""

    job: _Name
    model: Hash


class Released(msgspec.Struct, frozen=True, tag="released"):
    """Server to camera: you are in no retraining job; stop streaming."""

    reason: Annotated[str, msgspec.Meta(max_length=200)]


CameraMessage = Segment | Register | RetrainingRequest | NeedModel | Weights
ServerMessage = Assignment | NewStudent | Released | NeedModel | Weights

_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises on bad input; the last on deep nesting."""

_encoder = msgspec.msgpack.Encoder()
_from_camera = msgspec.msgpack.Decoder(CameraMessage)
_from_server = msgspec.msgpack.Decoder(ServerMessage)


def encode(message: CameraMessage | ServerMessage) -> bytes:
    return _encoder.encode(message)


def decode_from_camera(data: bytes) -> CameraMessage:
    """Raises ``ProtocolError`` for anything that is not a well-formed camera message."""
    try:
        message: CameraMessage = _from_camera.decode(data)
    except _UNREADABLE as error:
        raise ProtocolError(f"not a camera message: {error}") from error
    _check(message)
    return message


def decode_from_server(data: bytes) -> ServerMessage:
    """Raises ``ProtocolError`` for anything that is not a well-formed server message."""
    try:
        message: ServerMessage = _from_server.decode(data)
    except _UNREADABLE as error:
        raise ProtocolError(f"not a server message: {error}") from error
    _check(message)
    return message


def _check(message: CameraMessage | ServerMessage) -> None:
    """What the types cannot say: finite numbers, and frames in order.

    msgpack can carry NaN and infinities, which msgspec's bounds let through for free floats.
    """
    for field in message.__struct_fields__:
        value = getattr(message, field)
        numbers = value if isinstance(value, tuple) else (value,)
        if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
            raise ProtocolError(f"{type(message).__name__}.{field} is not a finite number")
    if isinstance(message, RetrainingRequest):
        _check(message.frames)
    if isinstance(message, Segment) and any(a >= b for a, b in pairwise(message.indices)):
        raise ProtocolError("Segment.indices are not in order")
