"""``ecco-emu doctor``: the abilities of this host, found out by trying, and the way out where one is
missing."""

from __future__ import annotations

import asyncio
import importlib.util
import platform
import resource
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import av.codec
import psutil

import netns
from ecco_emu.emulation import preflight
from ecco_emu.host import extras
from ecco_emu.host.processors import allowed_processors
from ecco_emu.scenario import profiles
from netns.privileges import way_out

ENOUGH_FILES = 2048
"""Open files for a lab of more than 300 cameras."""


@dataclass(frozen=True, slots=True)
class HostFinding:
    """``missing`` means that a run cannot start; ``degraded`` that something stands in."""

    what: str
    state: Literal["ok", "degraded", "missing"]
    found: str
    way_out: str = ""


def examine() -> list[HostFinding]:
    """Everything a run needs, in the order it needs it. Takes well under a second; changes nothing."""
    capabilities = asyncio.run(preflight.host())
    return [
        _python(),
        *_privileges(capabilities),
        *_kernel(capabilities),
        _open_files(),
        _encoder(),
        _extra(extras.YOLO),
        _library("panda3d"),
        _library("uvloop", needed=False),
        _gpus(),
        _students(),
        _size(),
    ]


def _python() -> HostFinding:
    return HostFinding("Python", "ok", f"{platform.python_version()} on Linux {platform.release()}")


def _privileges(host: netns.Capabilities) -> list[HostFinding]:
    if not host.privileged:
        return [HostFinding("privileges", "missing", host.reasons["privileged"], way_out())]
    found = [HostFinding("privileges", "ok", "works")]
    if host.sched_fifo:
        found.append(HostFinding("real-time priority", "ok", "works"))
    else:
        found.append(
            HostFinding(
                "real-time priority",
                "degraded",
                host.reasons["sched_fifo"],
                "CAP_SYS_NICE; without it the relay is late while the CPU is busy",
            )
        )
    if not host.namespaces:
        reason = host.reasons["namespaces"]
        found.append(HostFinding("network namespaces", "missing", reason, "a kernel with CONFIG_NET_NS"))
    found += [
        HostFinding("firewall", "degraded", caveat, "modprobe -r br_netfilter") for caveat in host.caveats
    ]
    return found


def _kernel(host: netns.Capabilities) -> list[HostFinding]:
    """The kernel's abilities, which are known without privileges too where user namespaces are allowed."""
    if not host.tried:
        return [HostFinding("the kernel's abilities", "degraded", "not known without privileges", way_out())]

    def must(what: str, name: str, remedy: str) -> HostFinding:
        if getattr(host, name):
            return HostFinding(what, "ok", "works")
        return HostFinding(what, "missing", host.reasons.get(name, "does not work"), remedy)

    found = [
        must("veth pairs", "veth", "a kernel with CONFIG_VETH (modprobe veth)"),
        must("bridge", "bridge", "a kernel with CONFIG_BRIDGE (modprobe bridge)"),
        must("htb, tbf (rates)", "htb", "a kernel with both (modprobe -a sch_htb sch_tbf)"),
    ]
    if host.netem:
        return [*found, HostFinding("netem (delay, loss)", "ok", "engine: kernel")]
    without = HostFinding(
        "netem (delay, loss)",
        "degraded",
        "not in this kernel; engine: relay, a real-time process",
        "modprobe sch_netem, if your distribution ships it",
    )
    tun = "the tun module (modprobe tun); in a container, --device /dev/net/tun"
    return [*found, without, must("TAP devices (relay)", "tun", tun)]


def _open_files() -> HostFinding:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = f"{hard} at most"
    if hard < ENOUGH_FILES:
        remedy = "ulimit -Hn as root, LimitNOFILE= of a systemd unit, or --ulimit nofile= of a container"
        return HostFinding("open files", "degraded", f"{found}: some five a camera, and a hundred", remedy)
    return HostFinding("open files", "ok", found)


def _encoder() -> HostFinding:
    try:
        av.codec.Codec("libx264", "w")
    except Exception as error:  # the type of PyAV's error differs from release to release
        return HostFinding("H.264 encoder", "missing", str(error), "pip install --force-reinstall av")
    return HostFinding("H.264 encoder", "ok", f"libx264, PyAV {metadata.version('av')}")


def _library(name: str, *, needed: bool = True) -> HostFinding:
    if importlib.util.find_spec(name) is not None:
        return HostFinding(name, "ok", metadata.version(name))
    state: Literal["missing", "degraded"] = "missing" if needed else "degraded"
    return HostFinding(name, state, "not installed", f"pip install {name}")


def _extra(extra: extras.Extra) -> HostFinding:
    if extra.missing() is None:
        versions = ", ".join(f"{module} {metadata.version(module)}" for module in extra.modules)
        return HostFinding(f"extra {extra.name}", "ok", versions)
    return HostFinding(
        f"extra {extra.name}", "missing", f"not installed; {extra.needed_by} need it", extra.install
    )


def _gpus() -> HostFinding:
    devices = sorted(Path("/dev").glob("nvidia[0-9]*"))
    if devices:
        return HostFinding("GPUs", "ok", f"{len(devices)} NVIDIA")
    return HostFinding(
        "GPUs", "degraded", "none: trainer.gpus are virtual, on the CPU", "an NVIDIA GPU and its driver"
    )


def _students() -> HostFinding:
    names = profiles.students()
    if names:
        return HostFinding("students", "ok", ", ".join(names))
    return HostFinding("students", "missing", f"none in {profiles.students_dir()}", "ecco-emu pretrain")


def _size() -> HostFinding:
    memory_gib = psutil.virtual_memory().total / 2**30
    cores = allowed_processors()
    found = f"{cores} cores, {memory_gib:.0f} GiB"
    if cores < 2 or memory_gib < 6:
        return HostFinding("size", "degraded", found, "2 cores and 6 GiB are what `make demo` is made for")
    return HostFinding("size", "ok", found)
