"""From a specification to what will be made: namespaces, devices, addresses, qdiscs. Pure, needs no root.

One namespace per node, one for the switch. A link is a pair of devices, ``eth0`` in the node's namespace
and a port of the switch's bridge. Its rates are tbf qdiscs on the two: egress on ``eth0``, ingress on the
port. What joins the two devices is the wire: a veth pair, or, on the relay engine and where packets must
be delayed or lost, two TAP devices with the relay process between them.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from netns.capabilities import Capabilities
from netns.errors import CapabilityError, PrivilegeError
from netns.qdiscs import Netem, Tbf, netem_for, tbf_for
from netns.spec import DIRECTIONS, Direction, EngineName, Impairment, LabSpec, LinkSpec, Shape

NODE_DEVICE, NODE_DEVICE_INDEX = "eth0", 100
BRIDGE, BRIDGE_INDEX = "br0", 100
_FIRST_PORT_INDEX = 1000
"""Device indices are chosen, not asked for; low ones may be taken by the kernel's fallback tunnels."""


@dataclass(frozen=True, slots=True)
class DirectionPlan:
    """One direction: its shape, the qdiscs on its sending device (root first), what the relay does."""

    shape: Shape
    seed: int
    qdiscs: tuple[Tbf | Netem, ...]
    relayed: Impairment | None


@dataclass(frozen=True, slots=True)
class LinkPlan:
    """One node's devices and addresses. ``index`` counts links from 0."""

    name: str
    index: int
    address: str
    prefix_length: int
    mac: str
    wire: str
    """``veth`` or ``relay``."""
    egress: DirectionPlan
    ingress: DirectionPlan

    @property
    def port(self) -> str:
        """The switch's port (a node's name may be longer than a device's)."""
        return f"p{self.index}"

    @property
    def port_index(self) -> int:
        return _FIRST_PORT_INDEX + self.index

    def direction(self, which: Direction) -> DirectionPlan:
        return self.egress if which == "egress" else self.ingress


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a build makes."""

    engine: EngineName
    links: tuple[LinkPlan, ...]
    mtu_bytes: int

    @property
    def namespaces(self) -> tuple[str, ...]:
        return ("switch", *(link.name for link in self.links))

    @property
    def needs_relay(self) -> bool:
        return any(link.wire == "relay" for link in self.links)

    def describe(self) -> list[str]:
        """The plan in lines for people."""
        lines = [f"engine {self.engine}, mtu {self.mtu_bytes}", f"namespace switch: bridge {BRIDGE}"]
        for link in self.links:
            lines.append(
                f"namespace {link.name}: {NODE_DEVICE} {link.address}/{link.prefix_length} {link.mac} "
                f"--{link.wire}-- switch {link.port}"
            )
            for which in DIRECTIONS:
                lines.append(f"  {which}: {_describe(link.direction(which))}")
        return lines


def plan(spec: LabSpec, capabilities: Capabilities | None = None) -> Plan:
    """What building ``spec`` makes on a host with ``capabilities`` (None: one that can do everything).

    Raises: ``PrivilegeError`` or ``CapabilityError`` for what such a host cannot do; nothing that was
    asked for is ever left out.
    """
    engine = _choose_engine(spec, capabilities)
    if capabilities is not None:
        _check(spec, engine, capabilities)
    return Plan(
        engine=engine,
        links=tuple(_plan_link(spec, link, index, engine) for index, link in enumerate(spec.links)),
        mtu_bytes=spec.mtu_bytes,
    )


def plan_direction(
    shape: Shape, *, seed: int, wire: str, engine: EngineName, mtu_bytes: int
) -> DirectionPlan:
    """How one direction gets its shape; used for building and for every later change.

    Raises: ``CapabilityError`` if the wire cannot delay or lose packets.
    """
    tbf = tbf_for(shape, mtu_bytes)
    rate = (tbf,) if tbf else ()
    if wire == "relay":
        return DirectionPlan(shape, seed, rate, shape.impairment)
    if engine == "kernel" and shape.impairment:
        return DirectionPlan(shape, seed, (netem_for(shape, seed), *rate), None)
    if shape.impairment:
        raise CapabilityError(
            "this link was built as a plain veth pair, which cannot delay or lose packets: "
            "build it with LinkSpec(live_impairments=True)"
        )
    return DirectionPlan(shape, seed, rate, None)


def _choose_engine(spec: LabSpec, capabilities: Capabilities | None) -> EngineName:
    if spec.engine != "auto":
        return spec.engine
    return "kernel" if capabilities is None or capabilities.netem else "relay"


def _check(spec: LabSpec, engine: EngineName, capabilities: Capabilities) -> None:
    def missing(what: str) -> str:
        return capabilities.reasons.get(what, "not there")

    if not capabilities.privileged:
        raise PrivilegeError(f"this process may not build a lab: {missing('privileged')}")
    needs = ["namespaces", "veth", "bridge"]
    if any(shape.rate_bps is not None for link in spec.links for shape in (link.egress, link.ingress)):
        needs.append("tbf")
    if any(link.impaired for link in spec.links):
        needs.append("netem" if engine == "kernel" else "tun")
    lacking = [name for name in needs if not getattr(capabilities, name)]
    if lacking:
        reasons = "; ".join(f"{name}: {missing(name)}" for name in lacking)
        hint = " (engine='auto' falls back on the relay)" if "netem" in lacking else ""
        raise CapabilityError(f"this host lacks what the lab needs: {reasons}{hint}")


def _plan_link(spec: LabSpec, link: LinkSpec, index: int, engine: EngineName) -> LinkPlan:
    wire = "relay" if engine == "relay" and link.impaired else "veth"
    address = spec.network.network_address + index + 1
    directions = {
        which: plan_direction(
            link.egress if which == "egress" else link.ingress,
            seed=_seed(spec.seed, link.name, which),
            wire=wire,
            engine=engine,
            mtu_bytes=spec.mtu_bytes,
        )
        for which in DIRECTIONS
    }
    return LinkPlan(
        name=link.name,
        index=index,
        address=str(address),
        prefix_length=spec.network.prefixlen,
        mac="02:ec:" + address.packed.hex(":"),
        wire=wire,
        **directions,
    )


def _seed(seed: int, name: str, which: Direction) -> int:
    # Seeding with a string is defined (sha512) and, unlike hash(), the same in every process.
    return random.Random(f"{seed}:{name}:{which}").getrandbits(64)


def changed_shape(shape: Shape, changes: dict[str, float | None]) -> Shape:
    """A shape with some of its fields replaced. Raises ``SpecError`` if it cannot be."""
    return replace(shape, **changes)  # type: ignore[arg-type]


def _describe(direction: DirectionPlan) -> str:
    parts = []
    for qdisc in direction.qdiscs:
        if isinstance(qdisc, Tbf):
            parts.append(
                f"tbf {qdisc.rate_bps:g} bit/s, burst {qdisc.burst_bytes} B, queue {qdisc.limit_bytes} B"
            )
        else:
            parts.append(f"netem {_describe_wire(qdisc.impairment)}, limit {qdisc.limit_packets} packets")
    if direction.relayed is not None:
        parts.append(f"relay {_describe_wire(direction.relayed)}")
    return "; ".join(parts) or "unshaped"


def _describe_wire(wire: Impairment) -> str:
    return f"delay {wire.delay_s * 1e3:g} ms ± {wire.jitter_s * 1e3:g} ms, loss {wire.loss:.3%}"
