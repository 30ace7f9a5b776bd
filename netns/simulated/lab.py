"""A simulated lab that is up: the changes of its links, its captures and its counters."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from typing import NoReturn

from netns.capture import Capture
from netns.counters import LinkCounters
from netns.engine import BuiltLab, CaptureOptions, CounterReader, Where
from netns.errors import LabError
from netns.planning import NODE_DEVICE, DirectionPlan, LinkPlan, Plan
from netns.simulated.capture import SimulatedCapture
from netns.simulated.nodes import SimulatedNode
from netns.simulated.ports import DatagramPort
from netns.simulated.switch import Switch
from netns.spec import Direction


class SimulatedLab(BuiltLab):
    """The nodes of a lab and their switch. It must be used on the event loop's thread."""

    def __init__(self, plan: Plan, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(plan)
        self._now = loop.time
        self._nodes = {link.name: SimulatedNode(link) for link in plan.links}
        self._switch = Switch(tuple(self._nodes.values()), loop)
        self._captures: list[Capture] = []

    def close(self) -> None:
        self._switch.settle(self._now())
        self._switch.stop()
        captures, self._captures = self._captures, []
        with contextlib.ExitStack() as last:  # which stops all of them, even if one raises
            for capture in captures:
                last.callback(capture.stop)
        for node in self._nodes.values():
            for port in tuple(node.ports.values()):
                port.close()

    def check(self) -> None:
        """There is nothing that another program could take away."""

    def namespace_path(self, name: str) -> str:
        self._refuse("namespaces, so no other program runs in a node")

    def udp_socket(self, name: str, port: int, buffer_bytes: int | None) -> socket.socket:
        self._refuse("sockets: use datagram_port")

    def datagram_port(self, name: str, port: int, checksums: bool) -> DatagramPort:
        node = self._nodes[name]
        return node.open_port(self._switch, port, checksums, self.plan.mtu_bytes)

    def capture(self, name: str, at: Where, options: CaptureOptions) -> Capture:
        self._switch.settle(self._now())
        node = self._nodes[name]
        # What leaves the device and what comes to it; for the port it is the other way round.
        leaving, coming = (node.egress, node.ingress) if at == "node" else (node.ingress, node.egress)
        device = NODE_DEVICE if at == "node" else self._links[name].port

        def end() -> None:
            leaving.at_sender.remove(made)
            coming.at_far_end.remove(made)
            self._watch(node)

        made = SimulatedCapture(device, name, options, self._now, end)
        leaving.at_sender.append(made)
        coming.at_far_end.append(made)
        self._watch(node)
        self._captures.append(made)
        return made

    def _watch(self, node: SimulatedNode) -> None:
        """From now on packets are moved at their own times, so that those of both directions are captured in
        order, or no longer."""
        for direction in (node.egress, node.ingress):
            direction.look_ahead()
            self._switch.changed(direction)
        self._switch.look_ahead()

    def counter_reader(self) -> CounterReader:
        now = self._now()
        self._switch.settle(now)

        def read(names: Sequence[str]) -> dict[str, LinkCounters]:
            nodes = (self._nodes[name] for name in names)
            return {
                node.name: LinkCounters(node.egress.counters(now), node.ingress.counters(now))
                for node in nodes
            }

        return read

    def _cut(self, names: Sequence[str]) -> None:
        now = self._now()
        self._switch.settle(now)
        for name in names:
            node = self._nodes[name]
            self._switch.let_in(node.ingress, now)
            node.cut = True
            # As on the relay engine: what is in the node's own queue stays, and reaches a port that throws it
            # away.
            node.egress.clear_wire(now)
            node.ingress.flush(now)
            self._switch.changed(node.egress)
            self._switch.changed(node.ingress)

    def _join(self, names: Sequence[str]) -> None:
        self._switch.settle(self._now())
        for name in names:
            self._nodes[name].cut = False

    def _set_reach(self, pairs: Sequence[tuple[str, str]], reach: bool) -> None:
        for source, target in pairs:
            unreachable, node = self._nodes[source].unreachable, self._nodes[target]
            if reach:
                unreachable.pop(node)
            else:
                unreachable[node] = None

    def _apply(self, link: LinkPlan, which: Direction, old: DirectionPlan, new: DirectionPlan) -> None:
        if new == old:
            return
        now = self._now()
        self._switch.settle(now)
        node = self._nodes[link.name]
        direction = node.egress if which == "egress" else node.ingress
        direction.set(new, now)
        self._switch.changed(direction)
        if which == "ingress":
            self._switch.look_ahead()

    def _refuse(self, what: str) -> NoReturn:
        raise LabError(f"the simulated engine has no {what}")
