"""Carries out a plan: makes namespaces, devices and qdiscs, changes them, and removes them.

Everything here blocks, and must happen in one thread (``namespaces`` and ``relay.client`` say why), which
``lab`` provides. A build that fails leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netns import requests
from netns.capture import Capture
from netns.counters import CutLedger, Frames, LinkCounters, direction_counters
from netns.descriptors import make_room
from netns.engine import BuiltLab, CaptureOptions, CounterReader, Where
from netns.errors import LabError, LinkVanishedError
from netns.namespaces import Namespace
from netns.netlink import (
    RTM_NEWLINK,
    RTM_NEWQDISC,
    TCMSG,
    DeviceStats,
    NetlinkAnswer,
    NetlinkRequest,
    QdiscStats,
    device_stats,
    qdisc_stats,
)
from netns.planning import (
    BRIDGE,
    BRIDGE_INDEX,
    FIRST_PORT_INDEX,
    NODE_DEVICE,
    NODE_DEVICE_INDEX,
    DirectionPlan,
    LinkPlan,
    Plan,
)
from netns.relay.client import LineCounters, RelayClient
from netns.socket_capture import SocketCapture
from netns.spec import DIRECTIONS, Direction

if TYPE_CHECKING:
    from netns.simulated.ports import DatagramPort

_LOOPBACK_INDEX = 1
_LEAST_BUFFER_BYTES, _MOST_BUFFER_BYTES = 1 << 20, 1 << 28
_NOBODY = "02:ec:ff:ff:ff:ff"
"""A MAC address that no node has: theirs end in their IPv4 address, and none is 255.255.255.255."""


@dataclass(frozen=True, slots=True)
class Shared:
    """A sample of the counters that are read for all links at once: the relay's lines by number, the switch's
    devices by name, and the switch's queues by device index."""

    lines: dict[int, LineCounters]
    ports: dict[str, DeviceStats]
    queues: dict[int, QdiscStats]


