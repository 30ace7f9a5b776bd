"""The engine that a test runs on: each runs on both, and on the kernel's where it has netem."""

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
