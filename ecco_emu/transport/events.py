"""What a connection tells its application, and the errors of the transport."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from ecco_emu.core.errors import EccoError, PeerError

Outcome = Literal["delivered", "late", "lost"]


@dataclass(frozen=True, slots=True)
class Connected:
    """The handshake is done; sending is allowed."""


class MessageReceived(NamedTuple):
    """A whole message of a reliable channel, in order within its channel."""

    channel: int
    data: bytes


class VideoReceived(NamedTuple):
    """A whole deadline-bound message; ``id`` is the sender's."""

    id: int
    data: bytes


class VideoOutcome(NamedTuple):
    """At the sender, once per ``send_video``: what became of it.

    ``delivered``: acknowledged in time. ``late``: acknowledged, after its deadline. ``lost``: given up.
    """

    id: int
    outcome: Outcome


class Closed(NamedTuple):
    reason: str


Signal = Connected | VideoOutcome | Closed
Delivery = MessageReceived | VideoReceived
TransportEvent = Signal | Delivery


class ConnectionClosed(PeerError):  # noqa: N818 - a fact, not a fault
    """The connection is over: closed by either side, timed out or replaced. ``reason`` says which."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"connection closed: {reason}")
        self.reason = reason


class SendQueueFull(EccoError):  # noqa: N818 - as asyncio.QueueFull
    """The application sends faster than the network takes; wait with ``drain``."""
