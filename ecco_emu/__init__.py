"""ecco-emu: a whole continuous-learning video-analytics system on one Linux host.

Follow a frame through the packages in this order: ``world`` renders it, ``camera`` samples it,
``video`` encodes it, ``transport`` carries it, ``server`` receives it, ``trainer`` learns from it,
``control`` and ``policies`` decide who gets the GPU and the bandwidth, ``emulation`` runs the lot.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ecco_emu.core.errors import EccoError, HostError, ScenarioError
    from ecco_emu.emulation.emulation import Emulation
    from ecco_emu.emulation.injector import LinkHandle
    from ecco_emu.host.warm import WarmWorkers
    from ecco_emu.record.metrics import RunMetrics

__version__ = "0.1.0"

_HOME = {
    "EccoError": "core.errors",
    "Emulation": "emulation.emulation",
    "HostError": "core.errors",
    "LinkHandle": "emulation.injector",
    "RunMetrics": "record.metrics",
    "ScenarioError": "core.errors",
    "WarmWorkers": "host.warm",
}
"""The names that a script needs, by their modules, which are imported when a name is first used."""

__all__ = ["EccoError", "Emulation", "HostError", "LinkHandle", "RunMetrics", "ScenarioError", "WarmWorkers"]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'ecco_emu' has no attribute {name!r}")
    return getattr(import_module(f"ecco_emu.{_HOME[name]}"), name)
