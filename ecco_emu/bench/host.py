"""Which host figures are from."""

from __future__ import annotations

import os
import platform

from netns import Capabilities


def describe(capabilities: Capabilities) -> str:
    """One line: CPUs, kernel, Python and the lab's engine."""
    engine = "kernel" if capabilities.netem else "relay"
    return (
        f"{len(os.sched_getaffinity(0))} CPUs, {platform.machine()}, Linux {platform.release()}, "
        f"Python {platform.python_version()}, engine {engine}"
    )
