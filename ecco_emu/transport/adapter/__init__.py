"""The only place where the transport uses asyncio and sockets.

``port`` says how datagrams come and go. ``socket_port`` does it over a socket on the event loop, and
``callback_port`` over an endpoint that hands datagrams over by itself, such as a simulated node's. ``driver``
moves one connection's datagrams and timers through a port. ``peer`` is the application's handle of a
connection, and ``listener`` is the server's port with all its peers.

The caller provides the sockets: non-blocking UDP, bound in the network namespace of its choice; or the
endpoints. The caller also closes them, after the peer or listener. These modules treat a link that is down, a
full queue and an ICMP error alike, as packet loss. They work on asyncio's own event loop and on uvloop.
"""

from ecco_emu.transport.adapter.driver import TransportClock
from ecco_emu.transport.adapter.listener import Listener
from ecco_emu.transport.adapter.opening import DatagramSocket
from ecco_emu.transport.adapter.peer import Entropy, OutcomeCallback, Peer, connect
from ecco_emu.transport.adapter.port import RECEIVE_BATCH
from ecco_emu.transport.paths import Address

__all__ = [
    "RECEIVE_BATCH",
    "Address",
    "DatagramSocket",
    "Entropy",
    "Listener",
    "OutcomeCallback",
    "Peer",
    "TransportClock",
    "connect",
]
