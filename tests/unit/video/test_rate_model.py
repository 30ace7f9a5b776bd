from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ecco_emu.video.rate_model import CRF_MAX, CRF_MIN, Attempt, RateModel, Search

PIXELS = 320 * 192


def coded(crf: float, frames: int = 4, *, level: float = 0.0, slope: float = 0.11) -> Attempt:
    """What a codec that follows the model's law exactly gives: P frames a quarter of the I frame."""
    intra = PIXELS * math.exp(level - slope * (crf - 26))
    return Attempt(crf, (round(intra), *[round(intra / 4)] * (frames - 1)))


def run(search: Search, **law: float) -> list[Attempt]:
    while (crf := search.next_crf()) is not None:
        search.add(coded(crf, search.frames, **law))
    return search.attempts


def test_the_default_model_in_numbers() -> None:
    model = RateModel(anchor_crf=26, level=0.0, slope=0.1, inter_ratio=0.25)
    assert model.bits_at(26, pixels=1000, frames=1) == 1000
    assert model.bits_at(26, pixels=1000, frames=5) == 2000
    assert model.bits_at(36, pixels=1000, frames=1) == pytest.approx(1000 / math.e)
    assert model.crf_for(1000 / math.e, pixels=1000, frames=1) == pytest.approx(36)


def test_crf_stays_within_what_h264_has() -> None:
    assert RateModel().crf_for(1, pixels=PIXELS, frames=5) == CRF_MAX
    assert RateModel().crf_for(1e12, pixels=PIXELS, frames=5) == CRF_MIN


def test_learning_goes_through_the_chosen_attempt_at_once() -> None:
    chosen = Attempt(30.0, (40_000, 8_000, 8_000))
    model = RateModel().learn([chosen], chosen, pixels=PIXELS)
    assert model.bits_at(30.0, pixels=PIXELS, frames=3) == pytest.approx(56_000)
    assert model.inter_ratio == pytest.approx((0.25 + 0.2) / 2)
    assert model.slope == RateModel().slope


def test_learning_moves_the_slope_half_way_and_within_bounds() -> None:
    gentle = [Attempt(20.0, (100_000,)), Attempt(30.0, (round(100_000 / math.exp(0.5)),))]
    assert RateModel(slope=0.15).learn(gentle, gentle[1], pixels=PIXELS).slope == pytest.approx(
        0.10, abs=1e-4
    )
    rising = [Attempt(20.0, (1_000,)), Attempt(30.0, (2_000,))]
    assert RateModel(slope=0.15).learn(rising, rising[1], pixels=PIXELS).slope == pytest.approx(
        (0.15 + 0.03) / 2
    )


def test_what_was_learned_holds_at_another_size() -> None:
    chosen = Attempt(28.0, (60_000,))
    model = RateModel().learn([chosen], chosen, pixels=PIXELS)
    assert model.bits_at(28.0, pixels=4 * PIXELS, frames=1) == pytest.approx(240_000)


def test_one_attempt_when_the_model_is_right() -> None:
    assert len(run(Search(RateModel(), 100_000, PIXELS, 4))) == 1


def test_a_miss_is_corrected() -> None:
    attempts = run(Search(RateModel(), 100_000, PIXELS, 4), level=1.0)
    assert 2 <= len(attempts) <= 3
    assert attempts[0].bits > 250_000
    assert 90_000 <= attempts[-1].bits <= 104_000


def test_the_coarsest_quantiser_is_tried_once_and_taken() -> None:
    search = Search(RateModel(), 1_000, PIXELS, 4)
    attempts = run(search, level=2.0)
    assert [attempt.crf for attempt in attempts] == [CRF_MAX]
    assert search.best.bits > 1_000


def test_being_over_counts_double() -> None:
    search = Search(RateModel(), 1000, PIXELS, 1)
    search.add(Attempt(30.0, (1100,)))
    search.add(Attempt(32.0, (820,)))
    assert search.best.bits == 820


DISTINCT_CRF = 0.05
"""Nearer than this to an end of the scale, the end itself is not tried any more."""


@example(level=0.0, slope=0.0625, target=985374, frames=1)
@given(
    level=st.floats(-3, 3),
    slope=st.floats(0.05, 0.2),
    target=st.integers(5_000, 4_000_000),
    frames=st.integers(1, 15),
)
def test_search_ends_near_the_target_or_at_an_end(
    level: float, slope: float, target: int, frames: int
) -> None:
    search = Search(RateModel(), target, PIXELS, frames)
    attempts = run(search, level=level, slope=slope)
    assert 1 <= len(attempts) <= search.max_attempts
    assert all(CRF_MIN <= attempt.crf <= CRF_MAX for attempt in attempts)
    assert len({attempt.crf for attempt in attempts}) == len(attempts)
    if CRF_MIN + DISTINCT_CRF < search.best.crf < CRF_MAX - DISTINCT_CRF:
        assert 0.85 * target <= search.best.bits <= 1.15 * target
