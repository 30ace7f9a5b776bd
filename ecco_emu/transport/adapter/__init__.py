"""The one place where the transport meets asyncio and sockets.

``port`` is a socket on the event loop, ``driver`` moves one connection's datagrams and timers through
it, ``peer`` is what an application holds and ``listener`` the server's socket with all its peers.

Sockets are handed in: non-blocking UDP, bound in whatever namespace they belong to, and they stay
the caller's to close (after the peer or listener). A link that is down, a full queue, an ICMP error
are all loss as far as these modules are concerned. Works on asyncio's own loop and on uvloop.
"""

from ecco_emu.transport.adapter.driver import TransportClock
from ecco_emu.transport.adapter.listener import Listener
from ecco_emu.transport.adapter.peer import OutcomeCallback, Peer, connect
from ecco_emu.transport.adapter.port import RECEIVE_BATCH
from ecco_emu.transport.paths import Address

__all__ = ["RECEIVE_BATCH", "Address", "Listener", "OutcomeCallback", "Peer", "TransportClock", "connect"]
