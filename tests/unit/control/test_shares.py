import math

import pytest

from ecco_emu.control.shares import MIN_ALPHA, gaimd_alpha, weighted_max_min


def test_alphas_of_all_cameras_sum_to_alpha_sum() -> None:
    groups = [(0.5, 3), (0.3, 1), (0.2, 2)]
    alphas = [gaimd_alpha(p, n, alpha_sum=2.0) for p, n in groups for _ in range(n)]
    assert sum(alphas) == pytest.approx(2.0)


def test_root_mapping_squares_the_weight() -> None:
    assert gaimd_alpha(0.5, 1, alpha_sum=1.0, mapping="root") == pytest.approx(0.25)
    assert gaimd_alpha(0.6, 3, alpha_sum=1.0, mapping="root") == pytest.approx(0.04)


def test_alpha_never_vanishes() -> None:
    assert gaimd_alpha(0.0, 5) == MIN_ALPHA


@pytest.mark.parametrize(("p", "members"), [(-0.1, 1), (1.1, 1), (0.5, 0)])
def test_shares_out_of_range_are_refused(p: float, members: int) -> None:
    with pytest.raises(ValueError, match="a share is in"):
        gaimd_alpha(p, members)


def test_what_a_capped_flow_leaves_is_divided_by_weight() -> None:
    """Fig. 11: shares 3:5:2, the first group capped; the others split the rest 5:2."""
    rates = weighted_max_min(10.0, [3.0, 5.0, 2.0], [1.6, math.inf, math.inf])
    assert rates == pytest.approx([1.6, 6.0, 2.4])


def test_flows_without_weight_get_nothing_and_all_capped_leaves_capacity_unused() -> None:
    assert weighted_max_min(9.0, [0.0, 1.0], [5.0, 2.0]) == [0.0, 2.0]
    assert weighted_max_min(9.0, [], []) == []


@pytest.mark.parametrize(
    ("capacity", "weights", "caps"),
    [
        (-1.0, [1.0], [1.0]),
        (1.0, [-1.0], [1.0]),
        (1.0, [1.0], [-1.0]),
        (1.0, [1.0], []),
        (1.0, [1.0], [math.nan]),
    ],
)
def test_nonsense_is_refused(capacity: float, weights: list[float], caps: list[float]) -> None:
    with pytest.raises(ValueError, match=r"negative|weights but"):
        weighted_max_min(capacity, weights, caps)
