"""Estimates with their uncertainty: the jackknife against theory, pairing, blocks, the change point."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecco_emu.control.evidence import (
    BLOCKS,
    AccuracyDifference,
    Estimate,
    blocks,
    change_point,
    paired,
    two_sample,
)


def of_mean(values: np.ndarray) -> Estimate:
    """The mean of values as an accuracy would be estimated: with a block left out each time."""
    left_out = [np.delete(values, list(block)).mean() for block in blocks(len(values))]
    return Estimate(float(values.mean()), len(values), tuple(map(float, left_out)))


def test_the_error_of_a_mean_is_the_textbooks() -> None:
    values = np.array([0.1, 0.5, 0.3, 0.9, 0.2, 0.6, 0.4, 0.8])
    other = Estimate(0.0, 8, (0.0,) * 8)
    expected = values.std(ddof=1) / math.sqrt(8)
    assert two_sample(of_mean(values), other).error == pytest.approx(expected)
    assert two_sample(of_mean(values), of_mean(values)).error == pytest.approx(expected * math.sqrt(2))
    assert two_sample(of_mean(values), of_mean(values)).freedom == pytest.approx(14)  # Welch, equal variances


def test_an_error_known_beforehand_adds_to_the_measured_ones() -> None:
    exact = Estimate(0.5, 8, (0.5,) * 8)
    difference = two_sample(exact, exact, between=0.045)
    assert difference.error == pytest.approx(0.045)
    assert difference.freedom == math.inf


def test_what_makes_a_frame_hard_for_both_models_cancels() -> None:
    hard = np.array([0.1, 0.9, 0.2, 0.8, 0.3, 0.7, 0.1, 0.9])
    better = paired(of_mean(hard + 0.05), of_mean(hard))
    assert better.value == pytest.approx(0.05)
    assert better.error == pytest.approx(0.0, abs=1e-12)
    assert better.lower(0.99) == pytest.approx(0.05)
    assert two_sample(of_mean(hard + 0.05), of_mean(hard)).lower(0.9) < 0


def test_the_confidence_of_a_bound_is_students() -> None:
    assert AccuracyDifference(0.0, 1.0, freedom=7).lower(0.99) == pytest.approx(-2.998, abs=1e-3)
    assert AccuracyDifference(0.0, 1.0).lower(0.95) == pytest.approx(-1.645, abs=1e-3)
    assert AccuracyDifference(0.2, None).lower(0.5) == 0.2
    assert AccuracyDifference(0.2, None).lower(0.8) == -math.inf
    with pytest.raises(ValueError, match="confidence"):
        AccuracyDifference(0.0, 1.0).lower(0.4)


def test_one_frame_says_nothing_of_its_own_error() -> None:
    assert paired(Estimate(0.4, 1), Estimate(0.1, 1)).error is None
    with pytest.raises(ValueError, match="same frames"):
        paired(of_mean(np.array([0.4, 0.3])), Estimate(0.1, 1))


@given(st.integers(0, 500))
def test_blocks_cut_the_frames_evenly_and_completely(frames: int) -> None:
    cut = blocks(frames)
    assert [place for block in cut for place in block] == list(range(frames))
    assert len(cut) == min(frames, BLOCKS)
    assert max(map(len, cut), default=0) - min(map(len, cut), default=0) <= 1


@pytest.mark.parametrize("at", [4, 7, 16])
def test_the_change_point_is_where_the_series_fell(at: int) -> None:
    noise = np.random.default_rng(3).normal(0, 0.1, 20)
    series = [(10.0 + i, (0.8 if i < at else 0.2) + float(noise[i])) for i in range(20)]
    assert change_point(series) == 10.0 + at


def test_a_series_that_rose_or_is_short_has_no_change_point() -> None:
    assert change_point([(float(i), 0.2 if i < 8 else 0.8) for i in range(16)]) is None
    assert change_point([(0.0, 1.0), (1.0, 0.0)]) is None
    assert change_point([]) is None
