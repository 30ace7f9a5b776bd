"""A blocking rtnetlink socket that sends requests in batches, and the requests that a lab needs.

pyroute2 encodes links, addresses and neighbours; its sockets are not used, because they bring an event
loop of their own (and its asynchronous one does not run on uvloop). A socket belongs for ever to the
namespace that its thread was in when it was made, so it works from any thread afterwards.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg

from netns.errors import CapabilityError, LabError, LinkVanishedError, PrivilegeError
from netns.qdiscs import Netem, Tbf, attribute

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_NEWNEIGH = 20, 28
RTM_NEWQDISC, RTM_DELQDISC, RTM_GETQDISC = 36, 37, 38

_NLM_REQUEST, _NLM_ACK, _NLM_DUMP = 0x1, 0x4, 0x300
_NLM_REPLACE, _NLM_EXCL, _NLM_CREATE = 0x100, 0x200, 0x400
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_ACK_TLVS = 0x200
_NLMSGERR_ATTR_MSG = 1
_SOL_NETLINK, _NETLINK_CAP_ACK, _NETLINK_EXT_ACK = 270, 10, 11

_HEADER = struct.Struct("=IHHII")
_TCMSG = struct.Struct("=BxxxiIII")
_TC_ROOT = 0xFFFFFFFF
_HANDLE_STEP = 0x10000
_TCA_KIND, _TCA_OPTIONS, _TCA_STATS2 = 1, 2, 7
_IFLA_IFNAME, _IFLA_STATS64 = 3, 23
_IFF_UP = 1
_AF_BRIDGE, _NLA_NESTED = 7, 0x8000
_BR_STATE_DISABLED, _BR_STATE_FORWARDING = 0, 3
_CHUNK_BYTES = 60_000
_RECEIVE_BYTES = 1 << 20
_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Request:
    """One rtnetlink request: its type, flags and body, and in words what it is for."""

    kind: int
    flags: int
    body: bytes
    what: str


@dataclass(frozen=True, slots=True)
class DeviceStats:
    """What the kernel counts for one device (struct rtnl_link_stats64), from the device's own side."""

    rx_packets: int
    tx_packets: int
    rx_bytes: int
    tx_bytes: int
    rx_dropped: int
    tx_dropped: int


@dataclass(frozen=True, slots=True)
class QdiscStats:
    """What a root qdisc counts: what left it, what it dropped, what waits in it (children included)."""

    kind: str
    bytes: int
    packets: int
    drops: int
    backlog_bytes: int
    backlog_packets: int


