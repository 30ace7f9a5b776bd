"""A blocking rtnetlink socket that sends requests in batches and reads counters.

pyroute2's sockets are not used: its synchronous ones bring an event loop of their own, and its asynchronous
one does not run on uvloop. A socket stays in the namespace that its thread was in when the socket was made,
so it can be used from any thread afterwards. Layouts: linux/netlink.h, rtnetlink.h and if_link.h.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from netns.errors import CapabilityError, LabError, LinkVanishedError, PrivilegeError

RTM_NEWLINK, RTM_GETLINK, RTM_NEWQDISC, RTM_GETQDISC = 16, 18, 36, 38

_NLM_REQUEST, _NLM_ACK, _NLM_DUMP = 0x1, 0x4, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_ACK_TLVS = 0x200
_NLMSGERR_ATTR_MSG = 1
_SOL_NETLINK, _NETLINK_CAP_ACK, _NETLINK_EXT_ACK = 270, 10, 11

HEADER = struct.Struct("=IHHII")
TCMSG = struct.Struct("=BxxxiIII")
TC_ROOT = 0xFFFFFFFF
TCA_KIND, _TCA_STATS2 = 1, 7
_TCA_STATS_BASIC, _TCA_STATS_QUEUE = 1, 3
_IFLA_IFNAME, _IFLA_STATS64 = 3, 23
_CHUNK_BYTES = 60_000
"""The most in one ``send``: the kernel refuses a message (EMSGSIZE) that the socket's send buffer, 208 KiB by
default, cannot hold."""
_RECEIVE_BYTES = 1 << 20
"""More than the kernel puts into one answer: the rest of an answer that is too long for a read is lost."""
_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class NetlinkRequest:
    """One rtnetlink request: its type, flags and body. ``what`` names its purpose in an error message."""

    kind: int
    flags: int
    body: bytes
    what: str


@dataclass(frozen=True, slots=True)
class DeviceStats:
    """The kernel's counters of one device (struct rtnl_link_stats64), ``rx`` for frames that it received."""

    rx_packets: int
    tx_packets: int
    rx_bytes: int
    tx_bytes: int
    rx_dropped: int
    tx_dropped: int


@dataclass(frozen=True, slots=True)
class QdiscStats:
    """The counters of a root qdisc, its children included: ``bytes`` and ``packets`` have left it, ``drops``
    were dropped, the ``backlog`` waits in it."""

    kind: str
    bytes: int
    packets: int
    drops: int
    backlog_bytes: int
    backlog_packets: int


NetlinkAnswer = tuple[int, bytes]
"""The type and the body of a message from the kernel."""


class RouteSocket:
    """An rtnetlink socket in the namespace that the calling thread is in at the time of construction."""

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
        )
        self._sequence = 0
        # CAP_ACK: an error repeats only the header of its request. EXT_ACK: it says in words what is wrong.
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
        self._socket.settimeout(_TIMEOUT_S)
        self._socket.bind((0, 0))

    def close(self) -> None:
        """Closes the socket. The namespace may go once nothing else holds it."""
        self._socket.close()

    def execute(self, requests: Sequence[NetlinkRequest]) -> list[NetlinkAnswer]:
        """Carries out all requests in order, many with one system call. Returns the answers to those requests
        that ask for something.

        Raises: ``LabError``, or the subclass that fits, for the first request that failed. The kernel has
        tried the requests that follow it in the same batch all the same.
        """
        answers: list[NetlinkAnswer] = []
        chunk: list[NetlinkRequest] = []
        size = 0
        for request in requests:
            if chunk and size + len(request.body) + HEADER.size > _CHUNK_BYTES:
                answers += self._send(chunk)
                chunk, size = [], 0
            chunk.append(request)
            size += len(request.body) + HEADER.size
        if chunk:
            answers += self._send(chunk)
        return answers

    def device_stats(self) -> dict[str, DeviceStats]:
        """Counters of every device in the namespace, by name."""
        found = {}
        for body in self._dump(RTM_GETLINK, bytes(16)):
            attributes = dict(parse_attributes(body, 16))
            if _IFLA_STATS64 in attributes:
                name = attributes[_IFLA_IFNAME].rstrip(b"\0").decode()
                found[name] = _device_stats(attributes)
        return found

    def qdisc_stats(self) -> dict[int, QdiscStats]:
        """Counters of the root qdisc of every device in the namespace that has one, by device index."""
        found = {}
        for body in self._dump(RTM_GETQDISC, TCMSG.pack(0, 0, 0, 0, 0)):
            _, index, _, parent, _ = TCMSG.unpack_from(body)
            # The children's packets are in their root's counters already.
            if parent == TC_ROOT:
                found[index] = qdisc_stats(body)
        return found

    def _send(self, requests: Sequence[NetlinkRequest]) -> list[NetlinkAnswer]:
        first = self._sequence + 1
        message = bytearray()
        for request in requests:
            self._sequence += 1
            # Without NLM_F_ACK only a failure is answered. The kernel takes the requests in order, so the
            # answer to the last one says that the whole batch is done.
            flags = request.flags | _NLM_REQUEST | (_NLM_ACK if request is requests[-1] else 0)
            message += HEADER.pack(HEADER.size + len(request.body), request.kind, flags, self._sequence, 0)
            message += request.body
        self._socket.send(message)
        failed: LabError | None = None
        answers = []
        for kind, flags, sequence, body in self._replies(first):
            if kind != _NLMSG_ERROR:
                answers.append((kind, body))
                continue
            # An acknowledgement is an "error" with the code 0.
            code = -struct.unpack_from("=i", body)[0]
            if code and failed is None:  # later failures mostly follow from the first one
                failed = _error(code, _extended_message(flags, body), requests[sequence - first].what)
            # Raised only after the last answer: what is left unread would be taken for answers to the next
            # batch.
            if sequence == self._sequence:
                break
        if failed is not None:
            raise failed
        return answers

    def _dump(self, kind: int, body: bytes) -> Iterator[bytes]:
        self._sequence += 1
        header = HEADER.pack(HEADER.size + len(body), kind, _NLM_REQUEST | _NLM_DUMP, self._sequence, 0)
        self._socket.send(header + body)
        for reply_kind, flags, _, reply in self._replies(self._sequence):
            if reply_kind == _NLMSG_DONE:
                return
            if reply_kind == _NLMSG_ERROR:
                code = -struct.unpack_from("=i", reply)[0]
                raise _error(code, _extended_message(flags, reply), "read counters")
            yield reply

    def _replies(self, first: int) -> Iterator[tuple[int, int, int, bytes]]:
        while True:
            try:
                data = self._socket.recv(_RECEIVE_BYTES)
            except TimeoutError:
                raise LabError(f"the kernel did not answer on netlink within {_TIMEOUT_S:g} s") from None
            offset = 0
            while offset + HEADER.size <= len(data):
                length, kind, flags, sequence, _ = HEADER.unpack_from(data, offset)
                if sequence >= first:  # an older one answers a batch that timed out
                    yield kind, flags, sequence, data[offset + HEADER.size : offset + length]
                offset += (length + 3) & ~3  # messages are padded to four bytes


