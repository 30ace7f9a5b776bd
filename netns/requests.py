"""The rtnetlink requests that a lab needs, as bytes. Each function makes requests and sends nothing.

pyroute2 encodes links, addresses and neighbours. The classes in ``qdiscs`` encode qdiscs.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from pathlib import Path

from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg

from netns.netlink import (
    HEADER,
    RTM_GETLINK,
    RTM_GETQDISC,
    RTM_NEWLINK,
    RTM_NEWQDISC,
    TC_ROOT,
    TCA_KIND,
    TCMSG,
    NetlinkRequest,
)
from netns.qdiscs import Netem, Qdisc, RateLimit, attribute

RTM_SETLINK, RTM_NEWADDR, RTM_NEWNEIGH = 19, 20, 28
RTM_DELQDISC, RTM_NEWTCLASS = 37, 40

_NLM_ECHO = 0x8
_NLM_REPLACE, _NLM_EXCL, _NLM_CREATE = 0x100, 0x200, 0x400
_HANDLE_STEP, _QUEUE_HANDLE_STEP = 0x10000, 0x100000
"""A handle is 16 bits of number and 16 bits of class. The qdiscs of a chain are 1:, 2: and so on, and the
queue below an htb has the number of the htb and 16 more, so that the two never meet."""
_TCA_OPTIONS = 2
_IFF_UP = 1
_AF_BRIDGE, _NLA_NESTED = 7, 0x8000
_IPV6 = Path("/proc/net/if_inet6")
_IPV6_LEAST_MTU_BYTES = 1280
"""RFC 8200, section 5."""
_IFLA_AF_SPEC, _IFLA_INET6_ADDR_GEN_MODE, _IN6_ADDR_GEN_MODE_NONE = 26, 8, 1
_BR_STATE_DISABLED, _BR_STATE_FORWARDING = 0, 3


def add_veth(
    name: str,
    index: int,
    peer_name: str,
    peer_index: int,
    peer_mac: str,
    peer_namespace_fd: int,
    mtu_bytes: int,
) -> NetlinkRequest:
    """A veth pair. Its peer is created directly in another namespace, with its own address and index, which
    saves a request to move it there."""
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
    return NetlinkRequest(
        RTM_NEWLINK, _NLM_CREATE | _NLM_EXCL, _encode(_link(attributes, index=index)), f"add veth {name}"
    )


def add_bridge(name: str, index: int, mtu_bytes: int) -> NetlinkRequest:
    """A bridge without spanning tree and multicast snooping: it sends no packets of its own, and forwards by
    the table it was given."""
    data = [("IFLA_BR_STP_STATE", 0), ("IFLA_BR_FORWARD_DELAY", 0), ("IFLA_BR_MCAST_SNOOPING", 0)]
    attributes = [
        ("IFLA_IFNAME", name),
        ("IFLA_MTU", mtu_bytes),
        (
            "IFLA_LINKINFO",
            {"attrs": [("IFLA_INFO_KIND", "bridge"), ("IFLA_INFO_DATA", {"attrs": data})]},
        ),
    ]
    return NetlinkRequest(
        RTM_NEWLINK, _NLM_CREATE | _NLM_EXCL, _encode(_link(attributes, index=index)), f"add bridge {name}"
    )


def no_ipv6(index: int, what: str, mtu_bytes: int) -> list[NetlinkRequest]:
    """Makes a device take no IPv6 address, and so send nothing of IPv6's by itself (router solicitations and
    more, which would be counted as traffic). It must come before the device is up.

    The setting disable_ipv6 would do the same, but in most containers /proc/sys is read-only. A kernel
    without IPv6 would refuse the request, and needs none; so would a device whose MTU is too small for IPv6.
    """
    if not _IPV6.exists() or mtu_bytes < _IPV6_LEAST_MTU_BYTES:
        return []
    mode = attribute(_IFLA_INET6_ADDR_GEN_MODE, bytes([_IN6_ADDR_GEN_MODE_NONE]))
    families = attribute(_NLA_NESTED | socket.AF_INET6, mode)
    body = struct.pack("=BxHiII", 0, 0, index, 0, 0) + attribute(_NLA_NESTED | _IFLA_AF_SPEC, families)
    return [NetlinkRequest(RTM_SETLINK, 0, body, f"turn IPv6 off on {what}")]


def set_up(index: int, up: bool, what: str) -> NetlinkRequest:
    """Takes a device up or down."""
    message = _link([], index=index, flags=_IFF_UP if up else 0, change=_IFF_UP)
    return NetlinkRequest(RTM_SETLINK, 0, _encode(message), f"take {what} {'up' if up else 'down'}")


def enslave(index: int, bridge_index: int, alias: str, mtu_bytes: int) -> NetlinkRequest:
    """Makes a device a port of a bridge, brings it up and gives it an alias that a person can read."""
    # The MTU again, because a TAP device is made with 1500 bytes.
    attributes = [("IFLA_MASTER", bridge_index), ("IFLA_IFALIAS", alias), ("IFLA_MTU", mtu_bytes)]
    message = _link(attributes, index=index, flags=_IFF_UP, change=_IFF_UP)
    return NetlinkRequest(RTM_SETLINK, 0, _encode(message), f"connect {alias} to the switch")


def set_port_static(index: int, alias: str) -> NetlinkRequest:
    """Makes a port learn no addresses, and send no frames to addresses that the bridge does not know. The lab
    puts all addresses into the bridge's table, and a blocked pair of nodes relies on unknown ones being
    dropped."""
    settings = [("IFLA_BRPORT_LEARNING", 0), ("IFLA_BRPORT_UNICAST_FLOOD", 0)]
    return _set_port(index, settings, f"set up the switch's port to {alias}")


def set_port_forwarding(index: int, forwarding: bool, alias: str) -> NetlinkRequest:
    """Lets a port forward frames, or makes it discard every frame in both directions, at once."""
    state = _BR_STATE_FORWARDING if forwarding else _BR_STATE_DISABLED
    return _set_port(index, [("IFLA_BRPORT_STATE", state)], f"{'join' if forwarding else 'cut'} link {alias}")


def get_device(index: int, what: str) -> NetlinkRequest:
    """Asks for a device, its counters included."""
    return NetlinkRequest(
        RTM_GETLINK, 0, struct.pack("=BxHiII", 0, 0, index, 0, 0), f"read counters of {what}"
    )


def get_root_qdisc(index: int, what: str) -> NetlinkRequest:
    """Asks for a device's root qdisc, its counters included."""
    # Before Linux 6.7 the kernel answers such a request only through the notice that it sends to listeners,
    # and the asking socket gets a copy of that only with NLM_F_ECHO.
    return NetlinkRequest(
        RTM_GETQDISC, _NLM_ECHO, TCMSG.pack(0, index, 0, TC_ROOT, 0), f"read the queue of {what}"
    )


