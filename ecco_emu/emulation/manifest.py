"""The facts that it takes to repeat a run: versions, kernel, engine, seed, dilation, models by hash."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from typing import Any

import ecco_emu
from ecco_emu.core.ids import ModelHash
from ecco_emu.emulation.calibration import HostSpeed
from ecco_emu.host.processors import allowed_processors
from ecco_emu.scenario import schema

MANIFEST_VERSION = 1
PACKAGES = ("torch", "ultralytics", "av", "numpy", "pyroute2", "uvloop", "panda3d", "river")


def manifest(
    scenario: schema.Scenario,
    *,
    source: str,
    engine: str,
    dilation: float,
    device: dict[str, Any],
    student: ModelHash,
    speed: HostSpeed | None,
    caveats: Sequence[str],
    replay_of: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The content of manifest.json. ``replay_of`` is there in replays alone."""
    return {
        "version": MANIFEST_VERSION,
        "ecco_emu": ecco_emu.__version__,
        "scenario": source,
        "name": scenario.name,
        **({} if replay_of is None else {"replay_of": dict(replay_of)}),
        "seed": scenario.seed,
        "policy": scenario.policy.name,
        "engine": engine,
        "dilation": dilation,
        "dilation_is": _origin(scenario, speed),
        "trainer": {"backend": scenario.trainer.backend, "gpus": scenario.trainer.gpus, **device},
        "student": {"name": scenario.trainer.student, "hash": student},
        "teacher": scenario.trainer.teacher,
        "measured_speeds": None if speed is None else asdict(speed),
        "host": {
            "kernel": platform.release(),
            "machine": platform.machine(),
            "python": platform.python_version(),
            "cores": allowed_processors(),
            "caveats": list(caveats),
            "packages": {name: _version(name) for name in PACKAGES},
        },
    }


def _origin(scenario: schema.Scenario, speed: HostSpeed | None) -> str:
    """Where the dilation is from: the scenario gives it, or ``auto`` measured this host or did not."""
    if scenario.clock.dilation != "auto":
        return "given"
    return "estimated" if speed is None else "measured"


def _version(package: str) -> str | None:
    """The installed version; None where the package is not installed, as those of an extra may be."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
