"""Opens the port that fits: over a socket, or over an endpoint that calls back."""

from __future__ import annotations

import socket

from ecco_emu.transport.adapter.callback_port import CallbackPort, DatagramEndpoint
from ecco_emu.transport.adapter.port import OnDatagram, Port
from ecco_emu.transport.adapter.socket_port import SocketPort

DatagramSocket = socket.socket | DatagramEndpoint
"""From the caller, who closes it after the port."""


def open_port(sock: DatagramSocket, on_datagram: OnDatagram, *, max_datagram_bytes: int) -> Port:
    """A port on the running event loop. ``max_datagram_bytes``: no datagram that comes is longer."""
    if isinstance(sock, socket.socket):
        return SocketPort(sock, on_datagram, max_datagram_bytes=max_datagram_bytes)
    return CallbackPort(sock, on_datagram)
