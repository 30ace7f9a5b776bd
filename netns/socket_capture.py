"""Captures the packets of a node or a port of a real lab.

Each capture has a thread that empties a packet socket in the namespace twenty times a second. The kernel
notes each packet's time, so the thread need not hurry and take the interpreter from others for each packet.
Packets for which the socket has no room are dropped and counted; no sender waits.
"""

from __future__ import annotations

import socket
import struct
import threading
import time

from netns.capture import Capture
from netns.engine import CaptureOptions
from netns.errors import LabError
from netns.namespaces import Namespace, entered

_ETH_P_ALL = 0x0003
_SO_TIMESTAMPNS, _SO_RCVBUFFORCE = 35, 33
_PACKET_OUTGOING = 4
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_BUFFER_BYTES = 8 << 20
"""The socket's buffer: thousands of packets, for the time between two looks, or while the disk is busy."""
_PERIOD_S = 0.05


class SocketCapture(Capture):
    """A capture at a device in a namespace."""

    def __init__(self, namespace: Namespace, device: str, options: CaptureOptions) -> None:
        """Begins the capture. Raises: ``LabError`` if the file cannot be written."""
        super().__init__(device, namespace.name, options)
        self._buffer = bytearray(options.snap_bytes)
        try:
            self._socket = _packet_socket(namespace, device)
        except OSError as error:
            self._file.close()
            raise LabError(f"cannot capture {device} of {namespace.name}: {error}") from error
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"netns-capture-{device}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            with self._socket, self._file:
                while not self._stopping.wait(_PERIOD_S):
                    self._write_waiting()
                self._write_waiting()  # those that came before the stop
                # struct tpacket_stats: packets, drops (those for which the socket's buffer had no room).
                raw = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
                self.dropped += struct.unpack("=II", raw)[1]
                self._add_statistics(time.time_ns())
        except OSError:  # the disk is full: the file can be read up to here, and the capture ends
            self.dropped += 1

    def _write_waiting(self) -> None:
        """Writes the packets in the socket, to the disk: a process that is killed leaves whole packets."""
        while self._take():
            pass
        self._file.flush()

    def _take(self) -> bool:
        """Writes one packet. False if none is waiting."""
        try:
            # with MSG_TRUNC the kernel tells the packet's whole length, however little of it fits
            length, ancillary, _, origin = self._socket.recvmsg_into([self._buffer], 64, socket.MSG_TRUNC)
        except BlockingIOError:
            return False
        # The kernel's time of the packet, a struct timespec.
        seconds, nanoseconds = struct.unpack("=qq", ancillary[0][2])
        kept = bytes(self._buffer[:length])
        self._add(kept, length, seconds * 10**9 + nanoseconds, outgoing=origin[2] == _PACKET_OUTGOING)
        return True


def _packet_socket(namespace: Namespace, device: str) -> socket.socket:
    with entered(namespace.fd):
        # Protocol 0 receives nothing until bind: with ETH_P_ALL, packets of other devices would come first.
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        try:
            made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
            made.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            made.bind((device, _ETH_P_ALL))
        except OSError:
            made.close()
            raise
    made.setblocking(False)
    return made