def _set_port(index: int, settings: Sequence[tuple[str, int]], what: str) -> NetlinkRequest:
    # Sent through the bridge's own family (AF_BRIDGE). The same settings in IFLA_INFO_SLAVE_DATA would also
    # announce a change of the device, and the bridge then enables a port again that was disabled.
    message = ifinfmsg()
    message["family"], message["index"] = _AF_BRIDGE, index
    message["attrs"] = [("IFLA_PROTINFO", {"attrs": list(settings)}, _NLA_NESTED)]
    return NetlinkRequest(RTM_SETLINK, 0, _encode(message), what)


def configure_device(index: int, mac: str, mtu_bytes: int) -> NetlinkRequest:
    """Gives a node's device its address and MTU and brings it up."""
    # At most one segment: the kernel would otherwise send several packets as one large one, which a queue
    # counts as one, and which a loss would lose as one.
    attributes = [("IFLA_ADDRESS", mac), ("IFLA_MTU", mtu_bytes), ("IFLA_GSO_MAX_SEGS", 1)]
    message = _link(attributes, index=index, flags=_IFF_UP, change=_IFF_UP)
    return NetlinkRequest(RTM_SETLINK, 0, _encode(message), "configure eth0")


def add_address(index: int, address: str, prefix_length: int) -> NetlinkRequest:
    """An IPv4 address on a device."""
    message = ifaddrmsg()
    message["family"], message["prefixlen"], message["index"] = socket.AF_INET, prefix_length, index
    message["attrs"] = [("IFA_LOCAL", address), ("IFA_ADDRESS", address)]
    return NetlinkRequest(RTM_NEWADDR, _NLM_CREATE | _NLM_EXCL, _encode(message), f"add address {address}")


