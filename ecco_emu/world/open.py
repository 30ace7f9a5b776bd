"""Opens a scenario's world, whichever kind it is. The only module that knows all kinds of pictures.

A world without pictures (``world.sketch``) is opened where nothing is trained: ``emulation.modelled``.
"""

from __future__ import annotations

from ecco_emu.host.warm import OpenWorker
from ecco_emu.host.workers import WorkerProcess
from ecco_emu.scenario import schema
from ecco_emu.world.source import World
from ecco_emu.world.town.world import TownWorld


def open_world(scenario: schema.Scenario, open_worker: OpenWorker = WorkerProcess) -> World:
    """The world that the scenario describes, not yet started. ``open_worker`` makes its process."""
    return TownWorld(scenario, open_worker)
