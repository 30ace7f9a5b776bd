from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netns import (
    BurstLoss,
    Capabilities,
    CapabilityError,
    LabSpec,
    LinkSpec,
    Plan,
    PrivilegeError,
    Shape,
    SpecError,
    changed_plan,
    plan,
)
from netns.planning import changed_shape, plan_direction
from netns.qdiscs import Netem, RateLimit
from netns.spec import rate_text

ALL = Capabilities(
    privileged=True, namespaces=True, veth=True, bridge=True, htb=True, netem=True, tun=True, sched_fifo=True
)
NO_NETEM = Capabilities(
    privileged=True,
    namespaces=True,
    veth=True,
    bridge=True,
    htb=True,
    tun=True,
    reasons={"netem": "no sch_netem"},
)
SPEC = LabSpec(
    links=(
        LinkSpec("cam1", egress=Shape(rate_bps=1e6, queue_s=0.2, delay_s=0.005)),
        LinkSpec("server", ingress=Shape(rate_bps=6e6, queue_s=0.2)),
    ),
    seed=7,
)


def test_addresses_and_devices():
    made = plan(SPEC)
    assert isinstance(made, Plan)
    assert made.namespaces == ("switch", "cam1", "server")
    cam1, server = made.links
    assert (cam1.address, cam1.mac, cam1.port, cam1.port_index) == (
        "10.77.0.1",
        "02:ec:0a:4d:00:01",
        "p0",
        1000,
    )
    assert (server.address, server.prefix_length, server.port) == ("10.77.0.2", 16, "p1")


def test_the_kernel_engine_stacks_the_rate_below_netem():
    cam1, server = plan(SPEC, ALL).links
    netem, limit = cam1.egress.qdiscs
    assert isinstance(netem, Netem)
    assert netem.impairment.delay_s == 0.005
    assert isinstance(limit, RateLimit)
    assert limit.limit_bytes == 25_000
    assert [type(qdisc) for qdisc in cam1.ingress.qdiscs] == [Netem]  # so that it can be impaired later
    assert [type(qdisc) for qdisc in server.ingress.qdiscs] == [RateLimit]
    assert [cam1.wire, server.wire] == ["netem", "veth"]
    assert not plan(SPEC, ALL).needs_relay


def test_without_netem_only_impaired_links_are_relayed():
    made = plan(SPEC, NO_NETEM)
    assert made.engine == "relay"
    assert [link.wire for link in made.links] == ["relay", "veth"]
    cam1 = made.links[0]
    assert [type(qdisc) for qdisc in cam1.egress.qdiscs] == [RateLimit]
    assert cam1.egress.line.delay_s == 0.005
    assert cam1.ingress.line is not None
    assert not cam1.ingress.line


def test_what_the_host_lacks_is_an_error_that_says_why():
    kernel = LabSpec(links=SPEC.links, engine="kernel")
    with pytest.raises(CapabilityError, match=r"netem: no sch_netem.*falls back on the relay"):
        plan(kernel, NO_NETEM)
    no_tun = Capabilities(privileged=True, namespaces=True, veth=True, bridge=True, htb=True)
    with pytest.raises(CapabilityError, match="tun"):
        plan(SPEC, no_tun)
    with pytest.raises(PrivilegeError, match="run as root"):
        plan(SPEC, Capabilities(reasons={"privileged": "run as root"}))


def test_netem_and_tun_are_not_needed_where_nothing_is_impaired():
    bare = Capabilities(privileged=True, namespaces=True, veth=True, bridge=True)
    assert not plan(LabSpec(links=(LinkSpec("a"), LinkSpec("b"))), bare).needs_relay


def test_a_plain_wire_never_drops_an_impairment_silently():
    with pytest.raises(CapabilityError, match="live_impairments"):
        plan_direction(Shape(loss=0.1), seed=0, wire="veth", mtu_bytes=1500)


REORDERED = Shape(rate_bps=1e6, delay_s=0.01, reorder=0.1)


def test_what_netem_cannot_do_is_refused_or_relayed():
    links = (LinkSpec("a", egress=REORDERED), LinkSpec("b"))
    with pytest.raises(CapabilityError, match=r"reorder.*engine='relay'"):
        plan(LabSpec(links=links, engine="kernel"), ALL)
    assert plan(LabSpec(links=links), ALL).engine == "relay"
    assert plan(LabSpec(links=(LinkSpec("a", egress=replace(REORDERED, rate_bps=None)),)), ALL).engine == (
        "kernel"
    )


