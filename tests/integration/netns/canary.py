"""Tells when a namespace is gone, from outside it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from netns import netlink, requests
from netns.namespaces import Namespace, entered


def until(condition: Callable[[], bool], timeout_s: float = 10.0) -> bool:
    """The kernel takes namespaces down in its own time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


class Canary:
    """A veth from a namespace that others own into one of ours: it disappears when theirs does."""

    def __init__(self) -> None:
        self._home = Namespace("canary")
        self._watched = 0

    def watch(self, path: str) -> None:
        """Watches the namespace at a path."""
        self._watched += 1
        number = self._watched
        fd = os.open(path, os.O_RDONLY)
        try:
            with entered(fd):
                route = netlink.RouteSocket()
            name, index, mac = (
                f"canary{number}",
                9000 + number,
                f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}",
            )
            try:
                route.execute([requests.add_veth(name, index, name, index, mac, self._home.fd, 1500)])
            finally:
                route.close()
        finally:
            os.close(fd)

    def alive(self) -> set[str]:
        """One name for each namespace that is still there."""
        return {name for name in self._home.route.device_stats() if name.startswith("canary")}

    def close(self) -> None:
        self._home.close()
