"""Decoders meet the network: whatever comes in, a message or a ProtocolError comes out."""

from __future__ import annotations

import contextlib
import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecco_emu.core import messages
from ecco_emu.core.errors import ProtocolError

HASH = "0123456789abcdef"
names = st.text("abcXYZ019-_", min_size=1, max_size=64)
hashes = st.text("0123456789abcdef", min_size=16, max_size=16)
finite = st.floats(allow_nan=False, allow_infinity=False)
rates = st.floats(0, 240, exclude_min=True)
sides = st.integers(16, 8192)
segments = st.builds(
    messages.Segment,
    camera=names,
    sequence=st.integers(0, 2**53),
    fps=rates,
    width=sides,
    height=sides,
    indices=st.integers(0, 10**6).flatmap(
        lambda first: st.integers(1, 240).map(lambda n: list(range(first, first + n)))
    ),
    t0=finite,
    frame_clock_fps=rates,
    data=st.binary(max_size=200),
)
points = st.tuples(finite, finite)
from_camera = st.one_of(
    segments,
    st.builds(messages.Register, camera=names, at=points, model=hashes),
    st.builds(
        messages.RetrainingRequest,
        camera=names,
        t=finite,
        at=points,
        model=hashes,
        since=finite,
        frames=segments,
    ),
    st.builds(messages.NeedModel, model=hashes),
    st.builds(messages.Weights, model=hashes, data=st.binary(max_size=200)),
)
from_server = st.one_of(
    st.builds(
        messages.Assignment,
        job=names,
        c=st.floats(0, 1e6),
        p=st.floats(0, 1),
        members=st.integers(1, 256),
    ),
    st.builds(messages.NewStudent, job=names, model=hashes),
    st.builds(messages.Released, reason=st.text(max_size=200)),
    st.builds(messages.Refused, reason=st.text(max_size=200), retry_s=st.floats(0.0, 3600.0)),
    st.builds(messages.NeedModel, model=hashes),
    st.builds(messages.Weights, model=hashes, data=st.binary(max_size=200)),
)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
DECODERS = (messages.decode_from_camera, messages.decode_from_server)


def segment(**changes):
    values = {
        "camera": "cam1",
        "sequence": 0,
        "fps": 5.0,
        "width": 320,
        "height": 192,
        "indices": [0, 2, 4],
        "t0": 0.0,
        "frame_clock_fps": 10.0,
        "data": b"\0\0\0\1",
    }
    return messages.Segment(**(values | changes))


@given(from_camera)
def test_what_a_camera_says_arrives(message):
    assert messages.decode_from_camera(messages.encode(message)) == message


@given(from_server)
def test_what_the_server_says_arrives(message):
    assert messages.decode_from_server(messages.encode(message)) == message


@pytest.mark.parametrize("decode", DECODERS)
@given(data=st.binary(max_size=300))
def test_arbitrary_bytes_are_refused_and_nothing_else_happens(decode, data):
    with pytest.raises(ProtocolError):
        decode(data)


def decode_or_refuse(decode, data):
    """Anything but a ProtocolError fails the test."""
    with contextlib.suppress(ProtocolError):
        decode(data)


@pytest.mark.parametrize("decode", DECODERS)
@given(value=plain)
def test_well_formed_msgpack_of_any_shape_is_refused(decode, value):
    with pytest.raises(ProtocolError):
        decode(msgspec.msgpack.encode(value))


TAGS = ["segment", "register", "request", "need-model", "weights", "assignment", "new-student", "released"]


@pytest.mark.parametrize("decode", DECODERS)
@given(
    tag=st.sampled_from(TAGS),
    fields=st.dictionaries(
        st.sampled_from(
            [
                "camera",
                "model",
                "at",
                "t",
                "frames",
                "data",
                "job",
                "c",
                "p",
                "members",
                "reason",
                "since",
                "retry_s",
            ]
        ),
        plain | hashes | names,
        max_size=6,
    ),
)
def test_a_known_tag_with_any_fields_is_read_or_refused(decode, tag, fields):
    decode_or_refuse(decode, msgspec.msgpack.encode({"type": tag, **fields}))


@settings(max_examples=300)
@given(message=from_camera | from_server, data=st.data())
def test_a_damaged_message_is_read_or_refused(message, data):
    raw = bytearray(messages.encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(raw[: data.draw(st.integers(0, len(raw)))])
    for decode in DECODERS:
        decode_or_refuse(decode, bytes(raw))
        decode_or_refuse(decode, cut)


@pytest.mark.parametrize("depth", [100, 2_000, 100_000])
@pytest.mark.parametrize("decode", DECODERS)
def test_deep_nesting_is_refused(decode, depth):
    with pytest.raises(ProtocolError):
        decode(b"\x91" * depth + b"\xc0")
    with pytest.raises(ProtocolError):
        decode(b"\x82\xa4type\xa7weights\xa1x" + b"\x91" * depth + b"\xc0")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "build",
    [
        lambda value: segment(t0=value),
        lambda value: segment(fps=value),
        lambda value: messages.Register("cam1", (0.0, value), HASH),
        lambda value: messages.RetrainingRequest("cam1", value, (0.0, 0.0), HASH, 0.0, segment()),
        lambda value: messages.RetrainingRequest("cam1", 1.0, (0.0, 0.0), HASH, value, segment()),
        lambda value: messages.RetrainingRequest("cam1", 1.0, (0.0, 0.0), HASH, 0.0, segment(t0=value)),
    ],
)
def test_numbers_from_a_camera_are_finite(build, value):
    with pytest.raises(ProtocolError):
        messages.decode_from_camera(messages.encode(build(value)))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_from_the_server_are_finite(value):
    with pytest.raises(ProtocolError):
        messages.decode_from_server(messages.encode(messages.Assignment("job1", value, 0.5, 1)))
    with pytest.raises(ProtocolError):
        messages.decode_from_server(messages.encode(messages.Assignment("job1", 1.0, value, 1)))


@pytest.mark.parametrize(
    "message",
    [
        segment(camera=""),
        segment(camera="x" * 65),
        segment(sequence=-1),
        segment(width=8),
        segment(height=100_000),
        segment(indices=[]),
        segment(indices=list(range(241))),
        segment(indices=[3, 2]),
        segment(indices=[2, 2]),
        segment(indices=[-1, 2]),
        segment(indices=[0, 2**63]),
        segment(data=bytes(messages.MAX_SEGMENT_BYTES + 1)),
        messages.Register("cam1", (0.0, 0.0), "../../etc/passwd"),
        messages.Register("cam1", (0.0, 0.0), HASH.upper()),
        messages.Register("cam1", (0.0, 0.0), HASH + "\n"),
        messages.Weights(HASH, bytes(messages.MAX_WEIGHTS_BYTES + 1)),
    ],
    ids=lambda message: f"{type(message).__name__}-{str(message)[:60]}",
)
def test_limits_hold_for_what_a_camera_says(message):
    with pytest.raises(ProtocolError):
        messages.decode_from_camera(messages.encode(message))


def test_each_side_reads_only_what_the_other_may_say():
    with pytest.raises(ProtocolError):
        messages.decode_from_server(messages.encode(segment()))
    with pytest.raises(ProtocolError):
        messages.decode_from_camera(messages.encode(messages.NewStudent("job1", HASH)))
