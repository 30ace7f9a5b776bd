"""How much may be on its way: congestion windows and pacing, sans-IO.

``algorithms`` chooses. ``window`` is what all but ``fixed`` share (slow start, one cut per event, idleness,
outages); ``gaimd`` is the paper's, ``shared`` is GAIMD steered by what the server says about shares (mapping
``auto``), ``cubic`` and ``fixed`` are there to compare with. ``queueing`` remembers how full the path's queue
gets. No clock, no socket, no packets: bytes, times and round-trip figures come in as arguments.
"""

from __future__ import annotations

from ecco_emu.transport.congestion.algorithms import make_controller
from ecco_emu.transport.congestion.controller import Controller
from ecco_emu.transport.congestion.cubic import Cubic
from ecco_emu.transport.congestion.fixed import Fixed
from ecco_emu.transport.congestion.gaimd import Gaimd
from ecco_emu.transport.congestion.shared import SharedGaimd

__all__ = ["Controller", "Cubic", "Fixed", "Gaimd", "SharedGaimd", "make_controller"]
