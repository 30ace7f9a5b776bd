import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netns import (
    Capabilities,
    CapabilityError,
    LabSpec,
    LinkSpec,
    Plan,
    PrivilegeError,
    Shape,
    plan,
)
from netns.planning import plan_direction
from netns.qdiscs import Netem, Tbf

ALL = Capabilities(
    privileged=True, namespaces=True, veth=True, bridge=True, tbf=True, netem=True, tun=True, sched_fifo=True
)
NO_NETEM = Capabilities(
    privileged=True,
    namespaces=True,
    veth=True,
    bridge=True,
    tbf=True,
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


def test_the_kernel_engine_stacks_tbf_below_netem():
    cam1, server = plan(SPEC, ALL).links
    netem, tbf = cam1.egress.qdiscs
    assert isinstance(netem, Netem)
    assert netem.impairment.delay_s == 0.005
    assert isinstance(tbf, Tbf)
    assert tbf.limit_bytes == 25_000
    assert cam1.ingress.qdiscs == ()
    assert [type(qdisc) for qdisc in server.ingress.qdiscs] == [Tbf]
    assert {cam1.wire, server.wire} == {"veth"}
    assert not plan(SPEC, ALL).needs_relay


def test_without_netem_only_impaired_links_are_relayed():
    made = plan(SPEC, NO_NETEM)
    assert made.engine == "relay"
    assert [link.wire for link in made.links] == ["relay", "veth"]
    cam1 = made.links[0]
    assert [type(qdisc) for qdisc in cam1.egress.qdiscs] == [Tbf]
    assert cam1.egress.relayed.delay_s == 0.005
    assert cam1.ingress.relayed is not None
    assert not cam1.ingress.relayed


def test_what_the_host_lacks_is_an_error_that_says_why():
    kernel = LabSpec(links=SPEC.links, engine="kernel")
    with pytest.raises(CapabilityError, match=r"netem: no sch_netem.*falls back on the relay"):
        plan(kernel, NO_NETEM)
    no_tun = Capabilities(privileged=True, namespaces=True, veth=True, bridge=True, tbf=True)
    with pytest.raises(CapabilityError, match="tun"):
        plan(SPEC, no_tun)
    with pytest.raises(PrivilegeError, match="run as root"):
        plan(SPEC, Capabilities(reasons={"privileged": "run as root"}))


def test_netem_and_tun_are_not_needed_where_nothing_is_impaired():
    bare = Capabilities(privileged=True, namespaces=True, veth=True, bridge=True)
    assert not plan(LabSpec(links=(LinkSpec("a"), LinkSpec("b"))), bare).needs_relay


def test_a_plain_wire_never_drops_an_impairment_silently():
    with pytest.raises(CapabilityError, match="live_impairments"):
        plan_direction(Shape(loss=0.1), seed=0, wire="veth", engine="relay", mtu_bytes=1500)


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
        "  egress: tbf 1e+06 bit/s, burst 2014 B, queue 25000 B; relay delay 5 ms ± 0 ms, loss 0.000%",
        "  ingress: relay delay 0 ms ± 0 ms, loss 0.000%",
        "namespace server: eth0 10.77.0.2/16 02:ec:0a:4d:00:02 --veth-- switch p1",
        "  egress: unshaped",
        "  ingress: tbf 6e+06 bit/s, burst 4514 B, queue 150000 B",
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
