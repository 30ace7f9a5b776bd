"""Anonymous network namespaces: held by a descriptor, seen by nobody, gone when it closes.

Everything here changes the namespace of the calling *thread* and puts it back, so it must run in a
thread that does nothing else meanwhile: never on an event loop's.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from netns.errors import CapabilityError, LabError, PrivilegeError
from netns.netlink import RouteSocket

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_OWN = "/proc/thread-self/ns/net"

_QUIET = (
    ("ipv6/conf/all/disable_ipv6", "1"),  # router solicitations and the like
    ("ipv6/conf/default/disable_ipv6", "1"),
    # where br_netfilter is loaded, every bridged frame otherwise goes through iptables and a route lookup
    ("bridge/bridge-nf-call-iptables", "0"),
    ("bridge/bridge-nf-call-ip6tables", "0"),
    ("bridge/bridge-nf-call-arptables", "0"),
)
"""Settings of a namespace, under /proc/sys/net, which follows the thread."""

_TUNSETIFF, _TUNSETPERSIST, _TUNSETIFINDEX = 0x400454CA, 0x400454CB, 0x400454DA
_IFF_TAP, _IFF_NO_PI, _IFF_TUN_EXCL = 0x0002, 0x1000, 0x8000
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33


class Namespace:
    """One anonymous namespace with an rtnetlink socket inside it."""

    def __init__(self, name: str) -> None:
        """Makes it. Raises ``PrivilegeError`` or ``CapabilityError`` where the host does not allow that."""
        self.name = name
        with restored():
            if _libc.unshare(_CLONE_NEWNET) != 0:
                raise _unshare_error(ctypes.get_errno())
            self.fd = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
            try:
                self.route = RouteSocket()
            except BaseException:
                os.close(self.fd)
                raise
            _silence()

    @property
    def path(self) -> str:
        """A path that ``nsenter --net=`` takes, valid while this process holds the namespace."""
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    def udp_socket(self, address: str, port: int, buffer_bytes: int | None) -> socket.socket:
        """A non-blocking UDP socket that lives in here, bound to ``address``.

        ``buffer_bytes`` sets both buffers, beyond the system's limits.
        """
        with entered(self.fd):
            made = socket.socket(
                socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
            )
        try:
            if buffer_bytes is not None:
                made.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, buffer_bytes)
                made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, buffer_bytes)
            made.bind((address, port))
        except OSError as error:
            made.close()
            raise LabError(f"cannot open a UDP socket on {address}:{port} of {self.name}: {error}") from error
        return made

    def tap(self, name: str, index: int) -> int:
        """A TAP device in here, which works while the descriptor that is returned is open."""
        with entered(self.fd):
            return open_tap(name, index)

    def close(self) -> None:
        """Lets go of it: the kernel removes it with all its devices, soon, unless others hold it too."""
        self.route.close()
        os.close(self.fd)


def open_tap(name: str, index: int) -> int:
    """Makes a TAP device in the calling thread's namespace; returns its non-blocking descriptor."""
    try:
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise CapabilityError(
            f"cannot open /dev/net/tun ({error.strerror}), which the relay engine needs: load the "
            "tun module, or give the container --device /dev/net/tun"
        ) from error
    try:
        fcntl.ioctl(fd, _TUNSETIFINDEX, struct.pack("=I", index))
        fcntl.ioctl(
            fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI | _IFF_TUN_EXCL)
        )
        # Closing it then does not remove the device, for which the kernel takes some 20 ms each: those of all
        # namespaces go together when nothing holds these any more.
        fcntl.ioctl(fd, _TUNSETPERSIST, 1)
    except OSError as error:
        os.close(fd)
        raise CapabilityError(f"cannot make the TAP device {name}: {error.strerror}") from error
    return fd


@contextlib.contextmanager
def entered(fd: int) -> Iterator[None]:
    """The calling thread is inside the namespace that ``fd`` holds, for the time of the block."""
    with restored():
        _setns(fd)
        yield


def enter(path: str) -> None:
    """Moves the calling thread into the namespace at ``path`` for good: for a process that is about to become
    another program. Raises ``LabError``."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        kind = PrivilegeError if isinstance(error, PermissionError) else LabError
        raise kind(
            f"cannot open the namespace {path}: {error.strerror}. Is it gone, or are you not root?"
        ) from error
    try:
        _setns(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def restored() -> Iterator[None]:
    """Puts the calling thread back into the namespace it was in, whatever happens inside."""
    home = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield
    finally:
        try:
            # who never left needs no privileges to come back, and is told why he could not leave
            if os.stat(_OWN).st_ino != os.fstat(home).st_ino:
                _setns(home)
        finally:
            os.close(home)


def _setns(fd: int) -> None:
    if _libc.setns(fd, _CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise PrivilegeError(f"cannot enter a network namespace: {os.strerror(code)}. Run as root.")


def _silence() -> None:
    """Leaves out of the calling thread's namespace what would take part in what is measured."""
    for key, value in _QUIET:
        with contextlib.suppress(OSError):  # not in this kernel
            Path(f"/proc/sys/net/{key}").write_text(value)


def _unshare_error(code: int) -> LabError:
    reason = os.strerror(code)
    if code == errno.EPERM:
        return PrivilegeError(
            f"may not make a network namespace ({reason}): run as root; in a container, with "
            "--cap-add SYS_ADMIN --cap-add NET_ADMIN and a seccomp profile that allows unshare"
        )
    if code == errno.ENOSPC:
        return CapabilityError(
            f"no more network namespaces ({reason}): raise /proc/sys/user/max_net_namespaces"
        )
    return CapabilityError(f"this kernel makes no network namespaces ({reason}): CONFIG_NET_NS is needed")
