"""A node of a simulated lab: its address, its two directions and its ports."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from netns.errors import LabError
from netns.planning import LinkPlan
from netns.simulated.direction import SimulatedDirection
from netns.simulated.packets import MAX_PORT
from netns.simulated.ports import DatagramPort

if TYPE_CHECKING:
    from netns.simulated.switch import Switch

_EPHEMERAL = range(32_768, 61_000)
"""The numbers that a port gets which does not ask for one: Linux's ip_local_port_range."""


class SimulatedNode:
    """A node and its link to the switch."""

    __slots__ = (
        "_next",
        "address",
        "cut",
        "egress",
        "ingress",
        "ip",
        "mac",
        "name",
        "ports",
        "quiet_until",
        "unreachable",
    )

    def __init__(self, link: LinkPlan) -> None:
        self.name, self.address = link.name, link.address
        self.ip, self.mac = IPv4Address(link.address).packed, bytes.fromhex(link.mac.replace(":", ""))
        self.egress = SimulatedDirection(self, link.egress)
        self.ingress = SimulatedDirection(self, link.ingress)
        self.ports: dict[int, DatagramPort] = {}
        self.cut = False
        """True while the switch's port forwards nothing."""
        self.unreachable: dict[SimulatedNode, None] = {}
        """The nodes to which its frames do not get."""
        self.quiet_until = 0.0
        """Until this time nobody here wants to hear of a datagram."""
        self._next = 0

    def open_port(self, switch: Switch, wanted: int, checksums: bool, mtu_bytes: int) -> DatagramPort:
        """A new port with the number ``wanted``, or with a free one for 0. Raises: ``LabError`` if there is
        none."""
        number = self._free_number(wanted)
        made = self.ports[number] = DatagramPort(switch, self, number, checksums, mtu_bytes)
        self.quiet_until = 0.0
        return made

    def _free_number(self, wanted: int) -> int:
        if not 0 <= wanted <= MAX_PORT:
            raise LabError(f"{wanted} is no port: 0 to {MAX_PORT}")
        if wanted:
            if wanted in self.ports:
                raise LabError(f"port {wanted} of {self.name} is taken")
            return wanted
        # One after the other, so that a number that was just given back is not the next one again.
        for _ in _EPHEMERAL:
            number = _EPHEMERAL[self._next % len(_EPHEMERAL)]
            self._next += 1
            if number not in self.ports:
                return number
        raise LabError(f"{self.name} has no free port")

    def close_port(self, number: int) -> None:
        del self.ports[number]

    def note_batch(self, port: DatagramPort, now: float) -> bool:
        """``port`` has got a batch at ``now``, and may let the next datagrams wait. Returns whether the time
        until which they wait has changed."""
        port.quiet_until = now + port.coalesce_s
        ports, before = self.ports, self.quiet_until
        # As long as no port of the node wants to hear of a datagram.
        self.quiet_until = (
            port.quiet_until if len(ports) == 1 else min(each.quiet_until for each in (port, *ports.values()))
        )
        return self.quiet_until != before
