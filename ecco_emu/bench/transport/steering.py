"""What makes a flow's bandwidth follow its weight: the one place where a mapping becomes configurations.

``simulated`` and ``real`` ask here and know nothing of mappings themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ecco_emu.bench.transport.experiment import Cell
from ecco_emu.control.shares import gaimd_alpha
from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.congestion.gaimd import proportional_alpha_sum


class Steered(Protocol):
    """A sender: a ``Connection``, or the ``Peer`` around one."""

    def set_alpha(self, alpha: float) -> None: ...


def client_config(cell: Cell, flow: int) -> TransportConfig:
    """The sender's configuration."""
    return TransportConfig(alpha=_alphas(cell, cell.weights)[flow], follow_shares=reports_shares(cell))


def reports_shares(cell: Cell) -> bool:
    """Whether the receiver tells each flow what share it has."""
    return cell.mapping == "auto"


def server_config(cell: Cell) -> TransportConfig:
    """The receiver's, one for all flows."""
    return TransportConfig()


def reweigh(senders: Sequence[Steered], cell: Cell, weights: Sequence[float]) -> None:
    """The flows' weights are ``weights`` from now on; a receiver that reports shares must be told too."""
    for sender, alpha in zip(senders, _alphas(cell, weights), strict=True):
        sender.set_alpha(alpha)


def _alphas(cell: Cell, weights: Sequence[float]) -> list[float]:
    total = sum(weights)
    alpha_sum = cell.alpha_sum
    if alpha_sum is None:
        alpha_sum = proportional_alpha_sum(cell.rate_bps, sum(cell.rtts_s) / len(cell.rtts_s), cell.queue_s)
    return [gaimd_alpha(weight / total, 1, alpha_sum=alpha_sum, mapping=cell.mapping) for weight in weights]
