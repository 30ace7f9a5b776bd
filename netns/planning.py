"""Turns a specification into a plan of namespaces, devices, addresses and qdiscs. Pure, and needs no root.

Each node has a namespace, and so has the switch. A link is a pair of devices: ``eth0`` in the node's
namespace and a port of the switch's bridge. Its rates are qdiscs on these: egress on ``eth0``, ingress on the
port.

The connection between the two devices is called the wire. It is a veth pair where packets are neither delayed
nor lost. Where they are, it is a veth pair with netem on both devices (kernel engine), or two TAP devices
with the relay process between them (relay engine).

The simulated engine makes none of this. Its nodes have the same addresses and its directions the same rate
limits, queues and seeds, so that all that is refused on the way is refused on each engine.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from netns.errors import CapabilityError, PrivilegeError
from netns.impairment import Impairment
from netns.qdiscs import Gate, Qdisc, RateLimit, lifted_rate_limit, netem_for, rate_limit_for
from netns.spec import DIRECTIONS, Direction, EngineName, LabSpec, LinkSpec, Shape, rate_text

if TYPE_CHECKING:
    from netns.capabilities import Capabilities

Wire = Literal["veth", "netem", "relay", "plain", "simulated"]
"""``plain`` is the simulated engine's wire that cannot be impaired, as ``veth`` is that of the others."""

NODE_DEVICE, NODE_DEVICE_INDEX = "eth0", 100
BRIDGE, BRIDGE_INDEX = "br0", 100
_WIRES: dict[EngineName, tuple[Wire, Wire]] = {
    "kernel": ("veth", "netem"),
    "relay": ("veth", "relay"),
    "simulated": ("plain", "simulated"),
}
"""The wire of a link without impairments, and of one with them."""
_LINE_LEAST_BYTES, _LINE_MOST_BYTES = 8 << 20, 512 << 20
_LINE_MOST_BPS = 100e6
"""The rate for which a delay line has room in a direction that has no rate limit."""
_SPARE_DESCRIPTORS = 32
"""For the relay's socket, captures, and whatever is opened for a moment."""
FIRST_PORT_INDEX = 1000
"""The plan chooses the indices of devices, so that all requests can be made before the first device is there.
Low ones may be taken: with some modules the kernel puts fallback tunnels (tunl0, sit0) into each new
namespace."""


@dataclass(frozen=True, slots=True)
class DirectionPlan:
    """One direction: its shape, the qdiscs on its sending device (root first), and the impairments of its
    delay line (``delay_line``) on an engine that has these (None: the wire has no line)."""

    shape: Shape
    seed: int
    qdiscs: tuple[Qdisc, ...]
    line: Impairment | None = None
    line_limit_bytes: int = 0
    """The most that the line holds."""

    @property
    def rate_limit(self) -> RateLimit | None:
        """The qdisc that limits the rate, if there is one."""
        return next((qdisc for qdisc in self.qdiscs if isinstance(qdisc, RateLimit)), None)

    def with_gate(self, gate: Gate) -> DirectionPlan:
        """The same plan with another state of its rate limit's gate."""
        qdiscs = (
            replace(qdisc, gate=gate) if isinstance(qdisc, RateLimit) else qdisc for qdisc in self.qdiscs
        )
        return replace(self, qdiscs=tuple(qdiscs))


@dataclass(frozen=True, slots=True)
class LinkPlan:
    """The devices and addresses of one node. ``index`` counts the links from 0."""

    name: str
    index: int
    address: str
    prefix_length: int
    mac: str
    wire: Wire
    egress: DirectionPlan
    ingress: DirectionPlan

    @property
    def port(self) -> str:
        """The name of the switch's port. It is a number, because the name of a node may be longer than the 15
        characters of a device's."""
        return f"p{self.index}"

    @property
    def port_index(self) -> int:
        """The device index of the switch's port, in the switch's namespace."""
        return FIRST_PORT_INDEX + self.index

    def direction(self, which: Direction) -> DirectionPlan:
        """The plan of one direction."""
        return self.egress if which == "egress" else self.ingress


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a build makes."""

    engine: EngineName
    links: tuple[LinkPlan, ...]
    mtu_bytes: int

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The names of all namespaces, the switch's first."""
        if self.engine == "simulated":
            return ()
        return ("switch", *(link.name for link in self.links))

    @property
    def needs_relay(self) -> bool:
        """True if a link passes through the relay process."""
        return any(link.wire == "relay" for link in self.links)

    @property
    def descriptors(self) -> int:
        """The file descriptors that a build opens, and one more a node for a socket of the caller's."""
        taps = 2 * sum(link.wire == "relay" for link in self.links)
        return 2 * len(self.namespaces) + taps + len(self.links) + _SPARE_DESCRIPTORS

    def describe(self) -> list[str]:
        """The plan in lines for people."""
        lines = [f"engine {self.engine}, mtu {self.mtu_bytes}"]
        kind = "node"
        if self.namespaces:
            kind = "namespace"
            lines.append(f"namespace switch: bridge {BRIDGE}")
        for link in self.links:
            lines.append(
                f"{kind} {link.name}: {NODE_DEVICE} {link.address}/{link.prefix_length} {link.mac} "
                f"--{link.wire}-- switch {link.port}"
            )
            for which in DIRECTIONS:
                lines.append(f"  {which}: {_describe(link.direction(which), link.wire)}")
        return lines


