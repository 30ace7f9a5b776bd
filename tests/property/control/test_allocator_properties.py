"""What must hold of every allocation, whatever the jobs, the gains and the interruptions."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecco_emu.control.allocator import Allocator, FairAllocator, GreedyAllocator
from ecco_emu.control.gains import GainMemory
from ecco_emu.core.ids import JobId

jobs_strategy = st.dictionaries(
    st.integers(0, 9).map(lambda index: JobId(f"j{index}")), st.integers(1, 8), min_size=1
)
accuracies = st.floats(0.0, 1.0)
interruptions = st.lists(
    st.tuples(
        st.sampled_from(["train", "train", "train", "skip", "add", "remove", "resize"]),
        accuracies,
        accuracies,
    ),
    max_size=60,
)


def check_estimate(allocator: Allocator, budget: int) -> None:
    estimate = allocator.estimate()
    if estimate:
        assert sum(share.p for share in estimate.values()) == pytest.approx(1.0)
        assert sum(share.c for share in estimate.values()) == pytest.approx(budget)
        assert all(share.p > 0 for share in estimate.values())


def interfere(allocator: Allocator, members: dict[JobId, int], script: list[Any]) -> list[JobId]:
    """Plays a script on an allocator and returns who trained."""
    order: list[JobId] = []
    for number, (action, before, after) in enumerate(script):
        left = allocator.remaining
        if action == "skip":
            allocator.skip()
        elif action == "add":
            job = JobId(f"new{number}")
            members[job] = 1
            allocator.add_job(job, 1)
        elif action == "remove" and members:
            job = sorted(members)[0]
            del members[job]
            allocator.remove_job(job)
        elif action == "resize" and members:
            job = sorted(members)[-1]
            members[job] += 1
            allocator.resize_job(job, members[job])
        elif action == "train" and (job_or_none := allocator.next_job()) is not None:
            assert job_or_none in members
            allocator.record(job_or_none, before, after)
            assert allocator.remaining == left - 1
            order.append(job_or_none)
        assert allocator.remaining >= 0
    return order


@given(jobs_strategy, interruptions, st.integers(1, 20), st.integers(1, 4), st.booleans())
def test_budget_shares_and_determinism_survive_any_interruption(
    jobs: dict[JobId, int], script: list[Any], micro_windows: int, gpus: int, greedy: bool
) -> None:
    orders = []
    for _ in range(2):
        kind = GreedyAllocator if greedy else FairAllocator
        allocator = kind(micro_windows, gpus, jobs)
        orders.append(interfere(allocator, dict(jobs), script))
        check_estimate(allocator, micro_windows * gpus)
        assert len(orders[-1]) <= micro_windows
    assert orders[0] == orders[1]


@given(jobs_strategy, st.data())
def test_initial_pass_gives_each_job_exactly_one_micro_window(jobs: dict[JobId, int], data: Any) -> None:
    allocator = GreedyAllocator(len(jobs) + 3, 1, jobs)
    order = []
    while not allocator.initial_pass_complete:
        job = allocator.next_job()
        assert job is not None
        allocator.record(job, data.draw(accuracies), data.draw(accuracies))
        order.append(job)
    assert sorted(order) == sorted(jobs)


@given(st.floats(0.0, 0.1), st.floats(-0.1, 0.0), st.integers(1, 8), st.floats(0.0, 1.0))
def test_no_job_waits_longer_than_recovery_allows(
    rich: float, poor: float, members: int, size_weight: float
) -> None:
    """A job with the worst gain is trained again after at most the time its estimate needs to grow back."""
    big, small = JobId("big"), JobId("small")
    memory = GainMemory(smoothing=1.0, recovery=0.01)
    allocator = GreedyAllocator(
        300, 1, {big: members, small: 1}, size_weight=size_weight, fairness=0.0, memory=memory
    )
    weight_ratio = members**size_weight
    bound = (weight_ratio * rich - poor) / 0.01 + 2
    waited = 0
    while (job := allocator.next_job()) is not None:
        allocator.record(job, 0.5, 0.5 + (rich if job == big else poor))
        waited = 0 if job == small else waited + 1
        assert waited <= bound
