"""The processors that a process may use: affinity and quotas of control groups, in both versions."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ecco_emu.host.processors import allowed_processors

ALLOWED = {0, 2, 3, 5, 8}

QUOTAS = {
    "no control group": ("", {}, 5),
    "no quota": ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n"}, 5),
    "its own": ("0::/a/b\n", {"a/b/cpu.max": "250000 100000\n"}, 2),
    "of a group above": ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "300000 100000\n"}, 3),
    "less than one": ("0::/\n", {"cpu.max": "20000 100000\n"}, 1),
    "more than the affinity": ("0::/\n", {"cpu.max": "900000 100000\n"}, 5),
    "a path of the host's": ("0::/../x/y\n", {"cpu.max": "200000 100000\n"}, 2),
    "version 1": (
        "4:memory:/a\n3:cpu,cpuacct:/a\n0::/\n",
        {"cpu,cpuacct/a/cpu.cfs_quota_us": "400000\n", "cpu,cpuacct/a/cpu.cfs_period_us": "100000\n"},
        4,
    ),
    "version 1 without one": (
        "3:cpu:/a\n",
        {"cpu/a/cpu.cfs_quota_us": "-1\n", "cpu/a/cpu.cfs_period_us": "100000\n"},
        5,
    ),
}


@pytest.mark.parametrize("case", QUOTAS)
def test_the_least_of_affinity_and_quotas_counts(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups, files, expected = QUOTAS[case]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: ALLOWED)
    (tmp_path / "cgroup").write_text(groups)
    for name, text in files.items():
        file = tmp_path / "sys" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert allowed_processors(tmp_path, tmp_path / "sys") == expected


def test_the_affinity_counts_not_the_hosts_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert allowed_processors() <= len(os.sched_getaffinity(0))