class RouteSocket:
    """rtnetlink in the namespace that the calling thread is in at the time of construction."""

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
        )
        self._sequence = 0
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
        self._socket.settimeout(_TIMEOUT_S)
        self._socket.bind((0, 0))

    def close(self) -> None:
        self._socket.close()

    def execute(self, requests: Sequence[Request]) -> None:
        """Carries out all requests in order, many to a system call.

        Raises: ``LabError`` (or the subclass that fits) for the first that failed; those after it in the
        same batch were tried all the same.
        """
        chunk: list[Request] = []
        size = 0
        for request in requests:
            if chunk and size + len(request.body) + _HEADER.size > _CHUNK_BYTES:
                self._send(chunk)
                chunk, size = [], 0
            chunk.append(request)
            size += len(request.body) + _HEADER.size
        if chunk:
            self._send(chunk)

    def device_stats(self) -> dict[str, DeviceStats]:
        """Counters of every device in the namespace, by name."""
        found = {}
        for body in self._dump(RTM_GETLINK, bytes(16)):
            attributes = dict(parse_attributes(body, 16))
            if _IFLA_STATS64 in attributes:
                name = attributes[_IFLA_IFNAME].rstrip(b"\0").decode()
                counted = struct.unpack_from("=4Q16x2Q", attributes[_IFLA_STATS64])
                found[name] = DeviceStats(*counted)
        return found

    def qdisc_stats(self) -> dict[int, QdiscStats]:
        """Counters of the root qdisc of every device in the namespace that has one, by device index."""
        found = {}
        for body in self._dump(RTM_GETQDISC, _TCMSG.pack(0, 0, 0, 0, 0)):
            _, index, _, parent, _ = _TCMSG.unpack_from(body)
            if parent == _TC_ROOT:
                found[index] = _parse_qdisc_stats(body)
        return found

    def _send(self, requests: Sequence[Request]) -> None:
        first = self._sequence + 1
        message = bytearray()
        for request in requests:
            self._sequence += 1
            flags = request.flags | _NLM_REQUEST | (_NLM_ACK if request is requests[-1] else 0)
            message += _HEADER.pack(_HEADER.size + len(request.body), request.kind, flags, self._sequence, 0)
            message += request.body
        self._socket.send(message)
        # Without NLM_F_ACK only a failure is answered; the last request answers for the whole batch.
        failed: LabError | None = None
        for kind, flags, sequence, body in self._replies(first):
            if kind != _NLMSG_ERROR:
                continue
            code = -struct.unpack_from("=i", body)[0]
            if code and failed is None:
                failed = _error(code, _extended_message(flags, body), requests[sequence - first].what)
            if sequence == self._sequence:
                break
        if failed is not None:
            raise failed

    def _dump(self, kind: int, body: bytes) -> Iterator[bytes]:
        self._sequence += 1
        header = _HEADER.pack(_HEADER.size + len(body), kind, _NLM_REQUEST | _NLM_DUMP, self._sequence, 0)
        self._socket.send(header + body)
        for reply_kind, flags, _, reply in self._replies(self._sequence):
            if reply_kind == _NLMSG_DONE:
                return
            if reply_kind == _NLMSG_ERROR:
                code = -struct.unpack_from("=i", reply)[0]
                raise _error(code, _extended_message(flags, reply), "read counters")
            yield reply

    def _replies(self, first: int) -> Iterator[tuple[int, int, int, bytes]]:
        while True:
            try:
                data = self._socket.recv(_RECEIVE_BYTES)
            except TimeoutError:
                raise LabError(f"the kernel did not answer on netlink within {_TIMEOUT_S:g} s") from None
            offset = 0
            while offset + _HEADER.size <= len(data):
                length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
                if sequence >= first:  # anything older answers a batch that was given up
                    yield kind, flags, sequence, data[offset + _HEADER.size : offset + length]
                offset += (length + 3) & ~3


def add_veth(
    name: str,
    index: int,
    peer_name: str,
    peer_index: int,
    peer_mac: str,
    peer_namespace_fd: int,
    mtu_bytes: int,
) -> Request:
    """A veth pair, its peer created right in another namespace with its address and index."""
    peer = _link(
        [
            ("IFLA_IFNAME", peer_name),
            ("IFLA_ADDRESS", peer_mac),
            ("IFLA_MTU", mtu_bytes),
            ("IFLA_NET_NS_FD", peer_namespace_fd),
        ],
        index=peer_index,
    )
    attributes = [
        ("IFLA_IFNAME", name),
        ("IFLA_MTU", mtu_bytes),
        (
            "IFLA_LINKINFO",
            {
                "attrs": [
                    ("IFLA_INFO_KIND", "veth"),
                    ("IFLA_INFO_DATA", {"attrs": [("VETH_INFO_PEER", peer)]}),
                ]
            },
        ),
    ]
    return Request(
        RTM_NEWLINK, _NLM_CREATE | _NLM_EXCL, _encode(_link(attributes, index=index)), f"add veth {name}"
    )


def add_bridge(name: str, index: int, mtu_bytes: int) -> Request:
    """A bridge without spanning tree, ageing or multicast snooping: it only ever does what it was told."""
    data = [("IFLA_BR_STP_STATE", 0), ("IFLA_BR_FORWARD_DELAY", 0), ("IFLA_BR_MCAST_SNOOPING", 0)]
    attributes = [
        ("IFLA_IFNAME", name),
        ("IFLA_MTU", mtu_bytes),
        (
            "IFLA_LINKINFO",
            {"attrs": [("IFLA_INFO_KIND", "bridge"), ("IFLA_INFO_DATA", {"attrs": data})]},
        ),
    ]
    return Request(
        RTM_NEWLINK, _NLM_CREATE | _NLM_EXCL, _encode(_link(attributes, index=index)), f"add bridge {name}"
    )


