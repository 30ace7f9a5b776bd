"""Simulated links look ahead: they move packets late, and several at once. Nobody may notice."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ecco_emu.host.virtual_time import VirtualLoop
from netns import BurstLoss, Lab, LabSpec, LinkSpec, Partition, RateCliff, Shape, Trace, TracePoint

NAMES = ("a", "b", "c")
node = st.sampled_from(NAMES)
way = st.sampled_from(["egress", "ingress"])

shapes = st.builds(
    Shape,
    rate_bps=st.sampled_from([None, 1e5, 1e6, 1e7]),
    queue_bytes=st.sampled_from([None, 5_000, 50_000]),
    delay_s=st.sampled_from([0.01, 0.02, 0.1]),
    jitter_s=st.sampled_from([0.0, 0.01]),
    jitter_distribution=st.sampled_from(["uniform", "normal", "pareto"]),
    burst_loss=st.sampled_from([None, BurstLoss.of(0.2, 3)]),
    reorder=st.sampled_from([0.0, 0.3]),
    duplicate=st.sampled_from([0.0, 0.3]),
    corrupt=st.sampled_from([0.0, 0.3]),
)
changes = st.one_of(
    st.fixed_dictionaries({"rate_bps": st.sampled_from([None, 5e4, 1e6])}),
    st.fixed_dictionaries({"delay_s": st.sampled_from([0.01, 0.3])}),
    st.fixed_dictionaries({"loss": st.sampled_from([0.0, 0.5])}),
    st.fixed_dictionaries({"reorder": st.sampled_from([0.0, 0.5])}),
)
step = st.one_of(
    st.tuples(st.just("send"), node, node, st.integers(1, 20), st.sampled_from([10, 500, 1472])),
    st.tuples(st.just("set"), node, way, changes),
    st.tuples(st.just("cut"), node, st.booleans()),
    st.tuples(st.just("part"), st.sampled_from([0.01, 0.2])),
    st.tuples(st.just("cliff"), node, way, st.sampled_from([0.05, 0.5])),
    st.tuples(st.just("replay"), node, way),
    st.tuples(st.just("count")),
)
pauses = st.sampled_from([0.0, 0.0, 0.00101, 0.00507, 0.03013, 0.2017])
"""Such that no step comes when a packet arrives: which of two timers for one time was set first is a matter
of looking ahead."""
scripts = st.lists(st.tuples(pauses, step), min_size=1, max_size=25)
TRACE = Trace((TracePoint(0.0, 2e5), TracePoint(0.05, 0.0), TracePoint(0.1, 4e6, 0.02)), 0.2)


async def carry_out(lab: Lab, ports: dict[str, Any], one: tuple[Any, ...], number: int) -> object:
    match one:
        case "send", source, target, count, size:
            for index in range(count):
                ports[source].send(bytes([number, index]) * (size // 2), ports[target].address)
        case "set", name, which, values:
            await lab.link(name).set(direction=which, **values)
        case "cut", name, True:
            await lab.link(name).down()
        case "cut", name, False:
            await lab.link(name).up()
        case "part", for_s:
            await lab.inject(Partition({"a"}, {"b", "c"}), for_s=for_s)
        case "cliff", name, which, for_s:
            await lab.inject(RateCliff(name, which, 2e5), for_s=for_s)
        case "replay", name, which:
            lab.link(name).replay(TRACE, direction=which, loop=False)
        case ("count",):
            return await lab.counters()
    return None


def seen(spec: LabSpec, script: list[tuple[float, tuple[Any, ...]]], *, watched: bool) -> list[object]:
    """All that can be seen of a lab. While it is watched by captures, nothing is done late."""

    async def run() -> list[object]:
        found: list[object] = []
        async with Lab(spec) as lab:
            if watched:
                for name in NAMES:
                    await lab.capture(name, "/dev/null")
            ports = {name: await lab.datagram_port(name, 7) for name in NAMES}
            for name, port in ports.items():
                port.on_datagram = lambda data, source, name=name: found.append(
                    (lab.now(), name, source, data)
                )
            for number, (pause_s, one) in enumerate(script):
                await asyncio.sleep(pause_s)
                found.append(await carry_out(lab, ports, one, number))
            await asyncio.sleep(30.0)
            found.append(await lab.counters())
        return found

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(run())


@settings(max_examples=30)
@given(script=scripts, egress=shapes, ingress=shapes, seed=st.integers(0, 9))
def test_looking_ahead_changes_nothing(script, egress, ingress, seed):
    links = tuple(LinkSpec(name, egress, ingress, live_impairments=True) for name in NAMES)
    spec = LabSpec(links=links, engine="simulated", seed=seed)
    assert seen(spec, script, watched=False) == seen(spec, script, watched=True)


@settings(max_examples=30)
@given(script=scripts, egress=shapes, ingress=shapes)
def test_every_frame_arrives_or_is_dropped(script, egress, ingress):
    links = tuple(
        LinkSpec(name, replace(egress, duplicate=0.0), ingress, live_impairments=True) for name in NAMES
    )
    # A trace that is stopped by the end of the lab may leave a link closed, with frames in its queue.
    script = [(pause_s, one) for pause_s, one in script if one[0] != "replay"]
    *_, counters = seen(LabSpec(links=links, engine="simulated"), script, watched=False)
    for name in NAMES:
        sent = sum(one[3] for _, one in script if one[:2] == ("send", name) and one[2] != name)
        way = counters[name].egress
        assert (way.packets + way.drops, way.backlog_bytes) == (sent, 0)