class NamespaceLab(BuiltLab):
    """A lab of namespaces, on the kernel or the relay engine. A constructor that fails removes what it has
    made before it raises."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self._nodes: dict[str, Namespace] = {}
        self._drops_before: dict[tuple[str, Direction], int] = dict.fromkeys(self._directions, 0)
        self._cuts = {link.name: CutLedger() for link in plan.links}
        # Encoded beforehand: encoding takes longer than the kernel takes to carry them out.
        self._port_requests = {
            link.name: {
                up: requests.set_port_forwarding(link.port_index, up, link.name) for up in (False, True)
            }
            for link in plan.links
        }
        self._node_counters = requests.get_device(NODE_DEVICE_INDEX, NODE_DEVICE)
        self._node_queue = requests.get_root_qdisc(NODE_DEVICE_INDEX, NODE_DEVICE)
        self._port_counters = {
            link.name: requests.get_device(link.port_index, link.name) for link in plan.links
        }
        self._namespaces: list[Namespace] = []
        self._taps: list[int] = []
        self._captures: list[Capture] = []
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        # Each is forgotten before it is closed, so that a second call closes nothing again.
        relay, self.relay = self.relay, None
        taps, self._taps = self._taps, []
        namespaces, self._namespaces = self._namespaces, []
        captures, self._captures = self._captures, []
        # The stack runs its callbacks from the last to the first, and all of them even if one raises. So
        # captures and the relay end while their devices are still there.
        with contextlib.ExitStack() as last:
            for namespace in namespaces:  # which the kernel takes down some time later
                last.callback(namespace.close)
            for tap in taps:
                last.callback(os.close, tap)
            if relay is not None:
                last.callback(relay.close)
            for capture in captures:
                last.callback(capture.stop)

    def namespace_path(self, name: str) -> str:
        return self._nodes[name].path

    def udp_socket(self, name: str, port: int, buffer_bytes: int | None) -> socket.socket:
        size = buffer_bytes or self._buffer_bytes(name)
        return self._nodes[name].udp_socket(self._links[name].address, port, size)

    def _buffer_bytes(self, name: str) -> int:
        # Eight times the queue, because the kernel charges a small packet to its socket with several times
        # its size.
        limit = self.rate_limit(name, "egress")
        return max(_LEAST_BUFFER_BYTES, min(8 * limit.limit_bytes if limit else 0, _MOST_BUFFER_BYTES))

    def datagram_port(self, name: str, port: int, checksums: bool) -> DatagramPort:
        raise LabError(f"the {self.plan.engine} engine has sockets: use udp_socket")

    def capture(self, name: str, at: Where, options: CaptureOptions) -> Capture:
        namespace, device = (
            (self._nodes[name], NODE_DEVICE) if at == "node" else (self._switch, self._links[name].port)
        )
        made = SocketCapture(namespace, device, options)
        self._captures.append(made)
        return made

    def _set_reach(self, pairs: Sequence[tuple[str, str]], reach: bool) -> None:
        # The sender gets a MAC address for the target that the switch does not know. The switch floods no
        # unknown addresses and so drops the frame. A filter in the sender's namespace would report an error
        # to the sender.
        by_source: dict[str, list[tuple[str, str]]] = {}
        for source, target in pairs:
            link = self._links[target]
            by_source.setdefault(source, []).append((link.address, link.mac if reach else _NOBODY))
        for source, neighbours in by_source.items():
            self._nodes[source].route.execute(requests.add_neighbours(NODE_DEVICE_INDEX, neighbours))

    def _cut(self, names: Sequence[str]) -> None:
        # All with one message. The port stays up: taking it down would take the carrier from the node's
        # device; the kernel then empties the queue of that device, and puts it back only some time after the
        # port is up again.
        links = [self._links[name] for name in names]
        # The order matters: first nothing more enters a queue, then the queues are emptied, and the ports'
        # counters are read when nothing passes any more.
        wanted = [self._port_requests[link.name][False] for link in links]
        for link in links:
            wanted += self._flush_requests(link)
        answers = self._switch.route.execute([*wanted, *(self._port_counters[link.name] for link in links)])
        relayed = [_line(link, which) for link in links if link.wire == "relay" for which in DIRECTIONS]
        if self.relay is not None and relayed:
            self.relay.clear(relayed)
        self._account_for_flushed(answers)
        for name, port in _devices(links, answers):
            self._cuts[name].cut(port)

    def _join(self, names: Sequence[str]) -> None:
        # The counters are read in the same message, so that hardly a frame comes between the two and is
        # counted as discarded.
        links = [self._links[name] for name in names]
        answers = self._switch.route.execute(
            [self._port_requests[link.name][True] for link in links]
            + [self._port_counters[link.name] for link in links]
        )
        for name, port in _devices(links, answers):
            self._cuts[name].join(port)

    def _flush_requests(self, link: LinkPlan) -> list[NetlinkRequest]:
        """Requests that empty the queue towards a node, by making it anew. The first asks for the queue's
        counters, which are lost with it."""
        chain, what = self._directions[link.name, "ingress"].qdiscs, f"{link.name} ingress"
        if not chain:
            return []
        return [
            requests.get_root_qdisc(link.port_index, what),
            requests.delete_qdiscs(link.port_index, what),
            *requests.add_qdiscs(link.port_index, chain, what),
        ]

    def _account_for_flushed(self, answers: Sequence[NetlinkAnswer]) -> None:
        """Keeps the drops that the emptied queues had counted. The packets in them count as dropped too."""
        for kind, body in answers:
            if kind == RTM_NEWQDISC:
                _, index, *_ = TCMSG.unpack_from(body)
                found = qdisc_stats(body)
                link = self.plan.links[index - FIRST_PORT_INDEX]
                self._drops_before[link.name, "ingress"] += found.drops + found.backlog_packets

    def _apply(self, link: LinkPlan, which: Direction, old: DirectionPlan, new: DirectionPlan) -> None:
        namespace, index = self._sender(link, which)
        if old.qdiscs != new.qdiscs:
            what = f"{link.name} {which}"
            namespace.route.execute(requests.change_qdiscs(index, new.qdiscs, len(old.qdiscs), what))
        if new.line is not None and new != old and self.relay is not None:
            self.relay.set(_line(link, which), new.line, new.line_limit_bytes)

    def counter_reader(self) -> CounterReader:
        # All ports and lines in one call each; the nodes' own take some 0.2 ms for each link.
        route = self._switch.route
        lines = self.relay.counters() if self.relay is not None else {}
        shared = Shared(lines, route.device_stats(), route.qdisc_stats())
        return lambda names: {name: self._counters_of(self._links[name], shared) for name in names}

    def check(self) -> None:
        if self.relay is not None:
            self.relay.counters()  # a dead one does not answer
        # A veth goes with its peer, so the ports tell of the nodes' devices too.
        ports = self._switch.route.device_stats()
        for link in self.plan.links:
            _device(ports, link.port, link.name)

    def _counters_of(self, link: LinkPlan, shared: Shared) -> LinkCounters:
        name = link.name
        port = _device(shared.ports, link.port, name)
        wanted = [self._node_counters]
        # A device without qdiscs of the lab has the kernel's default one, whose counters are not asked for.
        if self._directions[name, "egress"].qdiscs:
            wanted.append(self._node_queue)
        node, node_queue = None, None
        for kind, body in self._nodes[name].route.execute(wanted):
            if kind == RTM_NEWLINK:
                node = device_stats(body)
            elif kind == RTM_NEWQDISC:
                node_queue = qdisc_stats(body)
        assert node is not None, "the kernel answers or fails"
        egress = direction_counters(
            node,
            port,
            node_queue,
            shared.lines.get(_line(link, "egress")),
            drops_before=self._drops_before[name, "egress"],
            discarded=self._cuts[name].discarded(port),
        )
        ingress = direction_counters(
            port,
            node,
            shared.queues.get(link.port_index),
            shared.lines.get(_line(link, "ingress")),
            drops_before=self._drops_before[name, "ingress"],
            # A cut port sends nothing towards the node, so the node's device receives nothing in vain.
            discarded=Frames(),
        )
        return LinkCounters(egress, ingress)

    def _build(self) -> None:
        make_room(self.plan.descriptors)
        # First, because the process starts while the rest is being made.
        if self.plan.needs_relay:
            self.relay = RelayClient()
        self._switch = self._new_namespace("switch")
        # All namespaces before the switch's devices: a veth's peer is created in its node's namespace.
        taps = {link.name: self._make_node(link) for link in self.plan.links}
        self._switch.route.execute(list(self._switch_requests()))
        # One list for all nodes, encoded once. A node's entry for itself does no harm.
        neighbours = [(link.address, link.mac) for link in self.plan.links]
        known = requests.add_neighbours(NODE_DEVICE_INDEX, neighbours)
        for link in self.plan.links:
            self._nodes[link.name].route.execute([*self._node_requests(link), *known])
        self._start_relay(taps)

    def _new_namespace(self, name: str) -> Namespace:
        # Noted at once, here and for the TAP devices: close() removes what is in the list when a later step
        # fails.
        made = Namespace(name)
        self._namespaces.append(made)
        return made

    def _make_node(self, link: LinkPlan) -> tuple[int, int] | None:
        node = self._nodes[link.name] = self._new_namespace(link.name)
        if link.wire != "relay":
            return None
        descriptors = []
        for namespace, device, index in (
            (node, NODE_DEVICE, NODE_DEVICE_INDEX),
            (self._switch, link.port, link.port_index),
        ):
            fd = namespace.tap(device, index)
            self._taps.append(fd)
            descriptors.append(fd)
        return descriptors[0], descriptors[1]

    def _switch_requests(self) -> Iterator[NetlinkRequest]:
        mtu_bytes = self.plan.mtu_bytes
        yield requests.add_bridge(BRIDGE, BRIDGE_INDEX, mtu_bytes)
        yield from requests.no_ipv6(BRIDGE_INDEX, BRIDGE, mtu_bytes)
        yield requests.set_up(BRIDGE_INDEX, True, BRIDGE)
        for link in self.plan.links:
            if link.wire != "relay":
                yield requests.add_veth(
                    link.port,
                    link.port_index,
                    NODE_DEVICE,
                    NODE_DEVICE_INDEX,
                    link.mac,
                    self._nodes[link.name].fd,
                    mtu_bytes,
                )
            yield from requests.no_ipv6(link.port_index, link.port, mtu_bytes)
            yield requests.enslave(link.port_index, BRIDGE_INDEX, link.name, mtu_bytes)
            yield requests.set_port_static(link.port_index, link.name)
            yield requests.add_forwarding(link.port_index, link.mac)
            if link.ingress.qdiscs:
                yield from requests.add_qdiscs(link.port_index, link.ingress.qdiscs, f"{link.name} ingress")

    def _node_requests(self, link: LinkPlan) -> Iterator[NetlinkRequest]:
        yield requests.set_up(_LOOPBACK_INDEX, True, "loopback")
        yield from requests.no_ipv6(NODE_DEVICE_INDEX, NODE_DEVICE, self.plan.mtu_bytes)
        yield requests.configure_device(NODE_DEVICE_INDEX, link.mac, self.plan.mtu_bytes)
        yield requests.add_address(NODE_DEVICE_INDEX, link.address, link.prefix_length)
        if link.egress.qdiscs:
            yield from requests.add_qdiscs(NODE_DEVICE_INDEX, link.egress.qdiscs, f"{link.name} egress")

    def _start_relay(self, taps: dict[str, tuple[int, int] | None]) -> None:
        if self.relay is None:
            return
        self.relay.wait_ready()
        for name, pair in taps.items():
            if pair is None:
                continue
            link = self._links[name]
            self.relay.attach(
                link.index, node_tap=pair[0], port_tap=pair[1], seeds=(link.egress.seed, link.ingress.seed)
            )
            for which in DIRECTIONS:
                planned = link.direction(which)
                # A line starts without impairments, so one that is to have none need not be told.
                if planned.line:
                    self.relay.set(_line(link, which), planned.line, planned.line_limit_bytes)

    def _sender(self, link: LinkPlan, which: Direction) -> tuple[Namespace, int]:
        if which == "egress":
            return self._nodes[link.name], NODE_DEVICE_INDEX
        return self._switch, link.port_index


def _line(link: LinkPlan, which: Direction) -> int:
    # The relay numbers its lines like this when a link is attached.
    return 2 * link.index + DIRECTIONS.index(which)


def _devices(
    links: Sequence[LinkPlan], answers: Sequence[NetlinkAnswer]
) -> Iterator[tuple[str, DeviceStats]]:
    """The names of the links with the counters of their ports, which were asked for in the links' order."""
    found = (device_stats(body) for kind, body in answers if kind == RTM_NEWLINK)
    return zip((link.name for link in links), found, strict=True)


def _device(stats: dict[str, DeviceStats], device: str, name: str) -> DeviceStats:
    try:
        return stats[device]
    except KeyError:
        raise LinkVanishedError(
            f"{device} of link {name} is gone: another program removed it, or the relay was killed. "
            "Build the lab anew."
        ) from None
