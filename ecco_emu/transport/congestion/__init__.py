"""How much may be on its way: congestion windows and pacing, sans-IO.

``window`` is what all algorithms share (slow start, one cut per event, idleness, outages); ``gaimd`` is the
paper's, ``shared`` is GAIMD steered by what the server says about shares (mapping ``auto``), ``cubic`` and
``fixed`` are there to compare with. ``queueing`` remembers how full the path's queue gets. No clock, no
socket, no packets: bytes, times and round-trip figures come in as arguments.
"""

from __future__ import annotations

from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.congestion.controller import Controller
from ecco_emu.transport.congestion.cubic import Cubic
from ecco_emu.transport.congestion.fixed import Fixed
from ecco_emu.transport.congestion.gaimd import Gaimd
from ecco_emu.transport.congestion.shared import SharedGaimd
from ecco_emu.transport.rtt import RttEstimator

__all__ = ["Controller", "Cubic", "Fixed", "Gaimd", "SharedGaimd", "make_controller"]


def make_controller(config: TransportConfig, rtt: RttEstimator) -> Controller:
    """The controller a configuration asks for. ``rtt``: the connection's own estimator, kept by reference."""
    if config.algorithm == "cubic":
        return Cubic(config, rtt)
    if config.algorithm == "fixed":
        return Fixed(config, rtt)
    return SharedGaimd(config, rtt) if config.follow_shares else Gaimd(config, rtt)
