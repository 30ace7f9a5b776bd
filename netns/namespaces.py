"""Anonymous network namespaces. Only a descriptor holds such a namespace: no command lists it by name, and
the kernel removes it when the descriptor closes, also when the process is killed.

The functions here change the namespace of the calling *thread* and put it back. They must therefore run in a
thread that does nothing else meanwhile, and never in the thread of an event loop.
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
"""Not /proc/self, which is the namespace of the process's main thread."""

_NO_TUN = (errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.EACCES, errno.EPERM)
"""Errors of a /dev/net/tun that is not there, has no driver, or is forbidden to a container."""
_BRIDGE_SETTINGS = Path("/proc/sys/net/bridge")
_BRIDGE_HOOKS = (
    "bridge-nf-call-iptables",
    "bridge-nf-call-ip6tables",
    "bridge-nf-call-arptables",
)
"""Settings that are turned off. Where br_netfilter is loaded, every bridged frame otherwise goes through
iptables and a route lookup. The folder shows the namespace of the thread that opens a file in it."""

_TUNSETIFF, _TUNSETPERSIST, _TUNSETIFINDEX = 0x400454CA, 0x400454CB, 0x400454DA
_IFF_TAP, _IFF_NO_PI, _IFF_TUN_EXCL = 0x0002, 0x1000, 0x8000
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33


class Namespace:
    """One anonymous namespace with an rtnetlink socket inside it. ``name`` is only for error messages."""

    def __init__(self, name: str) -> None:
        """Makes it. Raises ``PrivilegeError`` or ``CapabilityError`` where the host does not allow that."""
        self.name = name
        # unshare in this thread, and not a child process as pyroute2 does by default: 0.5 ms instead of some
        # 6 ms, and no fork of a process with threads.
        with restored():
            if _libc.unshare(_CLONE_NEWNET) != 0:
                raise _unshare_error(ctypes.get_errno())
            try:
                self.fd = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise LabError(f"cannot hold the namespace {name}: {error.strerror}") from error
            try:
                self.route = RouteSocket()
            except OSError as error:
                os.close(self.fd)
                raise LabError(f"cannot ask the kernel about {name}: {error.strerror}") from error
            except BaseException:
                os.close(self.fd)
                raise
            self.filtered = not _silence()
            """True if the host's firewall rules cannot be kept off the frames of a switch in here."""

    @property
    def path(self) -> str:
        """A path for ``nsenter --net=``. It is valid while this process holds the namespace."""
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    def udp_socket(self, address: str, port: int, buffer_bytes: int | None) -> socket.socket:
        """A non-blocking UDP socket in this namespace, bound to ``address``.

        ``buffer_bytes`` sets its send and its receive buffer, even beyond the system's limits
        (net.core.wmem_max, rmem_max). Raises: ``LabError`` if the address cannot be bound.
        """
        # A socket stays in the namespace in which it was made, so only the making must happen inside.
        with entered(self.fd):
            made = socket.socket(
                socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
            )
        try:
            if buffer_bytes is not None:
                made.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, buffer_bytes)
                made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, buffer_bytes)
            made.bind((address, port))
        except PermissionError as error:  # asked of the host's own user namespace, not of the lab's
            made.close()
            raise PrivilegeError(f"may not make a socket's buffers large ({error.strerror})") from error
        except OSError as error:
            made.close()
            raise LabError(f"cannot open a UDP socket on {address}:{port} of {self.name}: {error}") from error
        return made

    def tap(self, name: str, index: int) -> int:
        """Makes a TAP device in this namespace; see ``open_tap``."""
        with entered(self.fd):
            return open_tap(name, index)

    def close(self) -> None:
        """Lets go of the namespace. Unless something else holds it too, the kernel removes it with all its
        devices, some time later."""
        self.route.close()
        os.close(self.fd)


def open_tap(name: str, index: int) -> int:
    """Makes a TAP device in the calling thread's namespace. Returns its non-blocking descriptor; the device
    carries frames while the descriptor is open. Raises: ``CapabilityError``."""
    try:
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        kind, hint = LabError, ""
        if error.errno in _NO_TUN:
            kind = CapabilityError
            hint = ": load the tun module (modprobe tun), or give the container --device /dev/net/tun"
        raise kind(
            f"cannot open /dev/net/tun ({error.strerror}), which the relay engine needs{hint}"
        ) from error
    try:
        # The index must be set before TUNSETIFF makes the device.
        fcntl.ioctl(fd, _TUNSETIFINDEX, struct.pack("=I", index))
        # NO_PI: no extra header before each frame. EXCL: fails if there is a device of that name, instead of
        # attaching to it. The structure is ifreq, 40 bytes.
        fcntl.ioctl(
            fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI | _IFF_TUN_EXCL)
        )
        # A persistent device stays when its descriptor closes. Removing each device takes the kernel some 20
        # ms; like this, all go together with their namespaces.
        fcntl.ioctl(fd, _TUNSETPERSIST, 1)
    except OSError as error:
        os.close(fd)
        raise CapabilityError(f"cannot make the TAP device {name}: {error.strerror}") from error
    return fd


@contextlib.contextmanager
def entered(fd: int) -> Iterator[None]:
    """Moves the calling thread into the namespace that ``fd`` holds, for the time of the block."""
    with restored():
        set_namespace(fd)
        yield


@contextlib.contextmanager
def restored() -> Iterator[None]:
    """Puts the calling thread back into the namespace it was in, whatever happens inside."""
    home = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield
    finally:
        try:
            # setns needs privileges even into one's own namespace. A thread that could not leave for want of
            # them would otherwise fail here, and hide the error that says why.
            if os.stat(_OWN).st_ino != os.fstat(home).st_ino:
                set_namespace(home)
        finally:
            os.close(home)


def set_namespace(fd: int) -> None:
    """Moves the calling thread into the namespace that ``fd`` holds. Raises: ``PrivilegeError``."""
    if _libc.setns(fd, _CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise PrivilegeError(f"may not enter a network namespace ({os.strerror(code)})")


def _silence() -> bool:
    """Keeps firewall rules off the bridges of the calling thread's namespace. False if it may not."""
    for name in _BRIDGE_HOOKS:
        setting = _BRIDGE_SETTINGS / name
        try:
            if setting.read_text().strip() != "0":
                setting.write_text("0")
        except FileNotFoundError:  # br_netfilter is not loaded
            continue
        except OSError:  # /proc/sys is read-only, as in most containers
            return False
    return True


def _unshare_error(code: int) -> LabError:
    reason = os.strerror(code)
    if code == errno.EPERM:
        return PrivilegeError(f"may not make a network namespace ({reason})")
    if code == errno.ENOSPC:  # not the disk: the limit on the number of namespaces
        return CapabilityError(
            f"no more network namespaces ({reason}): raise /proc/sys/user/max_net_namespaces"
        )
    return CapabilityError(f"this kernel makes no network namespaces ({reason}): CONFIG_NET_NS is needed")
