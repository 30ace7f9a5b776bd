import pytest

from ecco_emu.control.sampling import SamplingConfig, SamplingTable, default_table, parse_table, stride_for
from ecco_emu.control.transmission import CameraLimits, FixedTransmission, GpuProportional
from ecco_emu.core.errors import ScenarioError

LIMITS = CameraLimits(fps=10.0, width=320, height=192)
TABLE = SamplingTable(((1.0, SamplingConfig(2.0, 160, 96)), (4.0, SamplingConfig(10.0, 320, 192))))


@pytest.mark.parametrize(
    ("c", "fps"), [(0.0, 2.0), (1.0, 2.0), (3.9, 2.0), (3.99999999, 10.0), (100.0, 10.0)]
)
def test_the_table_gives_what_the_gpu_time_pays_for(c: float, fps: float) -> None:
    assert TABLE.config_for(c).fps == fps


def test_a_profile_is_parsed() -> None:
    profile = {
        "version": 1,
        "levels": [{"gpu": 1, "fps": 2, "size": [160, 96]}, {"gpu": 4, "fps": 10, "size": [320, 192]}],
    }
    assert parse_table(profile) == TABLE


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ({}, "version"),
        ({"version": 1}, "levels: must be a list"),
        ({"version": 1, "levels": []}, "at least one level"),
        ({"version": 1, "levels": [{"gpu": 1, "fps": 2}]}, r"levels\[0\]: must have exactly"),
        (
            {"version": 1, "levels": [{"gpu": 1, "fps": 2, "size": [100, 96]}]},
            r"levels\[0\]: .*multiples of 32",
        ),
        ({"version": 1, "levels": [{"gpu": 1, "fps": 0, "size": [160, 96]}]}, r"levels\[0\]: fps must"),
        ({"version": 1, "levels": [{"gpu": "x", "fps": 1, "size": [160, 96]}]}, r"levels\[0\]"),
        ({"version": 1, "levels": [{"gpu": 1, "fps": 1, "size": 160}]}, r"levels\[0\]"),
        ({"version": 1, "levels": [{"gpu": 1, "fps": 1, "size": [64, 64]}] * 2}, "levels must rise"),
    ],
)
def test_a_bad_profile_is_refused_by_name(profile: dict, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        parse_table(profile)


def test_the_default_table_never_falls_with_more_gpu_time() -> None:
    table = default_table(320, 192)
    pixels = [config.fps * config.width * config.height for _, config in table.levels]
    assert pixels == sorted(pixels)
    assert table.config_for(1.0) == SamplingConfig(2.0, 320, 192)
    assert table.config_for(0.2) == SamplingConfig(1.0, 256, 160)
    assert table.levels[-1] == (32.0, SamplingConfig(64.0, 320, 192))


@pytest.mark.parametrize(
    ("fps", "stride"), [(10.0, 1), (64.0, 1), (9.9, 2), (5.0, 2), (4.0, 3), (2.0, 5), (1.0, 10), (0.1, 10)]
)
def test_the_frame_clock_delivers_every_kth_frame_at_most_as_many_as_asked(fps: float, stride: int) -> None:
    assert stride_for(fps, 10.0) == stride


def test_a_clock_slower_than_the_least_rate_is_used_whole() -> None:
    assert stride_for(0.1, 0.5) == 1


def test_a_group_divides_the_frame_rate_and_keeps_the_size() -> None:
    alone = GpuProportional(TABLE, alpha_sum=1.0).plan(4.0, 0.6, 1, LIMITS)
    shared = GpuProportional(TABLE, alpha_sum=1.0).plan(4.0, 0.6, 2, LIMITS)
    assert (alone.fps, alone.stride, alone.width, alone.height) == (10.0, 1, 320, 192)
    assert (shared.fps, shared.stride, shared.width, shared.height) == (5.0, 2, 320, 192)
    assert alone.alpha == pytest.approx(0.6)
    assert shared.alpha == pytest.approx(0.3)


def test_a_small_source_is_never_scaled_up() -> None:
    plan = GpuProportional(TABLE).plan(9.0, 1.0, 1, CameraLimits(fps=4.0, width=224, height=128))
    assert (plan.fps, plan.width, plan.height) == (4.0, 224, 128)


def test_without_a_profile_the_default_table_serves() -> None:
    plan = GpuProportional().plan(2.0, 0.2, 1, LIMITS)
    assert (plan.fps, plan.width, plan.height) == (pytest.approx(10 / 3), 320, 192)


def test_the_fixed_rule_ignores_the_gpu() -> None:
    rule = FixedTransmission()
    assert rule.plan(0.1, 0.01, 9, LIMITS) == rule.plan(20.0, 0.9, 1, LIMITS)
    plan = FixedTransmission(fps=2.0, scale=0.5, fixed_alpha=0.2).plan(1.0, 1.0, 1, LIMITS)
    assert (plan.fps, plan.width, plan.height, plan.alpha) == (2.0, 160, 96, 0.2)
