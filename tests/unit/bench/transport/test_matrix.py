"""The share matrix: which experiments there are."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from ecco_emu.bench.transport import matrix, situations
from ecco_emu.bench.transport.measures import capped_flows
from ecco_emu.bench.transport.run import Options, planned


def test_the_full_matrix_has_every_combination_once() -> None:
    points = matrix.full()
    assert len(points) == len(set(points)) == 4 * 3 * 5 * 3 * 2 * 3


def test_every_two_values_of_different_axes_meet_in_the_spanning_subset() -> None:
    rows = [(p.pattern, p.flows, p.rate_bps, p.queue_s, p.rtt, p.loss) for p in matrix.spanning()]
    for a, b in itertools.combinations(range(len(matrix.AXES)), 2):
        met = {(row[a], row[b]) for row in rows}
        assert met == set(itertools.product(matrix.AXES[a], matrix.AXES[b]))
    assert len(rows) <= 25  # 20 is the least: rates times patterns


def test_the_subset_is_the_same_every_time() -> None:
    assert matrix.spanning() == matrix.spanning()


def test_labels_tell_points_apart() -> None:
    labels = [point.label for point in matrix.full()]
    assert len(set(labels)) == len(labels)
    assert matrix.in_order(reversed(labels)) == labels


@pytest.mark.parametrize(
    ("pattern", "flows", "weights"),
    [
        ((5, 3, 2), 3, (5, 3, 2)),
        ((5, 3, 2), 4, (2.5, 2.5, 3, 2)),
        ((7, 4, 1, 1), 6, (3.5, 3.5, 2, 2, 1, 1)),
        ((1, 1, 1, 1), 4, (1, 1, 1, 1)),
    ],
)
def test_a_groups_weight_is_shared_by_its_flows(
    pattern: tuple[int, ...], flows: int, weights: tuple[float, ...]
) -> None:
    assert matrix.flow_weights(pattern, flows) == weights


def test_fewer_flows_than_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="3 groups"):
        matrix.flow_weights((5, 3, 2), 2)


@pytest.mark.parametrize("flows", [1, 3, 4, 10, 22])
def test_mixed_round_trips_are_spread_over_the_whole_range(flows: int) -> None:
    rtts = matrix.mixed_rtts(flows)
    assert len(rtts) == flows
    assert min(rtts) == 0.01
    if flows > 1:
        assert max(rtts) == pytest.approx(0.08)
        gaps = [b - a for a, b in itertools.pairwise(sorted(rtts))]
        assert gaps == pytest.approx([0.07 / (flows - 1)] * (flows - 1))


def test_fig11_caps_group_a_below_its_share_and_nobody_else() -> None:
    for experiment in situations.fig11(["linear"], seeds=1):
        assert capped_flows(experiment.cell) == [True, True, False, False, False, False]


def test_real_links_repeat_only_what_is_compared_with_the_reference() -> None:
    options = Options(only=("shares", "real"), mappings=("linear", "root"), seeds=3, repeats=2)
    counts = {"linear": 0, "root": 0}
    for experiment in planned(options, "real"):
        counts[experiment.cell.mapping] += 1
    assert counts == {"linear": 20, "root": 40}
    assert len(planned(options, "simulated")) == 1080 * (1 + 3)
    assert len(planned(replace(options, quick=True), "simulated")) == 20 * (3 + 3)
    assert len(planned(replace(options, full=True), "real")) == 1080 * (1 + 2)


def test_the_first_repetition_of_everything_comes_first() -> None:
    seeds = [one.cell.seed for one in planned(Options(mappings=("linear",)), "simulated")]
    assert seeds == sorted(seeds)
