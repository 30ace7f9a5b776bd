"""Carries out a plan: makes namespaces, devices and qdiscs, changes them, and removes them.

Everything here blocks, and must happen in one thread (``namespaces`` and ``relay.client`` say why), which
``lab`` provides. A build that fails leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from netns import requests
from netns.breaking import BY_HAND, Causes, Layers
from netns.capture import Capture, Where
from netns.counters import CutLedger, Frames, LinkCounters, direction_counters
from netns.descriptors import make_room
from netns.errors import LinkVanishedError
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
    changed_direction,
)
from netns.qdiscs import Gate, RateLimit
from netns.relay.client import LineCounters, RelayClient
from netns.spec import DIRECTIONS, Direction, Shape

_LOOPBACK_INDEX = 1
_NOBODY = "02:ec:ff:ff:ff:ff"
"""A MAC address that no node has: theirs end in their IPv4 address, and none is 255.255.255.255."""


@dataclass(frozen=True, slots=True)
class Shared:
    """A sample of the counters that are read for all links at once: the relay's lines by number, the switch's
    devices by name, and the switch's queues by device index."""

    lines: dict[int, LineCounters]
    ports: dict[str, DeviceStats]
    queues: dict[int, QdiscStats]


class BuiltLab:
    """A lab that is up. A constructor that fails removes what it has made before it raises."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.relay: RelayClient | None = None
        self._nodes: dict[str, Namespace] = {}
        self._links = {link.name: link for link in plan.links}
        self._directions = {
            (link.name, which): link.direction(which) for link in plan.links for which in DIRECTIONS
        }
        self._drops_before: dict[tuple[str, Direction], int] = dict.fromkeys(self._directions, 0)
        # The shapes that the caller has set. Those in _directions include the rate limits of faults.
        self._base = {key: direction.shape for key, direction in self._directions.items()}
        self._limits: dict[tuple[str, Direction], Layers] = {key: Layers({}) for key in self._directions}
        self._gates: dict[tuple[str, Direction], Gate] = dict.fromkeys(self._directions, "open")
        self._down: Causes[str] = Causes()
        self._blocked: Causes[tuple[str, str]] = Causes()
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
        """Removes everything. The kernel takes down the namespaces some time later."""
        # Each is forgotten before it is closed, so that a second call closes nothing again.
        relay, self.relay = self.relay, None
        taps, self._taps = self._taps, []
        namespaces, self._namespaces = self._namespaces, []
        captures, self._captures = self._captures, []
        # The stack runs its callbacks from the last to the first, and all of them even if one raises. So
        # captures and the relay end while their devices are still there.
        with contextlib.ExitStack() as last:
            for namespace in namespaces:
                last.callback(namespace.close)
            for tap in taps:
                last.callback(os.close, tap)
            if relay is not None:
                last.callback(relay.close)
            for capture in captures:
                last.callback(capture.stop)

    def node(self, name: str) -> Namespace:
        """The namespace of a node."""
        return self._nodes[name]

    def capture(self, name: str, at: Where, begin: Callable[[Namespace, str], Capture]) -> Capture:
        """Begins to capture the frames at a node's device, or at its port of the switch.

        ``begin`` makes the capture in a namespace, at a device of it.
        """
        namespace, device = (
            (self._nodes[name], NODE_DEVICE) if at == "node" else (self._switch, self._links[name].port)
        )
        made = begin(namespace, device)
        self._captures.append(made)
        return made

    def set_up(self, name: str, up: bool) -> None:
        """Cuts a link, or joins it again, no matter which causes hold it down."""
        if not up:
            self.hold_down((name,), BY_HAND)
        elif self._down.free(name):
            self._join([name])

    def hold_down(self, names: Sequence[str], cause: object) -> None:
        """Cuts links on account of ``cause``. A link stays cut until all of its causes are gone."""
        self._cut(self._down.hold(names, cause))

    def release(self, names: Sequence[str], cause: object) -> None:
        """Takes a cause away, and joins the links that no other cause holds down."""
        self._join(self._down.release(names, cause))

    def block(self, pairs: Sequence[tuple[str, str]], cause: object) -> None:
        """Makes all frames from the first node of each pair to the second vanish at the switch."""
        # The sender gets a MAC address for the target that the switch does not know. The switch floods no
        # unknown addresses and so drops the frame. A filter in the sender's namespace would report an error
        # to the sender.
        self._redirect(self._blocked.hold(pairs, cause), lambda target: _NOBODY)

    def unblock(self, pairs: Sequence[tuple[str, str]], cause: object) -> None:
        """Takes a cause away, and unblocks the pairs that no other cause blocks."""
        self._redirect(self._blocked.release(pairs, cause), lambda target: self._links[target].mac)

    def _redirect(self, pairs: Sequence[tuple[str, str]], mac: Callable[[str], str]) -> None:
        by_source: dict[str, list[tuple[str, str]]] = {}
        for source, target in pairs:
            by_source.setdefault(source, []).append((self._links[target].address, mac(target)))
        for source, neighbours in by_source.items():
            self._nodes[source].route.execute(requests.add_neighbours(NODE_DEVICE_INDEX, neighbours))

    def _cut(self, names: Sequence[str]) -> None:
        """Cuts links, all with one message. A port that is cut forwards nothing, and the packets on their way
        to the node are lost.

        The port stays up. Taking it down would take the carrier from the node's device; the kernel then
        empties the queue of that device, and puts it back only some time after the port is up again.
        """
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
        """Joins links that were cut. The counters are read in the same message, so that hardly a frame comes
        between the two and is counted as discarded."""
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

    def set_shapes(self, name: str, shapes: dict[Direction, Shape], *, gate: Gate | None = None) -> None:
        """Changes directions of a link. Packets that are queued or under way stay. Without ``gate`` each
        direction's gate stays as it is. Only a direction with a rate can be held.

        Raises: ``CapabilityError`` if the wire cannot do it; then nothing was changed.
        """
        link = self._links[name]
        # All are planned before the first is applied, so that a refusal leaves both directions as they were.
        planned = {which: self.check_shape(name, which, shape) for which, shape in shapes.items()}
        for which, new in planned.items():
            if gate is not None:
                self._gates[name, which] = gate
            self._apply(link, which, new.with_gate(self._gates[name, which]))
            self._base[name, which] = shapes[which]

    def check_shape(self, name: str, which: Direction, shape: Shape) -> DirectionPlan:
        """The plan for setting a shape. Raises: ``CapabilityError`` if the wire cannot do it."""
        return changed_direction(
            self._directions[name, which],
            replace(shape, rate_bps=self._limits[name, which].effective(shape.rate_bps)),
            wire=self._links[name].wire,
            mtu_bytes=self.plan.mtu_bytes,
        )

    def limit_rate(self, name: str, which: Direction, cause: object, rate_bps: float | None) -> None:
        """Limits the rate of a direction on account of ``cause``. None takes the limit of that cause away."""
        limits = self._limits[name, which].limits
        if rate_bps is None:
            limits.pop(cause, None)
        else:
            limits[cause] = rate_bps
        # check_shape applies the limits to the direction's own shape.
        self.set_shapes(name, {which: self._base[name, which]})

    def _apply(self, link: LinkPlan, which: Direction, new: DirectionPlan) -> None:
        old = self._directions[link.name, which]
        namespace, index = self._sender(link, which)
        if old.qdiscs != new.qdiscs:
            what = f"{link.name} {which}"
            namespace.route.execute(requests.change_qdiscs(index, new.qdiscs, len(old.qdiscs), what))
        if new.relayed is not None and new != old and self.relay is not None:
            self.relay.set(_line(link, which), new.relayed, new.relay_limit_bytes)
        self._directions[link.name, which] = new

    def rate_limit(self, name: str, which: Direction) -> RateLimit | None:
        """The qdisc that limits the rate of a direction now."""
        return self._directions[name, which].rate_limit

    def shape(self, name: str, which: Direction) -> Shape:
        """The shape that a direction has now, with the rate limits of faults."""
        return self._directions[name, which].shape

    def own_shape(self, name: str, which: Direction) -> Shape:
        """The shape that a direction would have without faults."""
        return self._base[name, which]

    def sample_shared(self) -> Shared:
        """Reads the counters that ``counters`` needs for every link: all ports and lines in one call each."""
        route = self._switch.route
        lines = self.relay.counters() if self.relay is not None else {}
        return Shared(lines, route.device_stats(), route.qdisc_stats())

    def check(self) -> None:
        """Raises ``RelayDiedError`` or ``LinkVanishedError`` if the lab is no longer whole."""
        if self.relay is not None:
            self.relay.counters()  # a dead one does not answer
        # A veth goes with its peer, so the ports tell of the nodes' devices too.
        ports = self._switch.route.device_stats()
        for link in self.plan.links:
            _device(ports, link.port, link.name)

    def counters(self, names: Sequence[str], shared: Shared) -> dict[str, LinkCounters]:
        """The counters of some links. Takes some 0.2 ms for each."""
        return {name: self._counters_of(self._links[name], shared) for name in names}

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
                if planned.relayed:
                    self.relay.set(_line(link, which), planned.relayed, planned.relay_limit_bytes)

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