def set_up(index: int, up: bool, what: str) -> Request:
    """Takes a device up or down."""
    message = _link([], index=index, flags=_IFF_UP if up else 0, change=_IFF_UP)
    return Request(RTM_SETLINK, 0, _encode(message), f"take {what} {'up' if up else 'down'}")


def enslave(index: int, bridge_index: int, alias: str, mtu_bytes: int) -> Request:
    """Makes a device a port of a bridge, brings it up and leaves a readable name on it."""
    attributes = [("IFLA_MASTER", bridge_index), ("IFLA_IFALIAS", alias), ("IFLA_MTU", mtu_bytes)]
    message = _link(attributes, index=index, flags=_IFF_UP, change=_IFF_UP)
    return Request(RTM_SETLINK, 0, _encode(message), f"connect {alias} to the switch")


def set_port_static(index: int, alias: str) -> Request:
    """A port neither learns addresses nor gets frames for unknown ones: all are in the table already."""
    settings = [("IFLA_BRPORT_LEARNING", 0), ("IFLA_BRPORT_UNICAST_FLOOD", 0)]
    return _set_port(index, settings, f"set up the switch's port to {alias}")


def set_port_forwarding(index: int, forwarding: bool, alias: str) -> Request:
    """Lets a port forward frames, or discard all that come and go, at once."""
    state = _BR_STATE_FORWARDING if forwarding else _BR_STATE_DISABLED
    return _set_port(index, [("IFLA_BRPORT_STATE", state)], f"{'join' if forwarding else 'cut'} link {alias}")


def _set_port(index: int, settings: Sequence[tuple[str, int]], what: str) -> Request:
    # Through the bridge's own family: the same in IFLA_INFO_SLAVE_DATA also announces a change of the
    # device, upon which the bridge enables a disabled port again.
    message = ifinfmsg()
    message["family"], message["index"] = _AF_BRIDGE, index
    message["attrs"] = [("IFLA_PROTINFO", {"attrs": list(settings)}, _NLA_NESTED)]
    return Request(RTM_SETLINK, 0, _encode(message), what)


def configure_device(index: int, mac: str, mtu_bytes: int) -> Request:
    """Address, MTU, no segmentation offload (one packet on the wire is one frame), and up."""
    attributes = [("IFLA_ADDRESS", mac), ("IFLA_MTU", mtu_bytes), ("IFLA_GSO_MAX_SEGS", 1)]
    message = _link(attributes, index=index, flags=_IFF_UP, change=_IFF_UP)
    return Request(RTM_SETLINK, 0, _encode(message), "configure eth0")


def add_address(index: int, address: str, prefix_length: int) -> Request:
    """An IPv4 address on a device."""
    message = ifaddrmsg()
    message["family"], message["prefixlen"], message["index"] = socket.AF_INET, prefix_length, index
    message["attrs"] = [("IFA_LOCAL", address), ("IFA_ADDRESS", address)]
    return Request(RTM_NEWADDR, _NLM_CREATE | _NLM_EXCL, _encode(message), f"add address {address}")


def add_neighbours(index: int, neighbours: Sequence[tuple[str, str]]) -> list[Request]:
    """Permanent ARP entries on a device, from (address, mac) pairs. They differ in ten bytes, and a lab
    of a hundred nodes needs ten thousand of them, so only the first is encoded and the rest are patched."""
    if not neighbours:
        return []
    address, mac = neighbours[0]
    template = _encode(_neighbour(index, [("NDA_DST", address), ("NDA_LLADDR", mac)]))
    address_at = template.index(socket.inet_aton(address), 12)
    mac_at = template.index(_mac_bytes(mac), 12)
    requests = []
    for address, mac in neighbours:
        body = bytearray(template)
        body[address_at : address_at + 4] = socket.inet_aton(address)
        body[mac_at : mac_at + 6] = _mac_bytes(mac)
        requests.append(
            Request(RTM_NEWNEIGH, _NLM_CREATE | _NLM_REPLACE, bytes(body), f"add neighbour {address}")
        )
    return requests


def add_forwarding(index: int, mac: str) -> Request:
    """A permanent entry in the bridge's table: frames to ``mac`` leave through this port."""
    message = _neighbour(index, [("NDA_LLADDR", mac)])
    # NTF_MASTER, NUD_NOARP: static. NUD_PERMANENT would mean an address of the bridge itself.
    message["family"], message["flags"], message["state"] = _AF_BRIDGE, 0x04, 0x40
    return Request(RTM_NEWNEIGH, _NLM_CREATE | _NLM_REPLACE, _encode(message), f"forward to {mac}")


