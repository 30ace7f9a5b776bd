"""Finds out from outside when a namespace is gone."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from netns import netlink, requests
from netns.namespaces import Namespace, entered


def until(condition: Callable[[], bool], timeout_s: float = 10.0) -> bool:
    """Waits until ``condition`` holds, and is False if it does not in time. The kernel takes namespaces down
    some time after their last descriptor is closed."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


class Canary:
    """Veth pairs between watched namespaces and one of its own. A pair disappears with the watched one."""

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
        """A name for each watched namespace that is still there."""
        return {name for name in self._home.route.device_stats() if name.startswith("canary")}

    def close(self) -> None:
        self._home.close()
