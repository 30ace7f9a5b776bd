import struct
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netns.simulated.packets import HEADERS_BYTES, flip, frame_of, read_frame

CAM = SimpleNamespace(ip=bytes([10, 77, 0, 1]), mac=bytes.fromhex("02ec0a4d0001"))
SERVER = SimpleNamespace(ip=bytes([10, 77, 0, 2]), mac=bytes.fromhex("02ec0a4d0002"))


def packet(data=b"hello", checksums=True, target=SERVER):
    port = SimpleNamespace(node=CAM, address=("10.77.0.1", 40000), checksums=checksums)
    return (1, len(data) + HEADERS_BYTES, data, port, ("10.77.0.2", 4711), target, None)


def test_a_frame_is_the_one_that_a_kernel_sends():
    """The same datagram captured on the relay engine, but for the identification and its part of the sum."""
    assert frame_of(packet()).hex() == (
        "02ec0a4d000202ec0a4d000108004500002100004000401126300a4d00010a4d00029c401267000df8bd68656c6c6f"
    )


@given(data=st.binary(max_size=200), checksums=st.booleans())
def test_a_node_reads_what_was_sent(data, checksums):
    frame = frame_of(packet(data, checksums))
    assert len(frame) == len(data) + HEADERS_BYTES
    assert read_frame(frame, SERVER) == (data, ("10.77.0.1", 40000), 4711)
    assert read_frame(frame, CAM) is None


def test_a_frame_for_nobody_has_an_address_that_no_node_has():
    assert frame_of(packet(target=None))[:6] == bytes.fromhex("02ecffffffff")


def test_of_a_corrupted_frame_only_the_senders_mac_address_does_not_matter():
    sent = packet(bytes(range(50)))
    read = [read_frame(flip(sent, bit)[6], SERVER) for bit in range(8 * sent[1])]
    harmless = {bit for bit, found in enumerate(read) if found is not None}
    assert harmless == set(range(6 * 8, 12 * 8))
    assert {read[bit] for bit in harmless} == {(sent[2], ("10.77.0.1", 40000), 4711)}


def test_without_checksums_a_node_takes_a_wrong_datagram():
    sent = packet(bytes(50), checksums=False)
    first = 8 * HEADERS_BYTES
    for bit in range(first, first + 400):
        data, *_ = read_frame(flip(sent, bit)[6], SERVER)
        assert sum(byte.bit_count() for byte in data) == 1
    # another port, a shorter datagram, and a checksum where there was none
    assert read_frame(flip(sent, 8 * 36)[6], SERVER)[2] != 4711
    assert len(read_frame(flip(sent, 8 * 39 + 5)[6], SERVER)[0]) < 50
    assert read_frame(flip(sent, 8 * 40)[6], SERVER) is None


def test_two_inverted_bits_are_two():
    sent = packet(bytes(20))
    twice = flip(flip(sent, 400), 400)
    assert twice[6] == frame_of(sent)
    assert twice[:6] == sent[:6]


@pytest.mark.parametrize("length", [0, 7, 28, 65535])
def test_a_datagram_of_an_impossible_length_is_thrown_away(length):
    frame = bytearray(frame_of(packet(bytes(19), checksums=False)))
    frame[38:40] = struct.pack("!H", length)
    assert read_frame(bytes(frame), SERVER) is None
