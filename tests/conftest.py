"""For every tier: Hypothesis never fails a test because the machine was slow."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("ecco-emu", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ecco-emu")
