"""From a policy's transmission rule to the transport's settings.

This is the one place where shares become configuration.

A run's cameras and server are configured here, and so are the flows of ``ecco-emu bench transport``, which
therefore measures the wiring that runs have.
"""

from __future__ import annotations

import math
from typing import Literal, Protocol

from ecco_emu.control.transmission import TransmissionRule
from ecco_emu.transport.config import TransportConfig


class TransportSettings(Protocol):
    """The ``transport`` section of a scenario, as far as it concerns congestion control."""

    @property
    def algorithm(self) -> Literal["gaimd", "cubic", "fixed"]: ...

    @property
    def beta(self) -> float: ...

    @property
    def fixed_rate(self) -> float:
        """Bits per second, with the algorithm ``fixed``."""
        ...

    @property
    def download_alpha(self) -> float: ...


UNASSIGNED_ALPHA = 1.0
"""A camera's alpha before its first assignment: that of ordinary AIMD."""


DOWNLOAD_ACK_INTERVAL_S = 0.025
DOWNLOAD_ACK_PACKETS = 100
"""A camera acknowledges a student that it downloads 40 times a second at most. One acknowledgement for every
ten packets took half of the quickstart's uplinks while its four students crossed, and no share was right."""
DOWNLOAD_ACK_BITS = 8 * 90
"""An acknowledgement on the wire: some ranges and the headers of UDP and IP."""
DOWNLOAD_ACK_SHARE = 0.05
MOST_ACK_INTERVAL_S = 0.1
"""On a thin uplink they are fewer still, so that they take this share of it: at 150 kbit/s 40 a second would
be a fifth. But never fewer than ten a second, by which the server has to notice losses."""


def camera_config(
    settings: TransportSettings,
    rule: TransmissionRule,
    alpha: float = UNASSIGNED_ALPHA,
    uplink_bps: float = math.inf,
) -> TransportConfig:
    """A camera's side. Rules with fixed transmission keep to their alpha (paper, section 5)."""
    ack_interval_s = DOWNLOAD_ACK_BITS / (DOWNLOAD_ACK_SHARE * uplink_bps)
    return TransportConfig(
        algorithm=settings.algorithm,
        alpha=alpha,
        beta=settings.beta,
        fixed_rate_bps=settings.fixed_rate,
        follow_shares=rule.follows_shares,
        ack_interval_s=min(max(DOWNLOAD_ACK_INTERVAL_S, ack_interval_s), MOST_ACK_INTERVAL_S),
        ack_packets=DOWNLOAD_ACK_PACKETS,
    )


def server_config(settings: TransportSettings) -> TransportConfig:
    """The server's side, the same for every rule: a download shares its link with other downloads alone."""
    return TransportConfig(beta=settings.beta, alpha=settings.download_alpha)
