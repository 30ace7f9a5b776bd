"""The transport between cameras and server: GAIMD over UDP. Sans-IO, with one asyncio adapter.

``connection`` is the state machine. ``inbox``, ``outbox`` and ``sender`` are its parts, and the other modules
are theirs. ``adapter`` drives a connection with sockets, ``simulation`` with virtual time.
docs/reference/transport.md describes the wire format and the algorithms.
"""

from ecco_emu.transport.adapter import Listener, Peer, TransportClock, connect
from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.connection import Connection
from ecco_emu.transport.events import (
    Closed,
    Connected,
    ConnectionClosed,
    MessageReceived,
    SendQueueFull,
    VideoOutcome,
    VideoReceived,
)
from ecco_emu.transport.stats import ConnectionStats

__all__ = [
    "Closed",
    "Connected",
    "Connection",
    "ConnectionClosed",
    "ConnectionStats",
    "Listener",
    "MessageReceived",
    "Peer",
    "SendQueueFull",
    "TransportClock",
    "TransportConfig",
    "VideoOutcome",
    "VideoReceived",
    "connect",
]
