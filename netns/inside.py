"""Goes into a node's namespace for good, for a process that is about to become another program (exec). The
program finds the node's devices in /sys, and the names of nodes in /etc/hosts."""

from __future__ import annotations

import contextlib
import ctypes
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from netns.errors import LabError, PrivilegeError
from netns.namespaces import set_namespace

_CLONE_NEWNS = 0x20000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_MS_BIND, _MS_REC, _MS_SLAVE = 0x1000, 0x4000, 0x80000
_HOSTS, _SYS, _CGROUPS = "/etc/hosts", "/sys", "/sys/fs/cgroup"
_libc = ctypes.CDLL(None, use_errno=True)


def enter(path: str, *, inode: int | None = None, hosts: Mapping[str, str] | None = None) -> list[str]:
    """Moves the calling thread into the namespace at ``path`` and leaves it there. It gets mounts of its own,
    in which /sys shows that namespace, and /etc/hosts knows ``hosts`` (addresses by name) before all others.

    With ``inode`` the namespace must be that one: a path through /proc names another one where process ids
    are counted anew, as outside of a run's container. Returns the parts that the host did not allow, in
    words. Raises: ``LabError``.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError as error:
        raise PrivilegeError(f"may not open the namespace {path} ({error.strerror})") from error
    except OSError as error:
        raise LabError(f"cannot open the namespace {path} ({error.strerror}): is it gone?") from error
    try:
        if inode is not None and os.fstat(fd).st_ino != inode:
            raise LabError(f"{path} is another namespace here: do this in the container of the lab")
        set_namespace(fd)
    finally:
        os.close(fd)
    return list(_mount_views(hosts or {}))


def _mount_views(hosts: Mapping[str, str]) -> Iterator[str]:
    try:
        if _libc.unshare(_CLONE_NEWNS) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        # Nothing that is mounted here may reach the host; what the host mounts later may come here.
        _mount("none", "/", None, _MS_REC | _MS_SLAVE)
    except OSError as error:
        yield f"/sys and /etc/hosts are the host's ({error.strerror})"
        return
    try:
        _mount_sys()
    except OSError as error:
        yield f"/sys shows the host's devices ({error.strerror})"
    if hosts:
        try:
            _mount_hosts(hosts)
        except OSError as error:
            yield f"names of nodes are not known ({error.strerror})"


def _mount_sys() -> None:
    read_only = _MS_RDONLY if os.statvfs(_SYS).f_flag & os.ST_RDONLY else 0
    with contextlib.ExitStack() as stack:
        groups = None
        with contextlib.suppress(OSError):
            groups = os.open(_CGROUPS, os.O_PATH | os.O_CLOEXEC)
            stack.callback(os.close, groups)
        _mount("sysfs", _SYS, "sysfs", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC | read_only)
        if groups is not None:  # the new /sys covers them, and programs read their limits there
            with contextlib.suppress(OSError):
                _mount(f"/proc/self/fd/{groups}", _CGROUPS, None, _MS_BIND | _MS_REC)


def _mount_hosts(hosts: Mapping[str, str]) -> None:
    own = "".join(f"{address}\t{name}\n" for name, address in hosts.items())
    with tempfile.NamedTemporaryFile(prefix="netns-hosts-") as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(own.encode() + Path(_HOSTS).read_bytes())
        file.flush()
        _mount(file.name, _HOSTS, None, _MS_BIND)  # which keeps the file, without a name


def _mount(source: str, target: str, kind: str | None, flags: int) -> None:
    encoded = None if kind is None else kind.encode()
    if _libc.mount(source.encode(), target.encode(), encoded, ctypes.c_ulong(flags), None) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), target)
