import pytest

from ecco_emu.control.objective import JobGain, lowest_accuracy, objective_gains, size_weights
from ecco_emu.core.ids import JobId

A, B, C = JobId("a"), JobId("b"), JobId("c")


@pytest.mark.parametrize(
    ("size_weight", "expected"),
    [(1.0, {A: 0.8, B: 0.2}), (0.0, {A: 0.5, B: 0.5}), (0.5, {A: 2 / 3, B: 1 / 3})],
)
def test_size_weight_goes_from_equal_groups_to_equal_cameras(size_weight: float, expected: dict) -> None:
    assert size_weights({A: 4, B: 1}, size_weight) == pytest.approx(expected)


def test_an_empty_group_is_refused() -> None:
    with pytest.raises(ValueError, match="a group has at least one camera"):
        size_weights({A: 0}, 0.5)


def test_only_the_lowest_accuracy_job_gets_the_bonus() -> None:
    jobs = [JobGain(A, 1, 0.6, 0.1), JobGain(B, 1, 0.3, 0.1)]
    assert objective_gains(jobs, 0.5, 0.5) == pytest.approx({A: 0.05, B: 0.1})


def test_equally_low_jobs_the_first_id_gets_the_bonus() -> None:
    jobs = [JobGain(C, 1, 0.3, 0.1), JobGain(B, 1, 0.3, 0.1), JobGain(A, 1, 0.5, 0.1)]
    assert lowest_accuracy(jobs) == B


def test_unmeasured_jobs_are_not_the_lowest() -> None:
    assert lowest_accuracy([JobGain(A, 1, None, 0.0), JobGain(B, 1, 0.9, 0.0)]) == B
    assert lowest_accuracy([JobGain(A, 1, None, 0.0)]) is None


def test_the_papers_example_without_bias_to_size() -> None:
    """Section 3.1: a group of four must not starve a lone camera with the larger gain."""
    jobs = [JobGain(A, 4, 0.5, 0.05), JobGain(B, 1, 0.3, 0.1)]
    by_cameras = objective_gains(jobs, 1.0, 0.0)
    ours = objective_gains(jobs, 0.5, 0.5)
    assert by_cameras[A] > by_cameras[B]
    assert ours[B] > ours[A]
