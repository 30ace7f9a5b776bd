"""Congestion control and pacing, sans-IO: how many bytes may be in flight, and how fast they leave.

``algorithms`` chooses the controller of a configuration. ``gaimd`` is the paper's algorithm. ``shared`` is
GAIMD steered by the server's share reports (mapping ``auto``). ``cubic`` and ``fixed`` serve as comparisons.
``window`` holds the common parts of all but ``fixed``: slow start, one cut per congestion event, idle times
and outages. ``queueing`` remembers how full the path's queue gets. There is no clock, socket or packet here:
bytes, times and round-trip figures are arguments.
"""

from __future__ import annotations

from ecco_emu.transport.congestion.algorithms import make_controller
from ecco_emu.transport.congestion.controller import Controller
from ecco_emu.transport.congestion.cubic import Cubic
from ecco_emu.transport.congestion.fixed import Fixed
from ecco_emu.transport.congestion.gaimd import Gaimd
from ecco_emu.transport.congestion.shared import SharedGaimd

__all__ = ["Controller", "Cubic", "Fixed", "Gaimd", "SharedGaimd", "make_controller"]