def delete_link(index: int, what: str) -> Request:
    """Removes a device (and a veth's peer with it)."""
    return Request(RTM_DELLINK, 0, _encode(_link([], index=index)), f"remove {what}")


def set_qdiscs(index: int, chain: Sequence[Tbf | Netem], what: str) -> list[Request]:
    """Puts a chain of qdiscs on a device, the root first, each the child of the one before; on a device
    that has the same chain already, changes its parameters and keeps the packets in it."""
    requests = []
    parent = _TC_ROOT
    for number, qdisc in enumerate(chain, start=1):
        body = _TCMSG.pack(0, index, number * _HANDLE_STEP, parent, 0)
        body += attribute(_TCA_KIND, qdisc.kind.encode() + b"\0") + attribute(_TCA_OPTIONS, qdisc.options())
        parent = number * _HANDLE_STEP + 1
        requests.append(
            Request(RTM_NEWQDISC, _NLM_CREATE | _NLM_REPLACE, body, f"shape {what} with {qdisc.kind}")
        )
    return requests


def delete_qdiscs(index: int, what: str) -> Request:
    """Takes a device's qdiscs away."""
    return Request(RTM_DELQDISC, 0, _TCMSG.pack(0, index, 0, _TC_ROOT, 0), f"stop shaping {what}")


def parse_attributes(body: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    """The (type, value) pairs of a chain of attributes."""
    while offset + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, offset)
        if length < 4:
            return
        yield kind & 0x3FFF, body[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def _parse_qdisc_stats(body: bytes) -> QdiscStats:
    attributes = dict(parse_attributes(body, _TCMSG.size))
    stats = dict(parse_attributes(attributes.get(_TCA_STATS2, b""), 0))
    sent_bytes, packets = struct.unpack_from("=QI", stats.get(1, bytes(16)))
    waiting, backlog, drops, _, _ = struct.unpack_from("=5I", stats.get(3, bytes(20)))
    kind = attributes[_TCA_KIND].rstrip(b"\0").decode()
    return QdiscStats(kind, sent_bytes, packets, drops, backlog, waiting)


def _link(
    attributes: Sequence[tuple[str, object]], *, index: int, flags: int = 0, change: int = 0
) -> ifinfmsg:
    message = ifinfmsg()
    message["index"], message["flags"], message["change"] = index, flags, change
    message["attrs"] = list(attributes)
    return message


def _neighbour(index: int, attributes: list[tuple[str, object]]) -> ndmsg:
    message = ndmsg()
    message["family"], message["ifindex"], message["state"] = socket.AF_INET, index, 0x80  # NUD_PERMANENT
    message["attrs"] = attributes
    return message


def _encode(message: ifinfmsg | ifaddrmsg | ndmsg) -> bytes:
    message.encode()
    return bytes(message.data[_HEADER.size :])


def _mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def _extended_message(flags: int, body: bytes) -> str:
    if not flags & _NLM_F_ACK_TLVS:
        return ""
    # NETLINK_CAP_ACK: after the error code comes the request's header alone, then the attributes.
    text = dict(parse_attributes(body, 4 + _HEADER.size)).get(_NLMSGERR_ATTR_MSG, b"")
    return text.rstrip(b"\0").decode(errors="replace")


def _error(code: int, detail: str, what: str) -> LabError:
    reason = f"{os.strerror(code)} ({detail})" if detail else os.strerror(code)
    if code in (errno.EPERM, errno.EACCES):
        return PrivilegeError(
            f"may not {what}: {reason}. Run as root, or with CAP_NET_ADMIN and CAP_SYS_ADMIN."
        )
    if code in (errno.EOPNOTSUPP, errno.ENOENT, errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT):
        return CapabilityError(
            f"this kernel cannot {what}: {reason}. `ecco-emu doctor` shows what is missing."
        )
    if code == errno.ENODEV:
        return LinkVanishedError(
            f"could not {what}: the device was removed by another program. Build the lab anew."
        )
    return LabError(f"could not {what}: {reason}")
