"""The engine on which a test runs. Here each test runs on the engines with real packets, on the kernel engine
only where the kernel has netem. tests/sim/links has the same tests on simulated links."""

from __future__ import annotations

import pytest


@pytest.fixture(
    params=[
        pytest.param("relay", marks=pytest.mark.ecco_netns),
        pytest.param("kernel", marks=[pytest.mark.ecco_netns, pytest.mark.ecco_netem]),
    ]
)
def engine(request: pytest.FixtureRequest) -> str:
    return request.param
