"""Chooses the controller that a configuration asks for."""

from __future__ import annotations

from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.congestion.controller import Controller
from ecco_emu.transport.congestion.cubic import Cubic
from ecco_emu.transport.congestion.fixed import Fixed
from ecco_emu.transport.congestion.gaimd import Gaimd
from ecco_emu.transport.congestion.shared import SharedGaimd
from ecco_emu.transport.rtt import RttEstimator


def make_controller(config: TransportConfig, rtt: RttEstimator) -> Controller:
    """The controller for one connection. ``rtt``: the connection's own estimator, kept by reference."""
    if config.algorithm == "cubic":
        return Cubic(config, rtt)
    if config.algorithm == "fixed":
        return Fixed(config, rtt)
    return SharedGaimd(config, rtt) if config.follow_shares else Gaimd(config, rtt)
