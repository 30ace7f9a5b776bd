"""The transport between cameras and server: GAIMD over UDP. Sans-IO, with one asyncio adapter.

``connection`` is the state machine; ``inbox``, ``outbox``, ``sender`` and what they are made of are
its parts; ``adapter`` drives it with sockets and ``simulation`` with virtual time.
docs/reference/transport.md has the wire format and the algorithm, docs/notes/transport.md its derivation.
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
