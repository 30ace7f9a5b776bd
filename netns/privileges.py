"""The way out for a process that may not build a lab. It depends on the thing that the process lacks: root, a
capability, or the host's own user namespace."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_NEEDED = {"CAP_SYS_ADMIN": 21, "CAP_NET_ADMIN": 12}
"""Capabilities, by their bit (linux/capability.h): one for namespaces, one for their devices."""
_CONTAINER = "--cap-add SYS_ADMIN --cap-add NET_ADMIN"
_WHOLE = ["0", "0", "4294967295"]
"""The map of the host's own user namespace: all users, each to itself."""


def way_out(proc: Path = Path("/proc/self")) -> str:
    """What a person can do about it, as a clause without a full stop."""
    lacking = missing_capabilities(proc)
    if lacking and os.geteuid() != 0:
        return f"run it as root (sudo), in a container with {_CONTAINER}"
    if lacking:
        return f"this root lacks {' and '.join(lacking)}; a container gets both with {_CONTAINER}"
    if in_user_namespace(proc):
        return (
            "this root is one of a user namespace only (a rootless container, `unshare -r`): run it as the "
            "host's root"
        )
    return "a security profile forbids it; a container goes without one by --security-opt seccomp=unconfined"


def missing_capabilities(proc: Path = Path("/proc/self")) -> list[str]:
    """The capabilities that a lab needs and this process lacks."""
    held = 0
    with contextlib.suppress(OSError):
        for line in (proc / "status").read_text().splitlines():
            if line.startswith("CapEff:"):
                held = int(line.split()[1], 16)
    return [name for name, bit in _NEEDED.items() if not held >> bit & 1]


def in_user_namespace(proc: Path = Path("/proc/self")) -> bool:
    """True if this process's root is not the host's."""
    with contextlib.suppress(OSError):
        return (proc / "uid_map").read_text().split() != _WHOLE
    return False
