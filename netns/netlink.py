"""A blocking rtnetlink socket that sends requests in batches and reads counters.

pyroute2's sockets are not used, because they bring an event loop of their own (and its asynchronous one
does not run on uvloop). A socket belongs for ever to the namespace that its thread was in when it was
made, so it works from any thread afterwards.
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
_IFLA_IFNAME, _IFLA_STATS64 = 3, 23
_CHUNK_BYTES = 60_000
_RECEIVE_BYTES = 1 << 20
_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Request:
    """One rtnetlink request: its type, flags and body, and in words what it is for."""

    kind: int
    flags: int
    body: bytes
    what: str


@dataclass(frozen=True, slots=True)
class DeviceStats:
    """What the kernel counts for one device (struct rtnl_link_stats64), from the device's own side."""

    rx_packets: int
    tx_packets: int
    rx_bytes: int
    tx_bytes: int
    rx_dropped: int
    tx_dropped: int


@dataclass(frozen=True, slots=True)
class QdiscStats:
    """What a root qdisc counts: what left it, what it dropped, what waits in it (children included)."""

    kind: str
    bytes: int
    packets: int
    drops: int
    backlog_bytes: int
    backlog_packets: int


Answer = tuple[int, bytes]
"""A message's type and body."""


class RouteSocket:
    """rtnetlink in the namespace that the calling thread is in at the time of construction."""

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
        )
        self._sequence = 0
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
        self._socket.settimeout(_TIMEOUT_S)
        self._socket.bind((0, 0))

    def close(self) -> None:
        self._socket.close()

    def execute(self, requests: Sequence[Request]) -> list[Answer]:
        """Carries out all requests in order, many to a system call; returns the answers of those that ask.

        Raises: ``LabError`` (or the subclass that fits) for the first that failed; those after it in the
        same batch were tried all the same.
        """
        answers: list[Answer] = []
        chunk: list[Request] = []
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
            if parent == TC_ROOT:
                found[index] = qdisc_stats(body)
        return found

    def _send(self, requests: Sequence[Request]) -> list[Answer]:
        first = self._sequence + 1
        message = bytearray()
        for request in requests:
            self._sequence += 1
            flags = request.flags | _NLM_REQUEST | (_NLM_ACK if request is requests[-1] else 0)
            message += HEADER.pack(HEADER.size + len(request.body), request.kind, flags, self._sequence, 0)
            message += request.body
        self._socket.send(message)
        # Without NLM_F_ACK only a failure is answered; the last request answers for the whole batch.
        failed: LabError | None = None
        answers = []
        for kind, flags, sequence, body in self._replies(first):
            if kind != _NLMSG_ERROR:
                answers.append((kind, body))
                continue
            code = -struct.unpack_from("=i", body)[0]
            if code and failed is None:
                failed = _error(code, _extended_message(flags, body), requests[sequence - first].what)
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
                if sequence >= first:  # anything older answers a batch that was given up
                    yield kind, flags, sequence, data[offset + HEADER.size : offset + length]
                offset += (length + 3) & ~3


def parse_attributes(body: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    """The (type, value) pairs of a chain of attributes."""
    while offset + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, offset)
        if length < 4:
            return
        yield kind & 0x3FFF, body[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def device_stats(body: bytes) -> DeviceStats:
    """Counters in an RTM_NEWLINK message."""
    return _device_stats(dict(parse_attributes(body, 16)))


def _device_stats(attributes: dict[int, bytes]) -> DeviceStats:
    return DeviceStats(*struct.unpack_from("=4Q16x2Q", attributes[_IFLA_STATS64]))


def qdisc_stats(body: bytes) -> QdiscStats:
    """Counters in an RTM_NEWQDISC message."""
    attributes = dict(parse_attributes(body, TCMSG.size))
    stats = dict(parse_attributes(attributes.get(_TCA_STATS2, b""), 0))
    sent_bytes, packets = struct.unpack_from("=QI", stats.get(1, bytes(16)))
    waiting, backlog, drops, _, _ = struct.unpack_from("=5I", stats.get(3, bytes(20)))
    kind = attributes[TCA_KIND].rstrip(b"\0").decode()
    return QdiscStats(kind, sent_bytes, packets, drops, backlog, waiting)


def _extended_message(flags: int, body: bytes) -> str:
    if not flags & _NLM_F_ACK_TLVS:
        return ""
    # NETLINK_CAP_ACK: after the error code comes the request's header alone, then the attributes.
    text = dict(parse_attributes(body, 4 + HEADER.size)).get(_NLMSGERR_ATTR_MSG, b"")
    return text.rstrip(b"\0").decode(errors="replace")


def _error(code: int, detail: str, what: str) -> LabError:
    reason = f"{os.strerror(code)} ({detail})" if detail else os.strerror(code)
    if code in (errno.EPERM, errno.EACCES):
        return PrivilegeError(
            f"may not {what}: {reason}. Run as root, or with CAP_NET_ADMIN and CAP_SYS_ADMIN."
        )
    if code in (errno.EOPNOTSUPP, errno.ENOENT, errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT):
        return CapabilityError(
            f"this kernel cannot {what}: {reason}. `ecco-emu doctor` shows what is missing."
        )
    if code == errno.ENODEV:
        return LinkVanishedError(
            f"could not {what}: the device was removed by another program. Build the lab anew."
        )
    return LabError(f"could not {what}: {reason}")