def add_neighbours(index: int, neighbours: Sequence[tuple[str, str]]) -> list[NetlinkRequest]:
    """Permanent ARP entries on a device, from (address, mac) pairs: no packet ever waits for an ARP request.

    A lab of a hundred nodes needs ten thousand of them, and they differ in ten bytes. So only the first is
    encoded, and the others are copies of it with these bytes replaced.
    """
    if not neighbours:
        return []
    address, mac = neighbours[0]
    template = _encode(_neighbour(index, [("NDA_DST", address), ("NDA_LLADDR", mac)]))
    # Looked for behind the 12 bytes of struct ndmsg. The mac contains the bytes of the address as well, but
    # comes after it.
    address_at = template.index(socket.inet_aton(address), 12)
    mac_at = template.index(_mac_bytes(mac), 12)
    requests = []
    for address, mac in neighbours:
        body = bytearray(template)
        body[address_at : address_at + 4] = socket.inet_aton(address)
        body[mac_at : mac_at + 6] = _mac_bytes(mac)
        requests.append(
            NetlinkRequest(RTM_NEWNEIGH, _NLM_CREATE | _NLM_REPLACE, bytes(body), f"add neighbour {address}")
        )
    return requests


def add_forwarding(index: int, mac: str) -> NetlinkRequest:
    """A permanent entry in the bridge's table: frames to ``mac`` leave through this port."""
    message = _neighbour(index, [("NDA_LLADDR", mac)])
    # NTF_MASTER: into the bridge's table, not the port's own. NUD_NOARP: an entry that never ages;
    # NUD_PERMANENT would mean an address of the bridge itself.
    message["family"], message["flags"], message["state"] = _AF_BRIDGE, 0x04, 0x40
    return NetlinkRequest(RTM_NEWNEIGH, _NLM_CREATE | _NLM_REPLACE, _encode(message), f"forward to {mac}")


def add_qdiscs(index: int, chain: Sequence[Qdisc], what: str) -> list[NetlinkRequest]:
    """Puts a chain of qdiscs on a device. The first is the root, and each other one is the child of the one
    before it."""
    return _shape(index, chain, what, existing=0)


def change_qdiscs(index: int, chain: Sequence[Qdisc], existing: int, what: str) -> list[NetlinkRequest]:
    """Changes the first ``existing`` qdiscs of a chain in place, which keeps the packets in them, and adds
    the others below them."""
    return _shape(index, chain, what, existing=existing)


def _shape(index: int, chain: Sequence[Qdisc], what: str, existing: int) -> list[NetlinkRequest]:
    requests = []
    parent = TC_ROOT
    for number, qdisc in enumerate(chain, start=1):
        handle = number * _HANDLE_STEP
        text = f"shape {what} with {qdisc.kind}"

        def ask(kind: int, parent: int, own: int, name: str, options: bytes, text: str = text) -> None:
            body = TCMSG.pack(0, index, own, parent, 0)
            body += attribute(TCA_KIND, name.encode() + b"\0") + attribute(_TCA_OPTIONS, options)
            # Replacing a qdisc by one of the same kind and handle changes it in place.
            requests.append(NetlinkRequest(kind, _NLM_CREATE | _NLM_REPLACE, body, text))

        # The kernel cannot change an htb itself, and need not: the rate is in its class.
        if isinstance(qdisc, Netem) or number > existing:
            ask(RTM_NEWQDISC, parent, handle, qdisc.kind, qdisc.options())
        if isinstance(qdisc, RateLimit):
            ask(RTM_NEWTCLASS, handle, handle + qdisc.minor, qdisc.kind, qdisc.class_options())
            ask(
                RTM_NEWQDISC,
                handle + qdisc.minor,
                handle + _QUEUE_HANDLE_STEP,
                qdisc.queue_kind,
                qdisc.queue_options(),
            )
        # The next one hangs in class 1, the only one, of netem as of htb.
        parent = handle + 1
    return requests


def delete_qdiscs(index: int, what: str) -> NetlinkRequest:
    """Takes a device's qdiscs away, with the packets in them."""
    return NetlinkRequest(RTM_DELQDISC, 0, TCMSG.pack(0, index, 0, TC_ROOT, 0), f"stop shaping {what}")


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
    # Without the header, which RouteSocket writes when it knows the sequence number.
    message.encode()
    return bytes(message.data[HEADER.size :])


def _mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))
