"""Finds out which parts of a lab this host can make, by making them in a scratch namespace that leaves
nothing behind.

A process without privileges cannot, but its kernel can be tried all the same where it allows user namespaces:
a child process tries it in one, whose root it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import functools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from netns import requests
from netns.errors import LabError, PrivilegeError
from netns.impairment import BurstLoss, Impairment
from netns.namespaces import Namespace
from netns.netlink import NetlinkRequest
from netns.privileges import way_out
from netns.qdiscs import Netem, RateLimit

_LOOPBACK_INDEX = 1
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PATIENCE_S = 20.0
_SOCKET_BUFFER_BYTES = 1 << 20
# All impairments at once: a netem that refuses one of them is no use for a lab that may ask for it later.
_EVERYTHING = Impairment(
    delay_s=0.01, jitter_s=0.001, burst_loss=BurstLoss(0.1, 0.5), reorder=0.1, duplicate=0.1, corrupt=0.1
)
KERNEL = ("veth", "bridge", "htb", "netem", "tun")
"""The abilities that are the kernel's, and not the process's."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """One flag for each ability. ``reasons`` says why an ability is missing, by the name of its flag.

    ``privileged``: this process may do everything that a lab needs. ``tried``: the flags of the kernel's
    abilities are facts; without privileges they may be unknown, and are False then. ``unfiltered``: the
    host's firewall rules can be kept off the lab's frames.
    """

    privileged: bool = False
    tried: bool = False
    namespaces: bool = False
    sockets: bool = False
    veth: bool = False
    bridge: bool = False
    htb: bool = False
    netem: bool = False
    tun: bool = False
    sched_fifo: bool = False
    unfiltered: bool = False
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def obstacle(self) -> str | None:
        """Why this process can build no lab at all, with the way out; None if it can."""
        if not self.privileged:
            return f"{self.reasons['privileged']}: {way_out()}"
        for name in ("namespaces", "veth", "bridge"):
            if not getattr(self, name):
                return f"{name}: {self.reasons[name]}"
        return None

    @property
    def caveats(self) -> list[str]:
        """Properties of this host that change a lab's results, for the record of a measurement."""
        return [self.reasons["unfiltered"]] if "unfiltered" in self.reasons else []

    def as_root(self) -> Capabilities | None:
        """The capabilities of a process with all privileges on this host; None if they are not known."""
        if not self.tried:
            return None
        return replace(self, privileged=True, namespaces=True, sockets=True)


async def probe() -> Capabilities:
    """Tries out every ability, which takes some milliseconds; without privileges some tenths of a second. It
    raises nothing: the result says what is missing."""
    return await asyncio.to_thread(probe_blocking)


def probe_blocking() -> Capabilities:
    """``probe`` without an event loop. It uses a thread of its own, because it changes the namespace and the
    scheduling of the thread in which it runs."""
    result: list[Capabilities] = []
    thread = threading.Thread(target=lambda: result.append(_probe()), name="netns-probe")
    thread.start()
    thread.join()
    own = result[0]
    return own if own.privileged else _with_the_kernels(own)


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
        except PrivilegeError as error:
            reasons[name] = error.what
            reasons.setdefault("privileged", error.what)  # the first one, of which the others may follow
        except LabError as error:
            reasons[name] = str(error)
        except OSError as error:
            reasons[name] = f"{error.strerror}"

    scratch: list[Namespace] = []
    # Without a namespace nothing else can be tried: the host's own is never touched.
    attempt("namespaces", lambda: scratch.append(Namespace("probe")))
    for made in scratch:
        try:
            _try_devices(made, attempt)
        finally:
            made.close()
        found["unfiltered"] = not made.filtered
        if made.filtered:
            reasons["unfiltered"] = (
                "the host's firewall rules see the lab's frames: net.bridge.bridge-nf-call-iptables is on, "
                "and /proc/sys is read-only (unload br_netfilter, or make /proc/sys writable)"
            )
    may = "privileged" not in reasons
    _try_real_time(found, reasons)
    return Capabilities(privileged=may, tried=may, **found, reasons=reasons)


def _try_devices(scratch: Namespace, attempt: Callable[[str, Callable[[], object]], None]) -> None:
    """Tries what a lab makes inside its namespaces. The devices are never taken down: they go with these."""
    route = scratch.route
    attempt("veth", lambda: route.execute([_scratch_veth(scratch)]))
    attempt("bridge", lambda: route.execute([requests.add_bridge("br0", 20, 1500)]))
    limit = RateLimit(1e6, 1514, 2000, 9000)
    attempt("htb", lambda: route.execute(requests.add_qdiscs(_LOOPBACK_INDEX, [limit], "a device")))
    # On the veth of above, as in a lab.
    netem = Netem(_EVERYTHING, 1000, 1)
    attempt("netem", lambda: route.execute(requests.add_qdiscs(10, [netem], "a device")))
    attempt("tun", lambda: os.close(scratch.tap("tap0", 30)))
    attempt("sockets", lambda: scratch.udp_socket("0.0.0.0", 0, _SOCKET_BUFFER_BYTES).close())


def _scratch_veth(scratch: Namespace) -> NetlinkRequest:
    return requests.add_veth("v0", 10, "v1", 11, "02:00:00:00:00:01", scratch.fd, 1500)


def _try_real_time(found: dict[str, bool], reasons: dict[str, str]) -> None:
    # The policy is set for this thread only, which ends with the probe. A lab can do without it.
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError as error:
        reasons["sched_fifo"] = (
            f"no real-time priority ({error.strerror}): needs CAP_SYS_NICE; without it the relay is late "
            "under load"
        )
        return
    found["sched_fifo"] = True
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def _with_the_kernels(own: Capabilities) -> Capabilities:
    """``own``, with the kernel's abilities as a child process finds them in a user namespace of its own."""
    package_root = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join([package_root, *filter(None, sys.path)])
    # A process of its own, because a process with threads may not enter a user namespace.
    with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError):
        ran = subprocess.run(
            [sys.executable, "-P", "-m", "netns.capabilities"],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE_S,
            check=True,
        )
        tried = json.loads(ran.stdout)
        reasons = {name: text for name, text in own.reasons.items() if name not in KERNEL} | tried["reasons"]
        return replace(own, tried=True, reasons=reasons, **tried["found"])
    return own


def _try_in_user_namespace() -> str:
    """What ``_with_the_kernels`` reads. Raises ``OSError`` where user namespaces are not allowed."""
    # Both at once: the network namespace that the probe comes back to must belong to the user namespace.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "no user namespace")
    probed = _probe()
    return json.dumps(
        {
            "found": {name: getattr(probed, name) for name in KERNEL},
            "reasons": {name: text for name, text in probed.reasons.items() if name in KERNEL},
        }
    )


if __name__ == "__main__":
    sys.stdout.write(_try_in_user_namespace())