def plan(spec: LabSpec, capabilities: Capabilities | None = None) -> Plan:
    """The plan for building ``spec`` on a host with ``capabilities`` (None: a host that can do everything).

    Raises: ``PrivilegeError`` or ``CapabilityError`` if the host or the engine cannot do all of it. Nothing
    that the specification asks for is ever left out.
    """
    engine = _choose_engine(spec, capabilities)
    if capabilities is not None and engine != "simulated":
        _check(spec, engine, capabilities)
    return Plan(
        engine=engine,
        links=tuple(_plan_link(spec, link, index, engine) for index, link in enumerate(spec.links)),
        mtu_bytes=spec.mtu_bytes,
    )


def plan_direction(
    shape: Shape, *, seed: int, wire: Wire, mtu_bytes: int, has_queue: bool = False
) -> DirectionPlan:
    """The plan that gives one direction its shape, when it is built and at every later change. ``has_queue``
    says that the device has a rate limit already, whose queue must not be lost.

    Raises: ``CapabilityError`` if the wire or its engine cannot do it.
    """
    limit = rate_limit_for(shape, mtu_bytes)
    if limit is None and has_queue:
        limit = lifted_rate_limit(mtu_bytes)
    rate = (limit,) if limit else ()
    # A wire of an impaired link gets its netem, or its delay line, even while the shape asks for nothing: an
    # impairment can then be set later without replacing a qdisc and losing the packets in it.
    if wire in ("relay", "simulated"):
        return DirectionPlan(shape, seed, rate, shape.impairment, _line_limit_bytes(shape))
    if wire == "netem":
        refusal = netem_refusal(shape)
        if refusal is not None:
            raise CapabilityError(refusal)
        return DirectionPlan(shape, seed, (netem_for(shape, seed), *rate))
    if shape.impairment:
        raise CapabilityError(
            "this link was built as a plain wire, which cannot delay or lose packets: "
            "build it with LinkSpec(live_impairments=True)"
        )
    return DirectionPlan(shape, seed, rate)


def changed_direction(now: DirectionPlan, shape: Shape, *, wire: Wire, mtu_bytes: int) -> DirectionPlan:
    """The plan that gives a present direction another shape. Raises what ``plan_direction`` raises."""
    return plan_direction(
        shape, seed=now.seed, wire=wire, mtu_bytes=mtu_bytes, has_queue=now.rate_limit is not None
    )


def netem_refusal(shape: Shape) -> str | None:
    """A message about something in this shape that netem cannot do right, or None."""
    if shape.reorder and shape.rate_bps is not None:
        return (
            "the kernel engine cannot reorder in a direction with a rate: netem sends such a packet past the "
            "rate limit. Use engine='relay', or put the rate on another link"
        )
    return None


def _line_limit_bytes(shape: Shape) -> int:
    # Twice the bytes that can be under way, because each packet costs memory beside its bytes (see
    # delay_line.PACKET_OVERHEAD_BYTES).
    rate_bps = shape.rate_bps if shape.rate_bps is not None else _LINE_MOST_BPS
    limit = 2 * rate_bps / 8 * shape.impairment.longest_delay_s
    # Without a rate the bytes under way are a guess, which refuses nothing.
    if shape.rate_bps is not None and limit > _LINE_MOST_BYTES:
        raise CapabilityError(
            f"the link would have to hold {limit / 2**20:.0f} MiB for {rate_text(shape.rate_bps)} with a "
            f"delay of {shape.delay_s:g} s, and the relay and simulated engines hold at most "
            f"{_LINE_MOST_BYTES >> 20} MiB a direction: lower one of them, or use engine='kernel'"
        )
    return max(_LINE_LEAST_BYTES, min(round(limit), _LINE_MOST_BYTES))


