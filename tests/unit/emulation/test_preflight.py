"""What is told of a host before a run: by doctor, plan and run alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import netns
from ecco_emu.core.errors import HostError
from ecco_emu.emulation import doctor, preflight
from ecco_emu.emulation.plan import plan
from ecco_emu.scenario import loading, schema
from netns.capabilities import Capabilities
from netns.errors import CapabilityError

QUICKSTART = Path("scenarios/quickstart.yaml")
ABLE = Capabilities(
    privileged=True,
    tried=True,
    namespaces=True,
    sockets=True,
    veth=True,
    bridge=True,
    htb=True,
    tun=True,
    sched_fifo=True,
    unfiltered=True,
    reasons={"netem": "not in this kernel"},
)
UNPRIVILEGED = replace(
    ABLE, privileged=False, namespaces=False, sockets=False, reasons={"privileged": "may not do it"}
)
UNKNOWN = Capabilities(reasons={"privileged": "may not do it"})


@pytest.fixture
def scenario() -> schema.Scenario:
    return loading.load(QUICKSTART, files=False).scenario


def on(host: Capabilities, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netns, "host_capabilities", lambda: host)


async def test_a_host_that_can_has_its_caveats_returned(
    scenario: schema.Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(ABLE, monkeypatch)
    assert await preflight.require(scenario) == ABLE.caveats


async def test_a_simulated_run_asks_the_host_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    on(UNPRIVILEGED, monkeypatch)
    simulated = loading.load(QUICKSTART, files=False, engine="simulated").scenario
    assert await preflight.require(simulated) == ()


@pytest.mark.parametrize(
    ("host", "said"),
    [
        (UNPRIVILEGED, "can build no network of namespaces: may not do it: "),
        (replace(ABLE, tun=False, reasons={"tun": "no /dev/net/tun"}), "tun: no /dev/net/tun"),
        (replace(ABLE, htb=False, reasons={"htb": "no htb"}), "htb: no htb"),
    ],
    ids=["privileges", "tun", "htb"],
)
async def test_a_host_that_cannot_is_refused_before_anything_is_started(
    host: Capabilities, said: str, scenario: schema.Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(host, monkeypatch)
    with pytest.raises(HostError) as refused:
        await preflight.require(scenario)
    assert said in str(refused.value)


async def test_too_few_open_files_are_told_first_too(
    scenario: schema.Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def no_room(more: int) -> None:
        asked.append(more)
        raise CapabilityError("too few open files are allowed")

    on(ABLE, monkeypatch)
    monkeypatch.setattr(preflight, "make_room", no_room)
    with pytest.raises(HostError, match="too few open files"):
        await preflight.require(scenario)
    assert asked[0] > 5 * len(scenario.cameras)


@pytest.mark.parametrize(
    ("host", "engine"),
    [
        (ABLE, "relay"),
        (UNPRIVILEGED, "relay"),  # as the run of somebody with privileges
        (replace(UNPRIVILEGED, netem=True), "kernel"),
    ],
)
async def test_a_plan_shows_the_engine_that_a_run_would_take(
    host: Capabilities, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(host, monkeypatch)
    lines = await plan(QUICKSTART)
    assert lines[0].startswith(f"engine {engine},")
    told = any("a run is not possible like this: may not do it" in line for line in lines)
    assert told == (not host.privileged)


async def test_a_plan_says_what_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    on(UNKNOWN, monkeypatch)
    assert any("it is not known what this kernel can do" in line for line in await plan(QUICKSTART))


def examined(host: Capabilities, monkeypatch: pytest.MonkeyPatch) -> dict[str, doctor.HostFinding]:
    on(host, monkeypatch)
    return {finding.what: finding for finding in doctor.examine()}


def test_the_doctor_tells_privileges_from_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    found = examined(UNPRIVILEGED, monkeypatch)
    assert (found["privileges"].state, found["privileges"].found) == ("missing", "may not do it")
    assert found["veth pairs"].state == "ok"
    found = examined(replace(ABLE, veth=False, reasons={"veth": "no such kind"}), monkeypatch)
    assert found["privileges"].state == "ok"
    assert "modprobe veth" in found["veth pairs"].way_out
    found = examined(UNKNOWN, monkeypatch)
    assert found["the kernel's abilities"].state == "degraded"
    assert "veth pairs" not in found


def test_the_doctor_warns_of_the_hosts_firewall(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"unfiltered": "the host's firewall rules see the lab's frames"}
    found = examined(replace(ABLE, unfiltered=False, reasons=told), monkeypatch)
    assert found["firewall"].state == "degraded"
    assert "firewall" not in examined(ABLE, monkeypatch)
