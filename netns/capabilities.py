"""Finds out which parts of a lab this host can make, by making them in a scratch namespace that leaves
nothing behind."""

from __future__ import annotations

import asyncio
import functools
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from netns import requests
from netns.errors import LabError, PrivilegeError
from netns.impairment import BurstLoss, Impairment
from netns.namespaces import Namespace
from netns.netlink import NetlinkRequest
from netns.qdiscs import Netem, RateLimit

_LOOPBACK_INDEX = 1
# All impairments at once: a netem that refuses one of them is no use for a lab that may ask for it later.
_EVERYTHING = Impairment(
    delay_s=0.01, jitter_s=0.001, burst_loss=BurstLoss(0.1, 0.5), reorder=0.1, duplicate=0.1, corrupt=0.1
)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """One flag for each ability. ``reasons`` says why an ability is missing, by the name of its flag."""

    privileged: bool = False
    namespaces: bool = False
    veth: bool = False
    bridge: bool = False
    htb: bool = False
    netem: bool = False
    tun: bool = False
    sched_fifo: bool = False
    reasons: dict[str, str] = field(default_factory=dict)


async def probe() -> Capabilities:
    """Tries out every ability, which takes some milliseconds. Without privileges it raises nothing: the
    result says what is missing."""
    return await asyncio.to_thread(probe_blocking)


def probe_blocking() -> Capabilities:
    """``probe`` without an event loop. It uses a thread of its own, because it changes the namespace and the
    scheduling of the thread in which it runs."""
    result: list[Capabilities] = []
    thread = threading.Thread(target=lambda: result.append(_probe()), name="netns-probe")
    thread.start()
    thread.join()
    return result[0]


@functools.cache
def host_capabilities() -> Capabilities:
    """The result of ``probe_blocking``, which is asked once per process: a host does not change between two
    labs."""
    return probe_blocking()


def _probe() -> Capabilities:
    found: dict[str, bool] = {}
    reasons: dict[str, str] = {}

    def attempt(name: str, action: Callable[[], object]) -> None:
        try:
            action()
            found[name] = True
        except LabError as error:
            reasons[name] = str(error)
        except OSError as error:
            reasons[name] = f"{error.strerror}"

    attempt("sched_fifo", _try_real_time)
    # Without a namespace nothing else can be tried: the host's own is never touched.
    try:
        scratch = Namespace("probe")
    except PrivilegeError as error:
        return Capabilities(**found, reasons=reasons | {"privileged": str(error), "namespaces": str(error)})
    except LabError as error:
        return Capabilities(
            privileged=os.geteuid() == 0, **found, reasons=reasons | {"namespaces": str(error)}
        )
    try:
        found |= {"privileged": True, "namespaces": True}
        route = scratch.route
        attempt("veth", lambda: route.execute([_scratch_veth(scratch)]))
        attempt("bridge", lambda: route.execute([requests.add_bridge("br0", 20, 1500)]))
        attempt(
            "htb",
            lambda: route.execute(
                requests.add_qdiscs(_LOOPBACK_INDEX, [RateLimit(1e6, 1514, 2000, 9000)], "a device")
            ),
        )
        # On the veth of above, as in a lab. The devices are never taken down: they go with the namespace.
        route_netem = Netem(_EVERYTHING, 1000, 1)
        attempt("netem", lambda: route.execute(requests.add_qdiscs(10, [route_netem], "a device")))
        attempt("tun", lambda: os.close(scratch.tap("tap0", 30)))
    finally:
        scratch.close()
    return Capabilities(**found, reasons=reasons)


def _scratch_veth(scratch: Namespace) -> NetlinkRequest:
    return requests.add_veth("v0", 10, "v1", 11, "02:00:00:00:00:01", scratch.fd, 1500)


def _try_real_time() -> None:
    # The policy is set for this thread only, which ends with the probe.
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError as error:
        raise PrivilegeError(
            f"no real-time priority ({error.strerror}): needs CAP_SYS_NICE; "
            "without it the relay is late under load"
        ) from error
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
