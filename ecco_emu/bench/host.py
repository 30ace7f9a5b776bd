"""One line that says on which host, and with which build, figures were measured."""

from __future__ import annotations

import os
import platform

from ecco_emu.transport import connection
from netns import Capabilities


def compiled() -> bool:
    """Whether the transport that runs was compiled (`make compiled`)."""
    return not connection.__file__.endswith(".py")


def describe(capabilities: Capabilities) -> str:
    """The CPUs that this process may use, the kernel, Python, the lab's engine, and how the transport
    runs."""
    engine = "kernel" if capabilities.netem else "relay"
    transport = "compiled" if compiled() else "interpreted"
    return (
        f"{len(os.sched_getaffinity(0))} CPUs, {platform.machine()}, Linux {platform.release()}, "
        f"Python {platform.python_version()}, engine {engine}, transport {transport}"
    )
