"""How many processors this process may use, which can be fewer than the host has."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def allowed_processors(proc: Path = Path("/proc/self"), cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """The processors that this process may use at one time, at least one: the least of its affinity (taskset,
    cpuset) and of the CPU quotas of its control groups (containers, systemd).

    A library that starts a thread for each processor of the host runs many times slower under either limit. A
    quota of 1.5 processors counts as one, because all threads are held up together when it is used up.
    """
    quotas = list(_quotas(proc, cgroups))
    return max(1, int(min([len(os.sched_getaffinity(0)), *quotas])))


def _quotas(proc: Path, cgroups: Path) -> Iterator[float]:
    """The quotas, in processors, of this process's control group and of all those above it."""
    lines = []
    with contextlib.suppress(OSError):
        lines = (proc / "cgroup").read_text().splitlines()
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        # Version 1 has a hierarchy for each controller, version 2 one without a name.
        root = cgroups / controllers
        own = root / path.lstrip("/")
        # In a container the path may be the host's, which is not mounted: the root is the container's group.
        for group in (own, *own.parents):
            quota = _quota(group)
            if quota is not None:
                yield quota
            if group == root:
                break


def _quota(group: Path) -> float | None:
    """The quota of one control group in processors; None without one."""
    with contextlib.suppress(OSError, ValueError):
        quota, period = (group / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        quota_us = int((group / "cpu.cfs_quota_us").read_text())
        return None if quota_us < 0 else quota_us / int((group / "cpu.cfs_period_us").read_text())
    return None