def _choose_engine(spec: LabSpec, capabilities: Capabilities | None) -> EngineName:
    if spec.engine != "auto":
        return spec.engine
    if capabilities is not None and not capabilities.netem:
        return "relay"
    # A shape that netem would get wrong puts the whole lab on the relay: a lab has one engine.
    refused = any(netem_refusal(shape) for link in spec.links for shape in (link.egress, link.ingress))
    return "relay" if refused else "kernel"


def _check(spec: LabSpec, engine: EngineName, capabilities: Capabilities) -> None:
    def missing(what: str) -> str:
        return capabilities.reasons.get(what, "not there")

    if not capabilities.privileged:
        raise PrivilegeError(missing("privileged"))
    # Only the abilities that this lab uses: a host without netem or tun can still build a lab without delays.
    needs = ["namespaces", "veth", "bridge"]
    if any(shape.rate_bps is not None for link in spec.links for shape in (link.egress, link.ingress)):
        needs.append("htb")
    if any(link.impaired for link in spec.links):
        needs.append("netem" if engine == "kernel" else "tun")
    lacking = [name for name in needs if not getattr(capabilities, name)]
    if lacking:
        reasons = "; ".join(f"{name}: {missing(name)}" for name in lacking)
        hint = " (engine='auto' falls back on the relay)" if "netem" in lacking else ""
        raise CapabilityError(f"this host lacks what the lab needs: {reasons}{hint}")


def _plan_link(spec: LabSpec, link: LinkSpec, index: int, engine: EngineName) -> LinkPlan:
    wire = _WIRES[engine][link.impaired]
    address = spec.network.network_address + index + 1
    directions = {
        which: plan_direction(
            link.egress if which == "egress" else link.ingress,
            seed=_seed(spec.seed, link.name, which),
            wire=wire,
            mtu_bytes=spec.mtu_bytes,
        )
        for which in DIRECTIONS
    }
    return LinkPlan(
        name=link.name,
        index=index,
        address=str(address),
        prefix_length=spec.network.prefixlen,
        # 02 marks a locally administered unicast address (IEEE 802). The address makes it unique.
        mac="02:ec:" + address.packed.hex(":"),
        wire=wire,
        **directions,
    )


def _seed(seed: int, name: str, which: Direction) -> int:
    # Seeding with a string is defined (sha512) and, unlike hash(), the same in every process.
    return random.Random(f"{seed}:{name}:{which}").getrandbits(64)


def changed_shape(shape: Shape, changes: Mapping[str, object]) -> Shape:
    """A shape with some of its fields replaced. A new queue in bytes takes the place of one in seconds, a new
    ``burst_loss`` that of ``loss``, and the other way round in both cases. Raises: ``SpecError``."""
    changed = dict(changes)
    # Each row: a field, the field that it excludes, and the value with which that one is empty. If a change
    # sets both, both stay, and Shape refuses them.
    for one, other, nothing in (
        ("queue_s", "queue_bytes", None),
        ("queue_bytes", "queue_s", None),
        ("loss", "burst_loss", None),
        ("burst_loss", "loss", 0.0),
    ):
        if changed.get(one) and other not in changed:
            changed[other] = nothing
    return replace(shape, **changed)  # type: ignore[arg-type]


def changed_plan(plan: Plan, link: str, which: Direction, changes: Mapping[str, object]) -> Plan:
    """The plan of the same lab once fields of one direction's shape were changed, as by ``Link.set``.

    Raises: what ``Link.set`` raises, so that a change can be tried before there is a lab.
    """
    before = next(each for each in plan.links if each.name == link)
    now = before.direction(which)
    shape = changed_shape(now.shape, changes)
    new = changed_direction(now, shape, wire=before.wire, mtu_bytes=plan.mtu_bytes)
    after = replace(before, egress=new) if which == "egress" else replace(before, ingress=new)
    return replace(plan, links=tuple(after if each is before else each for each in plan.links))


def _describe(direction: DirectionPlan, wire: Wire) -> str:
    rate = "rate" if wire in ("plain", "simulated") else "htb"
    parts = []
    for qdisc in direction.qdiscs:
        if isinstance(qdisc, RateLimit):
            bounds = f"burst {qdisc.burst_bytes} B, queue {qdisc.limit_bytes} B"
            parts.append(f"{rate} {rate_text(qdisc.rate_bps)}, {bounds}")
        else:
            parts.append(f"netem {qdisc.impairment.describe()}, limit {qdisc.limit_packets} packets")
    if direction.line is not None:
        parts.append(f"{wire} {direction.line.describe()}")
    return "; ".join(parts) or "unshaped"
