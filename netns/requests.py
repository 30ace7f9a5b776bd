"""The rtnetlink requests that a lab needs, as bytes.

pyroute2 encodes links, addresses and neighbours; qdiscs encode themselves (see ``qdiscs``).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence

from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg

from netns.netlink import HEADER, RTM_GETLINK, RTM_GETQDISC, TC_ROOT, TCA_KIND, TCMSG, Request
from netns.qdiscs import Netem, Qdisc, RateLimit, attribute

RTM_NEWLINK, RTM_DELLINK, RTM_SETLINK = 16, 17, 19
RTM_NEWADDR, RTM_NEWNEIGH = 20, 28
RTM_NEWQDISC, RTM_DELQDISC, RTM_NEWTCLASS = 36, 37, 40

_NLM_ECHO = 0x8
_NLM_REPLACE, _NLM_EXCL, _NLM_CREATE = 0x100, 0x200, 0x400
_HANDLE_STEP, _QUEUE_HANDLE_STEP = 0x10000, 0x100000
_TCA_OPTIONS = 2
_IFF_UP = 1
_AF_BRIDGE, _NLA_NESTED = 7, 0x8000
_BR_STATE_DISABLED, _BR_STATE_FORWARDING = 0, 3


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


def get_device(index: int, what: str) -> Request:
    """Asks for a device, its counters included."""
    return Request(RTM_GETLINK, 0, struct.pack("=BxHiII", 0, 0, index, 0, 0), f"read counters of {what}")


def get_root_qdisc(index: int, what: str) -> Request:
    """Asks for a device's root qdisc, its counters included."""
    # Before Linux 6.7 who asks for one gets it only as an echo of the notice to those who listen.
    return Request(RTM_GETQDISC, _NLM_ECHO, TCMSG.pack(0, index, 0, TC_ROOT, 0), f"read the queue of {what}")


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


def add_qdiscs(index: int, chain: Sequence[Qdisc], what: str) -> list[Request]:
    """Puts a chain of qdiscs on a device, the root first, each the child of the one before; on a device
    that has the first of them already, adds the rest below it."""
    return _shape(index, chain, what, existing=0)


def change_qdiscs(index: int, chain: Sequence[Qdisc], existing: int, what: str) -> list[Request]:
    """Changes the first ``existing`` qdiscs of a chain in place, which keeps the packets in them, and adds
    the rest."""
    return _shape(index, chain, what, existing=existing)


def _shape(index: int, chain: Sequence[Qdisc], what: str, existing: int) -> list[Request]:
    requests = []
    parent = TC_ROOT
    for number, qdisc in enumerate(chain, start=1):
        handle = number * _HANDLE_STEP
        text = f"shape {what} with {qdisc.kind}"

        def ask(kind: int, parent: int, own: int, name: str, options: bytes, text: str = text) -> None:
            body = TCMSG.pack(0, index, own, parent, 0)
            body += attribute(TCA_KIND, name.encode() + b"\0") + attribute(_TCA_OPTIONS, options)
            requests.append(Request(kind, _NLM_CREATE | _NLM_REPLACE, body, text))

        if isinstance(qdisc, Netem) or number > existing:
            ask(RTM_NEWQDISC, parent, handle, qdisc.kind, qdisc.options())
        if isinstance(qdisc, RateLimit):
            ask(RTM_NEWTCLASS, handle, handle + qdisc.minor, qdisc.kind, qdisc.class_options())
            ask(
                RTM_NEWQDISC,
                handle + qdisc.minor,
                handle + _QUEUE_HANDLE_STEP,
                "bfifo",
                qdisc.queue_options(),
            )
        parent = handle + 1
    return requests


def delete_qdiscs(index: int, what: str) -> Request:
    """Takes a device's qdiscs away."""
    return Request(RTM_DELQDISC, 0, TCMSG.pack(0, index, 0, TC_ROOT, 0), f"stop shaping {what}")


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
    return bytes(message.data[HEADER.size :])


def _mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))
