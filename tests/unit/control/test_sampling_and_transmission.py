from dataclasses import replace

import pytest

from ecco_emu.control.sampling import (
    SamplingConfig,
    SamplingTable,
    default_table,
    parse_table,
    pixels_per_level,
    stride_for,
)
from ecco_emu.control.shares import AlphaMapping
from ecco_emu.control.transmission import CameraLimits, FixedTransmission, GpuProportional
from ecco_emu.core.errors import ScenarioError
from ecco_emu.core.ids import CameraId

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
        ({"version": 1, "levels": [], "level": 1}, "level: a sampling table has"),
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


PIXELS = 320 * 192


def test_a_level_pays_for_what_the_gpu_trains_on() -> None:
    """40 images/s for 2 of 20 s are 4 reference images a second; a picture four times as large costs four."""
    budget = pixels_per_level(gpu_speed=40.0, micro_s=2.0, window_s=20.0)
    assert budget == 4 * PIXELS
    assert default_table(320, 192, budget).config_for(1.0) == SamplingConfig(4.0, 320, 192)
    assert default_table(640, 384, budget).config_for(1.0) == SamplingConfig(1.0, 640, 384)
    assert default_table(320, 192, budget, passes=2.0).config_for(1.0) == SamplingConfig(2.0, 320, 192)


@pytest.mark.parametrize("speed", [0.5, 2.0, 16.0, 500.0])
def test_the_default_table_spends_its_budget_and_never_falls_with_more_gpu_time(speed: float) -> None:
    table = default_table(640, 384, speed * PIXELS)
    for level, config in table.levels:
        assert config.fps * config.width * config.height == pytest.approx(level * speed * PIXELS)


def test_resolution_is_given_up_only_where_frames_would_be_too_rare() -> None:
    table = default_table(320, 192, 2.0 * PIXELS)
    assert table.config_for(0.5) == SamplingConfig(1.0, 320, 192)
    assert (table.config_for(0.25).width, table.config_for(0.25).height) == (224, 128)
    assert table.config_for(0.25).fps >= 1.0
    smallest = table.config_for(0.0)
    assert (smallest.width, smallest.height) == (160, 96)  # half of each side, however rare the frames
    assert smallest.fps == pytest.approx(1.0)
    assert default_table(320, 192, 0.2 * PIXELS).config_for(0.0).fps == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("fps", "stride"),
    [(10.0, 1), (64.0, 1), (9.9, 2), (5.0, 2), (4.0, 3), (2.0, 5), (1.0, 10), (0.1, 100), (0.01, 200)],
)
def test_the_frame_clock_delivers_every_kth_frame_at_most_as_many_as_asked(fps: float, stride: int) -> None:
    assert stride_for(fps, 10.0) == stride


def test_a_clock_slower_than_the_least_rate_is_used_whole() -> None:
    assert stride_for(0.01, 0.04) == 1


def test_twenty_two_members_send_what_their_job_can_train_on() -> None:
    """A least rate of 1 frame a second sent 22 frames for the 6 that the GPU time pays for."""
    rule = GpuProportional(pixels_per_s_per_level=1.0 * PIXELS)
    plan = rule.plan(6.0, 1.0, 22, LIMITS)
    assert plan.fps == pytest.approx(10 / 37)  # the frame clock's rate at most 6/22
    assert 22 * plan.fps * plan.width * plan.height <= 6.0 * PIXELS


def test_a_camera_follows_its_own_table_before_the_common_one() -> None:
    own = SamplingTable(((1.0, SamplingConfig(1.0, 64, 64)),))
    rule = GpuProportional(TABLE, tables={CameraId("cam1"): own})
    assert rule.plan(4.0, 1.0, 1, replace(LIMITS, camera=CameraId("cam1"))).width == 64
    assert rule.plan(4.0, 1.0, 1, replace(LIMITS, camera=CameraId("cam2"))).width == 320
    assert rule.plan(4.0, 1.0, 1, LIMITS).width == 320


@pytest.mark.parametrize("mapping", ["linear", "root", "auto"])
def test_the_weight_is_the_share_whatever_the_mapping(mapping: AlphaMapping) -> None:
    rule = GpuProportional(mapping=mapping)
    assert rule.plan(1.0, 0.6, 3, LIMITS).weight == pytest.approx(0.2)
    assert rule.plan(1.0, 0.0, 3, LIMITS).weight > 0
    assert FixedTransmission().plan(1.0, 0.6, 3, LIMITS).weight == 1.0


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
    plan = GpuProportional(pixels_per_s_per_level=2.0 * PIXELS).plan(2.0, 0.2, 1, LIMITS)
    assert (plan.fps, plan.width, plan.height) == (pytest.approx(10 / 3), 320, 192)


def test_the_fixed_rule_ignores_the_gpu() -> None:
    rule = FixedTransmission()
    assert rule.plan(0.1, 0.01, 9, LIMITS) == rule.plan(20.0, 0.9, 1, LIMITS)
    plan = FixedTransmission(fps=2.0, scale=0.5, fixed_alpha=0.2).plan(1.0, 1.0, 1, LIMITS)
    assert (plan.fps, plan.width, plan.height, plan.alpha) == (2.0, 160, 96, 0.2)
