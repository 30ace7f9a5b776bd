"""A packet under way, and the real frame that it stands for: Ethernet, IPv4 and UDP.

Hardly anybody looks at a frame's bytes, so they are made where somebody does: a line that inverts a bit, or a
capture. A packet whose frame was corrupted carries the frame from then on, and the switch and the node read
that, as real ones do. Layouts: IEEE 802.3, RFC 791, RFC 768.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from netns.delay_line import flipped

if TYPE_CHECKING:
    from netns.simulated.nodes import SimulatedNode
    from netns.simulated.ports import DatagramPort

HEADERS_BYTES = 14 + 20 + 8
MAX_PORT = 65_535

Packet = tuple[int, int, bytes, "DatagramPort", tuple[str, int], "SimulatedNode | None", bytes | None]
"""Its number in the order of sending, the bytes of its frame, the datagram, the port that sent it, the
address that it is for, the node that has this address (None: nobody to whom the switch would send it), and
its frame if that was corrupted. A plain tuple, because one is made for each packet."""

_IPV4, _UDP = 0x0800, 17
_VERSION_AND_LENGTH, _DO_NOT_FRAGMENT, _TIME_TO_LIVE = 0x45, 0x4000, 64
_IP = struct.Struct("!BBHHHBBH4s4s")
_UDP_HEADER = struct.Struct("!HHHH")
_NOBODY = b"\x02\xec\xff\xff\xff\xff"
"""As on the other engines: the MAC address of a target that the sender does not reach."""


def frame_of(packet: Packet) -> bytes:
    """The packet's frame, with valid checksums unless it was corrupted."""
    _, _, data, port, (ip, number), target, frame = packet
    if frame is not None:
        return frame
    source = port.node
    udp_bytes = 8 + len(data)
    addresses = source.ip + bytes(map(int, ip.split(".")))
    head = _IP.pack(
        _VERSION_AND_LENGTH,
        0,
        20 + udp_bytes,
        0,  # an identification means nothing in a packet that must not be fragmented (RFC 6864)
        _DO_NOT_FRAGMENT,
        _TIME_TO_LIVE,
        _UDP,
        0,
        addresses[:4],
        addresses[4:],
    )
    head = head[:10] + _checksum(head).to_bytes(2) + head[12:]
    udp = _UDP_HEADER.pack(port.address[1], number, udp_bytes, 0)
    if port.checksums:
        # A sum of 0 is sent as its other form, since 0 means that there is none.
        checksum = _checksum(_pseudo_header(addresses, udp_bytes) + udp + data) or 0xFFFF
        udp = udp[:6] + checksum.to_bytes(2)
    mac = _NOBODY if target is None else target.mac
    return b"".join((mac, source.mac, _IPV4.to_bytes(2), head, udp, data))


def flip(packet: Packet, bit: int) -> Packet:
    """The packet with one bit of its frame inverted."""
    return (*packet[:6], flipped(frame_of(packet), bit))


def read_frame(frame: bytes, node: SimulatedNode) -> tuple[bytes, tuple[str, int], int] | None:
    """The datagram that a node finds in a frame that was corrupted, the address of its sender and the port
    that it is for. None if the node throws the frame away."""
    if frame[:6] != node.mac or int.from_bytes(frame[12:14]) != _IPV4:
        return None
    ip = frame[14:34]
    # The checksum covers the whole header, so everything in it is as it was sent.
    if _sum(ip) or ip[16:20] != node.ip:
        return None
    datagram = frame[34:]
    source, target, length, checksum = _UDP_HEADER.unpack_from(datagram)
    if not 8 <= length <= len(datagram):
        return None
    datagram = datagram[:length]
    if checksum and _sum(_pseudo_header(ip[12:20], length) + datagram):
        return None
    return datagram[8:], (".".join(map(str, ip[12:16])), source), target


def _pseudo_header(addresses: bytes, udp_bytes: int) -> bytes:
    return addresses + struct.pack("!BBH", 0, _UDP, udp_bytes)


def _sum(data: bytes) -> int:
    # The sum of 16-bit words in ones' complement is the remainder by 65,535. An odd byte counts as a high
    # one.
    return int.from_bytes(data + bytes(len(data) % 2)) % 0xFFFF


def _checksum(data: bytes) -> int:
    return (0xFFFF - _sum(data)) % 0xFFFF