def test_what_the_relay_cannot_hold_is_refused():
    links = (LinkSpec("a", egress=Shape(rate_bps=10e9, delay_s=1.0)), LinkSpec("b"))
    with pytest.raises(CapabilityError, match=r"MiB for 10 Gbit/s.*engine='kernel'"):
        plan(LabSpec(links=links, engine="relay"), ALL)
    assert plan(LabSpec(links=links), ALL).engine == "kernel"


def test_a_rate_that_is_lifted_keeps_its_queue():
    kept = plan_direction(Shape(), seed=0, wire="veth", mtu_bytes=1500, has_queue=True)
    assert kept.rate_limit.rate_bps == 100e9
    assert plan_direction(Shape(), seed=0, wire="veth", mtu_bytes=1500).qdiscs == ()


def test_what_excludes_another_takes_its_place():
    shape = Shape(rate_bps=1e6, queue_s=0.1, loss=0.1)
    changed = changed_shape(shape, {"queue_bytes": 5000, "burst_loss": BurstLoss.of(0.1, 4)})
    assert (changed.queue_s, changed.queue_bytes, changed.loss) == (None, 5000, 0.0)
    assert changed_shape(changed, {"loss": 0.2}).burst_loss is None


def test_live_impairments_reserve_a_relayed_wire():
    made = plan(LabSpec(links=(LinkSpec("a", live_impairments=True), LinkSpec("b"))), NO_NETEM)
    assert [link.wire for link in made.links] == ["relay", "veth"]


def test_seeds_are_repeatable_and_differ_by_line():
    again = plan(SPEC)
    seeds = [direction.seed for link in plan(SPEC).links for direction in (link.egress, link.ingress)]
    assert seeds == [direction.seed for link in again.links for direction in (link.egress, link.ingress)]
    assert len(set(seeds)) == 4
    other = plan(LabSpec(links=SPEC.links, seed=8))
    assert other.links[0].egress.seed != seeds[0]


def test_describe_names_every_namespace_and_value():
    lines = plan(SPEC, NO_NETEM).describe()
    assert lines == [
        "engine relay, mtu 1500",
        "namespace switch: bridge br0",
        "namespace cam1: eth0 10.77.0.1/16 02:ec:0a:4d:00:01 --relay-- switch p0",
        "  egress: htb 1 Mbit/s, burst 2014 B, queue 25000 B; relay delay 5 ms",
        "  ingress: relay nothing yet",
        "namespace server: eth0 10.77.0.2/16 02:ec:0a:4d:00:02 --veth-- switch p1",
        "  egress: unshaped",
        "  ingress: htb 6 Mbit/s, burst 4514 B, queue 150000 B",
    ]


@settings(deadline=None, max_examples=20)
@given(count=st.integers(1, 1000))
def test_addresses_macs_and_ports_are_unique(count):
    links = plan(LabSpec(links=tuple(LinkSpec(f"n{i}") for i in range(count)))).links
    for values in (
        {link.address for link in links},
        {link.mac for link in links},
        {link.port_index for link in links},
    ):
        assert len(values) == count
    assert all(len(link.port) < 16 for link in links)


@pytest.mark.parametrize(
    ("bps", "text"),
    [
        (5e7, "50 Mbit/s"),
        (8e3, "8 kbit/s"),
        (1.5e9, "1.5 Gbit/s"),
        (999, "999 bit/s"),
        (312500, "312.5 kbit/s"),
    ],
)
def test_rates_are_written_as_people_do(bps, text):
    assert rate_text(bps) == text


def test_a_change_can_be_tried_on_a_plan():
    before = plan(SPEC, NO_NETEM)
    after = changed_plan(before, "cam1", "egress", {"rate_bps": 2e6, "delay_s": 0.1})
    assert (after.links[0].egress.shape.rate_bps, after.links[0].egress.shape.delay_s) == (2e6, 0.1)
    assert after.links[1:] == before.links[1:]
    assert before == plan(SPEC, NO_NETEM)
    with pytest.raises(SpecError, match="rate_bps=7 is outside 8 kbit/s to 100 Gbit/s"):
        changed_plan(before, "cam1", "egress", {"rate_bps": 7.0})
    with pytest.raises(CapabilityError, match="cannot delay or lose packets"):
        changed_plan(plan(LabSpec(links=(LinkSpec("a"),))), "a", "egress", {"delay_s": 0.1})
