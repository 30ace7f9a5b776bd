"""The cost of a lab: the time to build it and to take it down, and the relay's CPU; with Mininet beside
it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import statistics
import subprocess
import time
from pathlib import Path

from ecco_emu.bench.measurement import Measurement
from ecco_emu.bench.net.fidelity import LINKS
from ecco_emu.bench.net.traffic import exchange, stamping
from netns import requests
from netns.lab import Lab
from netns.namespaces import Namespace, entered
from netns.netlink import RouteSocket
from netns.spec import LabSpec, LinkSpec, Shape

_BUILD_TARGETS_S = {22: 0.2, 100: 0.8, 256: 2.5}
_TEARDOWN_TARGETS_S = {256: 0.5}
_PYTHON = "/usr/bin/python3"
"""The system's Python: a distribution installs Mininet there, never in a virtual environment."""


def shaped(count: int, delay_s: float = 0.0) -> LabSpec:
    """``count`` cameras at 1 Mbit/s with a one-way delay, and a server; its ingress is their common
    bottleneck."""
    shape = Shape(rate_bps=1e6, queue_s=0.2, delay_s=delay_s)
    links = tuple(LinkSpec(f"cam{number}", egress=shape) for number in range(count))
    return LabSpec(links=(*links, LinkSpec("server", ingress=Shape(rate_bps=count * 5e5, queue_s=0.2))))


async def build_times(repeats: int = 3) -> list[Measurement]:
    """Times to build and to take down labs of several sizes, without and with delays: medians of
    ``repeats``."""
    figures = []
    for delay_s, what in ((0.0, "cameras"), (0.01, "cameras with a delay")):
        for count in (22, 100, 256):
            up, down = [], []
            for _ in range(repeats):
                start = time.perf_counter()
                async with Lab(shaped(count, delay_s)):
                    up.append(time.perf_counter() - start)
                    start = time.perf_counter()
                down.append(time.perf_counter() - start)
                await asyncio.sleep(
                    0.5 + 0.004 * count
                )  # the kernel must have removed this lab before the next is timed
            gone_s = await _until_gone(shaped(count, delay_s))
            figures += [
                Measurement(f"build {count} {what}", statistics.median(up), "s", _BUILD_TARGETS_S[count]),
                Measurement(
                    f"take down {count} {what}", statistics.median(down), "s", _TEARDOWN_TARGETS_S.get(count)
                ),
                Measurement(
                    f"take down {count} {what}, until the kernel has removed all",
                    gone_s,
                    "s",
                    _TEARDOWN_TARGETS_S.get(count),
                ),
            ]
    return figures


async def _until_gone(spec: LabSpec) -> float:
    """Seconds from the end of a lab to the end of its last namespace.

    The kernel removes namespaces in the background, and tells nobody. But each namespace here has one end of
    a veth pair whose other end is in a namespace of ours: that end disappears when its peer's namespace does.
    """
    ours = await asyncio.to_thread(Namespace, "watch")
    try:
        async with Lab(spec) as lab:
            for number, link in enumerate(spec.links):
                await asyncio.to_thread(
                    _tie, lab.namespace_path(link.name), ours, f"w{number}", 5000 + number
                )
            start = time.perf_counter()
        await asyncio.to_thread(_until_untied, ours)
        return time.perf_counter() - start
    finally:
        ours.close()


def _until_untied(ours: Namespace) -> None:
    while any(name.startswith("w") for name in ours.route.device_stats()):
        time.sleep(0.01)


def _tie(path: str, ours: Namespace, name: str, index: int) -> None:
    theirs = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with entered(theirs):
            route = RouteSocket()
        try:
            mac = f"02:00:00:00:{index >> 8:02x}:{index & 255:02x}"
            route.execute([requests.add_veth(name, index, name, index, mac, ours.fd, 1500)])
        finally:
            route.close()
    finally:
        os.close(theirs)


async def relay_cost(seconds: float = 10.0) -> list[Measurement]:
    """The relay's share of a core while cameras send 1 Mbit/s each and every second packet is
    acknowledged."""
    shape = Shape(delay_s=0.01)
    links = tuple(LinkSpec(f"cam{number}", egress=shape, ingress=shape) for number in range(LINKS))
    async with Lab(LabSpec(links=(*links, LinkSpec("server")), engine="relay")) as lab:
        pairs = [
            (await lab.udp_socket(link.name), stamping(await lab.udp_socket("server"))) for link in links
        ]
        assert lab.relay_pid is not None
        before = _cpu_s(lab.relay_pid)
        received = await asyncio.to_thread(exchange, pairs, rate_bps=1e6, for_s=seconds, ack_every=2)
        share = 100 * (_cpu_s(lab.relay_pid) - before) / seconds
        for pair in pairs:
            for sock in pair:
                sock.close()
    packets = sum(len(one.times) for one in received)
    return [
        Measurement(f"relay, {LINKS} cameras at 1 Mbit/s with acks", share, "% of a core", 15.0),
        Measurement("relay, CPU per packet", 1e6 * share / 100 * seconds / (1.5 * packets), "µs"),
    ]


def _cpu_s(pid: int) -> float:
    # The scheduler's exact account. The one in /proc/PID/stat is sampled by a clock tick, and the relay's
    # timers fall into step with that.
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) * 1e-9


_MININET = """
import json, sys, time
from mininet.link import TCLink
from mininet.net import Mininet
from mininet.nodelib import LinuxBridge
from mininet.log import setLogLevel
setLogLevel("error")
count = int(sys.argv[1])
start = time.time()
net = Mininet(switch=LinuxBridge, controller=None, link=TCLink, autoSetMacs=True, autoStaticArp=True)
switch = net.addSwitch("s1")
for number in range(count):
    net.addLink(net.addHost("h%d" % number), switch, bw=1)
net.addLink(net.addHost("server"), switch, bw=count * 0.5)
net.start()
up = time.time() - start
start = time.time()
net.stop()
print(json.dumps([up, time.time() - start]))
"""


def mininet_missing() -> str | None:
    """The reason why Mininet cannot be measured on this host, or None if it can."""
    for tool in ("brctl", "tc"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    probe = subprocess.run([_PYTHON, "-c", "import mininet.net"], capture_output=True, check=False)
    return None if probe.returncode == 0 else "mininet is not installed"


async def mininet_times(counts: tuple[int, ...] = (22, 100)) -> list[Measurement]:
    """Mininet's times for the same topology. Mininet shapes both ends of each link; that is its default.

    Raises ``RuntimeError`` if Mininet fails.
    """
    figures = []
    for count in counts:
        process = await asyncio.create_subprocess_exec(
            _PYTHON,
            "-c",
            _MININET,
            str(count),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"Mininet failed: {errors.decode(errors='replace').strip()[-500:]}")
        up, down = json.loads(output.splitlines()[-1])
        figures += [
            Measurement(f"Mininet: build {count} cameras", up, "s"),
            Measurement(f"Mininet: take down {count} cameras", down, "s"),
        ]
    return figures
