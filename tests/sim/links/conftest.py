"""These tests run in virtual time, on simulated links: they need nothing of the host and take no time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ecco_emu.host.virtual_time import VirtualLoop


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], VirtualLoop]]:
    return {"virtual": VirtualLoop}


@pytest.fixture
def engine() -> str:
    return "simulated"