def parse_attributes(body: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    """The (type, value) pairs of a chain of attributes."""
    while offset + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, offset)
        if length < 4:  # shorter than its own header: the offset would never reach the end
            return
        # The two highest bits are flags (NLA_F_NESTED, NLA_F_NET_BYTEORDER).
        yield kind & 0x3FFF, body[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def device_stats(body: bytes) -> DeviceStats:
    """Counters in an RTM_NEWLINK message."""
    return _device_stats(dict(parse_attributes(body, 16)))


def _device_stats(attributes: dict[int, bytes]) -> DeviceStats:
    # rx_errors and tx_errors, between the bytes and the drops, are left out.
    return DeviceStats(*struct.unpack_from("=4Q16x2Q", attributes[_IFLA_STATS64]))


def qdisc_stats(body: bytes) -> QdiscStats:
    """Counters in an RTM_NEWQDISC message."""
    attributes = dict(parse_attributes(body, TCMSG.size))
    stats = dict(parse_attributes(attributes.get(_TCA_STATS2, b""), 0))
    sent_bytes, packets = struct.unpack_from("=QI", stats.get(_TCA_STATS_BASIC, bytes(16)))
    waiting, backlog, drops, _, _ = struct.unpack_from("=5I", stats.get(_TCA_STATS_QUEUE, bytes(20)))
    kind = attributes[TCA_KIND].rstrip(b"\0").decode()
    return QdiscStats(kind, sent_bytes, packets, drops, backlog, waiting)


def _extended_message(flags: int, body: bytes) -> str:
    if not flags & _NLM_F_ACK_TLVS:
        return ""
    # With NETLINK_CAP_ACK the error code is followed by the request's header alone, and that by the
    # attributes.
    text = dict(parse_attributes(body, 4 + HEADER.size)).get(_NLMSGERR_ATTR_MSG, b"")
    return text.rstrip(b"\0").decode(errors="replace")


def _error(code: int, detail: str, what: str) -> LabError:
    reason = f"{os.strerror(code)} ({detail})" if detail else os.strerror(code)
    if code in (errno.EPERM, errno.EACCES):
        return PrivilegeError(f"may not {what} ({reason})")
    # ENOENT is how the kernel refuses a kind of qdisc that it does not have.
    if code in (errno.EOPNOTSUPP, errno.ENOENT, errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT):
        return CapabilityError(
            f"this kernel cannot {what}: {reason}. `ecco-emu doctor` shows what is missing."
        )
    if code == errno.ENODEV:
        return LinkVanishedError(
            f"could not {what}: the device was removed by another program. Build the lab anew."
        )
    return LabError(f"could not {what}: {reason}")
