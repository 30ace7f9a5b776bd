"""The events that a connection reports to its application, and the errors of the transport."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from ecco_emu.core.errors import EccoError, PeerError

Outcome = Literal["delivered", "late", "lost"]


@dataclass(frozen=True, slots=True)
class Connected:
    """The handshake is done."""


class MessageReceived(NamedTuple):
    """A whole message of a reliable channel. Messages of one channel keep their order."""

    channel: int
    data: bytes


class VideoReceived(NamedTuple):
    """A whole deadline-bound message. ``id`` is the one that ``send_video`` returned to the sender."""

    id: int
    data: bytes


class VideoOutcome(NamedTuple):
    """The fate of a video message, reported once to its sender.

    ``delivered``: it arrived by its deadline, judged by its acknowledgement. ``late``: it arrived after its
    deadline. ``lost``: it was given up.
    """

    id: int
    outcome: Outcome


class Closed(NamedTuple):
    """The connection is over. No event follows but deliveries that have not been taken."""

    reason: str


Signal = Connected | VideoOutcome | Closed
Delivery = MessageReceived | VideoReceived
TransportEvent = Signal | Delivery


class ConnectionClosed(PeerError):  # noqa: N818 - a fact, not a fault
    """The connection is over: closed by either side, timed out or replaced. ``reason`` tells them apart."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"connection closed: {reason}")
        self.reason = reason


class SendQueueFull(EccoError):  # noqa: N818 - as asyncio.QueueFull
    """The application sends faster than the network delivers. Wait with ``drain``."""
