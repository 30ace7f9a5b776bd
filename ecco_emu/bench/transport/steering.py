"""A cell's mapping and weights as a run would configure them (``policies.steering``).

``simulated`` and ``real`` ask here and know nothing of mappings themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ecco_emu.bench.transport.experiment import Cell
from ecco_emu.control.transmission import GpuProportional
from ecco_emu.policies import steering
from ecco_emu.scenario.sections.transport import TransportSection
from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.congestion.gaimd import proportional_alpha_sum

_SETTINGS = TransportSection()
"""A scenario's defaults."""


class Steered(Protocol):
    """A sender: a ``Connection``, or the ``Peer`` around one."""

    def set_alpha(self, alpha: float) -> None: ...


def client_config(cell: Cell, flow: int) -> TransportConfig:
    """The sender's configuration."""
    return steering.camera_config(_SETTINGS, _rule(cell), _alphas(cell, cell.weights)[flow])


def server_config() -> TransportConfig:
    """The receiver's, one for all flows of any cell."""
    return steering.server_config(_SETTINGS)


def reweigh(senders: Sequence[Steered], cell: Cell, weights: Sequence[float]) -> None:
    """The flows' weights are ``weights`` from now on; a receiver that reports shares must be told too."""
    for sender, alpha in zip(senders, _alphas(cell, weights), strict=True):
        sender.set_alpha(alpha)


def reported_weights(cell: Cell, weights: Sequence[float]) -> list[float] | None:
    """What the receiver holds each flow to; None where it reports no shares.

    Weights are relative, so they need not be fractions as GPU shares are: a report only compares them.
    """
    rule = _rule(cell)
    found = [rule.weight(weight, 1) for weight in weights]
    return [weight for weight in found if weight is not None] if rule.follows_shares else None


def _rule(cell: Cell) -> GpuProportional:
    alpha_sum = cell.alpha_sum
    if alpha_sum is None:
        alpha_sum = proportional_alpha_sum(cell.rate_bps, sum(cell.rtts_s) / len(cell.rtts_s), cell.queue_s)
    return GpuProportional(alpha_sum=alpha_sum, mapping=cell.mapping)


def _alphas(cell: Cell, weights: Sequence[float]) -> list[float]:
    rule, total = _rule(cell), sum(weights)
    return [rule.alpha(weight / total, 1) for weight in weights]
