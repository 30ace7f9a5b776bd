"""The engine on which a test runs. Each test runs on both, on the kernel engine only where the kernel has
netem."""

from __future__ import annotations

import pytest


@pytest.fixture(
    params=[
        pytest.param("relay", marks=pytest.mark.netns),
        pytest.param("kernel", marks=[pytest.mark.netns, pytest.mark.netem]),
    ]
)
def engine(request: pytest.FixtureRequest) -> str:
    return request.param
