"""Moves packets between the nodes of a simulated lab, with one timer of the event loop for all of them.

Nothing that happens inside can be seen before a datagram is delivered. So the timer is set for the next
delivery, and everything that was due in between then happens in the order of its times.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Sequence
from heapq import heappop, heappush, heapreplace
from ipaddress import IPv4Address

from netns.simulated.direction import NEVER, SimulatedDirection
from netns.simulated.nodes import SimulatedNode
from netns.simulated.packets import HEADERS_BYTES, MAX_PORT, Packet, read_frame
from netns.simulated.ports import DatagramPort

_Entry = tuple[float, int, SimulatedDirection]
"""The time at which a packet may come out of a direction, and a number that tells entries apart."""


class Switch:
    """The switch, the packets on their way to it and from it, and those that have arrived."""

    def __init__(self, nodes: Sequence[SimulatedNode], loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._time = loop, loop.time
        self._nodes = nodes
        self._by_address = {node.address: node for node in nodes}
        self._by_mac = {node.mac: node for node in nodes}
        # Two heaps, because what comes out of an egress is not yet delivered.
        self._egress: list[_Entry] = []
        self._ingress: list[_Entry] = []
        self._count = 0
        self._arrived: deque[tuple[DatagramPort, bytes, tuple[str, int]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        # Not that of the sender who happens to set the timer: it is for the packets of others too.
        self._context = contextvars.copy_context()
        self._wake = NEVER
        """The time for which the timer is set."""
        self._busy = self._stopped = False
        """Busy: the timer is set when all datagrams are delivered."""
        self._least_ingress_s = 0.0
        """No packet that comes out of an egress is delivered sooner than after this time."""
        self.look_ahead()

    def look_ahead(self) -> None:
        """Counts anew how far ahead of a delivery a packet leaves its egress. To be called when an ingress
        has changed."""
        self._least_ingress_s = min(node.ingress.least_transit_s for node in self._nodes)
        self._set_timer()

    def send(self, port: DatagramPort, data: bytes, address: tuple[str, int]) -> None:
        """Sends a datagram from a port, now. Raises: ``ValueError`` for an address that is none."""
        node, now = port.node, self._time()
        ip, number = address
        target = self._by_address.get(ip)
        if target is None:
            IPv4Address(ip)
        if not 0 <= number <= MAX_PORT:
            raise ValueError(f"{number} is no port: 0 to {MAX_PORT}")
        if target is node:  # it never leaves the node
            self._arrive(node, number, data, port.address)
        else:
            if target in node.unreachable:
                target = None
            self._count += 1
            direction = node.egress
            direction.enter((self._count, len(data) + HEADERS_BYTES, data, port, address, target, None), now)
            # While others are before it, it changes nothing.
            if direction.key == NEVER or direction.reorders:
                self._note_egress(direction)
            if direction.key + self._least_ingress_s >= self._wake:
                return
        self._set_timer()

    def settle(self, now: float) -> None:
        """Lets everything happen that is due by ``now``. What arrives is delivered by the timer."""
        egress, ingress = self._egress, self._ingress
        while True:
            # In the order of their times, since packets of all nodes meet in the queue of one.
            if egress and egress[0][0] <= now and not (ingress and ingress[0][0] < egress[0][0]):
                at, _, direction = egress[0]
                if at != direction.key:  # no longer valid
                    heappop(egress)
                    continue
                # One at a time: of those that come at the same time, the first sent is the first.
                packet = direction.leave(at)
                direction.key = due = direction.due()
                if due == NEVER:
                    heappop(egress)
                else:
                    heapreplace(egress, (due, direction.number(), direction))
                if packet is not None:
                    self._pass(direction, packet, at)
            elif ingress and ingress[0][0] <= now:
                at, _, direction = heappop(ingress)
                if at == direction.key:
                    direction.key = NEVER
                    self.let_in(direction, at)
            else:
                return

    def let_in(self, direction: SimulatedDirection, now: float) -> None:
        """Hands over everything that has come to a node by ``now``, also where it would wait for more."""
        while direction.due() <= now:
            packet = direction.leave(now)
            if packet is not None:
                self._hand_over(direction, packet)
        self._note_ingress(direction)

    def changed(self, direction: SimulatedDirection) -> None:
        """Notes that a direction's packets were lost, or got other times."""
        if direction is direction.node.egress:
            self._note_egress(direction)
        else:
            self._note_ingress(direction)
        self._set_timer()

    def stop(self) -> None:
        """Nothing is delivered any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._busy = self._stopped = True  # so the timer is never set again

    def _pass(self, direction: SimulatedDirection, packet: Packet, at: float) -> None:
        """A packet has come from a node to the switch."""
        if direction.node.cut:
            direction.discard()
            return
        direction.packets += 1
        direction.bytes += packet[1]
        frame = packet[6]
        target = packet[5] if frame is None else self._by_mac.get(frame[:6])
        # Dropped for want of a port to send it to: the switch has no unknown addresses, and floods none.
        if target is None or target.cut:
            return
        ingress = target.ingress
        ingress.enter(packet, at)
        # While others are before it, it changes nothing.
        if ingress.key == NEVER or ingress.reorders:
            self._note_ingress(ingress)

    def _hand_over(self, direction: SimulatedDirection, packet: Packet) -> None:
        """A packet has come from the switch to a node."""
        direction.packets += 1
        direction.bytes += packet[1]
        _, _, data, sender, (_, number), _, frame = packet
        if frame is None:
            port = direction.node.ports.get(number)
            if port is not None:
                self._arrived.append((port, data, sender.address))
        elif (found := read_frame(frame, direction.node)) is not None:
            self._arrive(direction.node, found[2], found[0], found[1])

    def _arrive(self, node: SimulatedNode, number: int, data: bytes, source: tuple[str, int]) -> None:
        port = node.ports.get(number)
        if port is not None:
            self._arrived.append((port, data, source))

    def _note_egress(self, direction: SimulatedDirection) -> None:
        """Sees to it that a direction's next packet has an entry in the heap."""
        due = direction.due()
        if due != direction.key:
            direction.key = due
            if due != NEVER:
                heappush(self._egress, (due, direction.number(), direction))

    def _note_ingress(self, direction: SimulatedDirection) -> None:
        due, quiet_until = direction.due(), direction.node.quiet_until
        if due < quiet_until:
            due = quiet_until
        if due != direction.key:
            direction.key = due
            if due != NEVER:
                heappush(self._ingress, (due, direction.number(), direction))

    def _set_timer(self) -> None:
        if self._busy:
            return
        egress, ingress = self._egress, self._ingress
        # Entries that are no longer valid would wake the loop for nothing.
        while ingress and ingress[0][0] != ingress[0][2].key:
            heappop(ingress)
        while egress and egress[0][0] != egress[0][2].key:
            heappop(egress)
        wake = ingress[0][0] if ingress else NEVER
        if egress:
            possible = egress[0][0] + self._least_ingress_s
            if possible < wake:
                wake = possible
        if self._arrived:
            wake = self._time()
        if wake < self._wake:
            if self._timer is not None:
                self._timer.cancel()
            self._wake = wake
            self._timer = self._loop.call_at(wake, self._on_time, context=self._context)

    def _on_time(self) -> None:
        self._timer, self._wake = None, NEVER
        now = self._time()
        self.settle(now)
        self._busy = True
        try:
            self._deliver(now)
        finally:
            self._busy = self._stopped
            self._set_timer()

    def _deliver(self, now: float) -> None:
        arrived = self._arrived
        ports: dict[DatagramPort, None] = {}
        # Only those that are here now: a callback may send one to its own node.
        for _ in range(len(arrived)):
            port, data, source = arrived.popleft()
            ports[port] = None
            try:
                port.on_datagram(data, source)
            except Exception as error:  # as with a socket, it is told, and the others get theirs
                self._tell(port, error)
        for port in ports:
            try:
                port.on_batch()
            except Exception as error:
                self._tell(port, error)
            if port.node.note_batch(port, now):
                self._note_ingress(port.node.ingress)

    def _tell(self, port: DatagramPort, error: Exception) -> None:
        message = f"exception in a callback of port {port.address[1]} of {port.node.name}"
        self._loop.call_exception_handler({"message": message, "exception": error})
