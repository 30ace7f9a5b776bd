"""The messages that cameras and the server exchange, above the transport.

Messages are encoded as msgpack. msgspec decodes them against the types below, so a message of another shape
raises ``ProtocolError`` and never becomes an object. Weights and video travel as bytes inside the messages.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated

import msgspec

from ecco_emu.core.errors import ProtocolError

CONTROL, WEIGHTS = 0, 1
"""Numbers of a connection's reliable channels. There are two, because a student takes seconds to transfer and
an assignment must not wait behind it."""

# Bounds for data from the network, so that a peer cannot make this end hold any amount of memory. They are
# far above honest use: a student's file is about 5 MB, and a second of video at 30 Mbit/s is 4 MB.
MAX_WEIGHTS_BYTES = 64 * 1024 * 1024
MAX_SEGMENT_BYTES = 8 * 1024 * 1024
MAX_SEGMENT_FRAMES = 240
"""One second at the highest frame rate that the types below admit."""

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
_Hash = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}\Z")]
_Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
# A frame's time is its index divided by a rate, and a float holds whole numbers exactly up to 2**53.
_Index = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Side = Annotated[int, msgspec.Meta(ge=16, le=8192)]


class Segment(msgspec.Struct, frozen=True, tag="segment"):
    """About one second of video of one camera (paper, section 4: 1-second segments)."""

    camera: _Name
    sequence: _Index
    """Counts the camera's segments from 0, those in retraining requests included."""
    fps: Annotated[float, msgspec.Meta(gt=0, le=240)]
    """The camera's sampling rate when these frames were taken (frames per emulated second)."""
    width: _Side
    height: _Side
    indices: Annotated[list[_Index], msgspec.Meta(min_length=1, max_length=MAX_SEGMENT_FRAMES)]
    """The number of each coded frame on the camera's frame clock, rising."""
    t0: float
    """Emulated second in which the segment's first frame was captured."""
    frame_clock_fps: Annotated[float, msgspec.Meta(gt=0, le=240)]
    """Rate of the camera's frame clock: frame ``i`` was captured at emulated ``i / frame_clock_fps``."""
    data: Annotated[bytes, msgspec.Meta(max_length=MAX_SEGMENT_BYTES)]
    """What the run's codec made of the frames: H.264, Annex B, decodable on its own; or sketches."""


class Register(msgspec.Struct, frozen=True, tag="register"):
    """Camera to server, first on a connection: the camera's place (metres) and the student that it runs."""

    camera: _Name
    at: tuple[float, float]
    model: _Hash


class RetrainingRequest(msgspec.Struct, frozen=True, tag="request"):
    """Camera to server when its data drifted (paper, section 3.3): metadata, model and newest frames.

    The model goes by its hash alone. A server that does not hold it answers with ``NeedModel``.
    """

    camera: _Name
    t: float
    at: tuple[float, float]
    model: _Hash
    since: float
    """Emulated second at which the drift began, as the camera's detector knows it. Frames captured earlier
    say nothing of the drifted data; those in ``frames`` are not older."""
    frames: Segment


class NeedModel(msgspec.Struct, frozen=True, tag="need-model"):
    """In both directions: the sender of this message lacks that student and asks for its file."""

    model: _Hash


class Weights(msgspec.Struct, frozen=True, tag="weights"):
    """In both directions, on the weights channel: a student's safetensors file."""

    model: _Hash
    data: Annotated[bytes, msgspec.Meta(max_length=MAX_WEIGHTS_BYTES)]


class Assignment(msgspec.Struct, frozen=True, tag="assignment"):
    """Server to camera: the camera's retraining job and the GPU time that the job can expect.

    The pair (c_j, p_j) of the paper, section 3.1, last paragraph.
    """

    job: _Name
    c: Annotated[float, msgspec.Meta(ge=0.0)]
    """c_j: GPU micro-windows per retraining window."""
    p: _Share
    """p_j: the job's share of all GPU time."""
    members: Annotated[int, msgspec.Meta(ge=1)]
    """n_j: the number of cameras that share the job."""


class NewStudent(msgspec.Struct, frozen=True, tag="new-student"):
    """Server to camera: run this student from now on. The camera asks for the file if it lacks it."""

    job: _Name
    model: _Hash


class Released(msgspec.Struct, frozen=True, tag="released"):
    """Server to camera: the camera is in no retraining job any more and stops streaming."""

    reason: Annotated[str, msgspec.Meta(max_length=200)]


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """Server to camera: its retraining request was not admitted. It may ask again after ``retry_s``."""

    reason: Annotated[str, msgspec.Meta(max_length=200)]
    retry_s: Annotated[float, msgspec.Meta(ge=0.0, le=3600.0)]
    """Emulated seconds."""


CameraMessage = Segment | Register | RetrainingRequest | NeedModel | Weights
ServerMessage = Assignment | NewStudent | Released | Refused | NeedModel | Weights

_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""The errors that msgspec raises on bad input; ``RecursionError`` comes from deep nesting."""

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
    """Checks that the types cannot express: numbers are finite, and frames are in order."""
    for field in message.__struct_fields__:
        value = getattr(message, field)
        numbers = value if isinstance(value, tuple) else (value,)  # ``at`` is a pair
        # msgpack can carry NaN and infinities, and msgspec has no constraint that refuses them. A NaN place
        # or time would compare false with every bound of Algorithm 2.
        if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
            raise ProtocolError(f"{type(message).__name__}.{field} is not a finite number")
    if isinstance(message, RetrainingRequest):
        _check(message.frames)
    if isinstance(message, Segment) and any(a >= b for a, b in pairwise(message.indices)):
        raise ProtocolError("Segment.indices are not in order")
