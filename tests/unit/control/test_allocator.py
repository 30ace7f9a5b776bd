"""Algorithm 1 with literal gains: whom it picks, what it tells cameras, what it does about odd samples."""

from collections.abc import Callable

import pytest

from ecco_emu.control.allocator import FairAllocator, GpuEstimate, GreedyAllocator, TimeLedger
from ecco_emu.control.gains import GainMemory
from ecco_emu.core.ids import JobId

A, B, C = JobId("a"), JobId("b"), JobId("c")


def paper_memory() -> GainMemory:
    """The paper's own rule: the newest sample counts, and only that."""
    return GainMemory(smoothing=1.0, recovery=0.0)


def run(
    allocator: GreedyAllocator, curve: Callable[[JobId, int], float], steps: int | None = None
) -> list[JobId]:
    """Trains as told; ``curve(job, k)`` is the accuracy after k micro-windows of training."""
    trained: dict[JobId, int] = {}
    order: list[JobId] = []
    while (job := allocator.next_job()) is not None and len(order) != steps:
        done = trained.get(job, 0)
        allocator.record(job, curve(job, done), curve(job, done + 1))
        trained[job] = done + 1
        order.append(job)
    return order


def test_initial_pass_trains_every_job_once_then_greedy_takes_the_highest_gain() -> None:
    allocator = GreedyAllocator(6, 1, {A: 1, B: 1, C: 1}, fairness=0.0, memory=paper_memory())
    rates = {A: 0.01, B: 0.05, C: 0.02}
    order = run(allocator, lambda job, k: 0.1 + rates[job] * k)
    assert order == [A, B, C, B, B, B]
    assert allocator.remaining == 0


def test_estimate_is_the_share_of_objective_gain_after_the_initial_pass() -> None:
    allocator = GreedyAllocator(10, 2, {A: 1, B: 1}, fairness=0.0, memory=paper_memory())
    assert not allocator.initial_pass_complete
    allocator.next_job()
    allocator.record(A, 0.1, 0.2)
    assert not allocator.initial_pass_complete
    allocator.next_job()
    allocator.record(B, 0.1, 0.4)
    assert allocator.initial_pass_complete
    estimate = allocator.estimate()
    assert estimate[A].p == pytest.approx(0.25)
    assert estimate[B].p == pytest.approx(0.75)
    assert estimate[B].c == pytest.approx(0.75 * 2 * 10)


def test_the_first_estimate_of_all_is_an_equal_split() -> None:
    allocator = GreedyAllocator(10, 1, {A: 4, B: 1})
    assert allocator.estimate() == {A: GpuEstimate(c=5.0, p=0.5), B: GpuEstimate(c=5.0, p=0.5)}


def test_negative_gains_are_floored_in_the_estimate_and_still_ranked() -> None:
    allocator = GreedyAllocator(3, 1, {A: 1, B: 1}, fairness=0.0, floor=0.01, memory=paper_memory())
    for before, after in ((0.5, 0.3), (0.5, 0.4)):
        job = allocator.next_job()
        assert job is not None
        allocator.record(job, before, after)
    assert allocator.estimate() == {A: GpuEstimate(1.5, 0.5), B: GpuEstimate(1.5, 0.5)}
    assert allocator.next_job() == B


def test_fairness_lifts_the_lowest_job() -> None:
    curve = {A: lambda k: 0.6 + 0.05 * k, B: lambda k: 0.1 + 0.03 * k}
    unfair = GreedyAllocator(6, 1, {A: 1, B: 1}, fairness=0.0, memory=paper_memory())
    fair = GreedyAllocator(6, 1, {A: 1, B: 1}, fairness=0.5, memory=paper_memory())
    assert run(unfair, lambda job, k: curve[job](k)).count(A) == 5
    assert run(fair, lambda job, k: curve[job](k)).count(B) == 5


def test_a_job_that_is_flat_at_first_is_tried_again() -> None:
    """Measured: night accuracy hardly moves in the first 20 to 40 steps, then goes to 0.4."""

    def curve(job: JobId, k: int) -> float:
        return 0.1 + 0.4 * (1 - 0.8**k) if job == A else 0.1 * max(0, k - 1)

    stuck = run(GreedyAllocator(12, 1, {A: 1, B: 1}, fairness=0.0, memory=paper_memory()), curve)
    assert stuck.count(B) == 1
    helped = run(GreedyAllocator(12, 1, {A: 1, B: 1}, fairness=0.0, memory=GainMemory()), curve)
    assert helped.index(B, 2) < 8
    assert helped.count(B) >= 4


def test_one_bad_sample_does_not_shut_a_job_out() -> None:
    memory = GainMemory(smoothing=0.6, recovery=0.02)
    allocator = GreedyAllocator(12, 1, {A: 1, B: 1}, fairness=0.0, memory=memory)
    allocator.next_job()
    allocator.record(A, 0.30, 0.34)
    allocator.next_job()
    allocator.record(B, 0.30, 0.20)
    order = run(allocator, lambda job, k: 0.3 + 0.04 * k)
    assert B in order
    assert order.index(B) <= 7


def test_more_jobs_than_micro_windows_take_turns_over_the_windows() -> None:
    jobs = {JobId(f"j{index}"): 1 for index in range(5)}
    memory = GainMemory()
    first = run(GreedyAllocator(2, 1, jobs, memory=memory), lambda job, k: 0.1 * k)
    second = run(GreedyAllocator(2, 1, jobs, memory=memory), lambda job, k: 0.1 * k)
    third = GreedyAllocator(2, 1, jobs, memory=memory)
    assert first + second + run(third, lambda job, k: 0.1 * k) == ["j0", "j1", "j2", "j3", "j4", "j0"]
    assert third.initial_pass_complete
    assert sum(share.p for share in third.estimate().values()) == pytest.approx(1.0)


def test_a_job_added_mid_window_trains_next_and_reopens_the_initial_pass() -> None:
    allocator = GreedyAllocator(6, 1, {A: 1}, memory=paper_memory())
    run(allocator, lambda job, k: 0.2 * k, steps=2)
    assert allocator.initial_pass_complete
    pending = allocator.next_job()
    allocator.add_job(B, 2)
    assert not allocator.initial_pass_complete
    assert pending == A
    allocator.record(A, 0.4, 0.5)
    assert allocator.next_job() == B
    allocator.record(B, 0.1, 0.2)
    assert allocator.initial_pass_complete
    assert allocator.estimate().keys() == {A, B}


def test_size_changes_count_at_once() -> None:
    allocator = GreedyAllocator(6, 1, {A: 1, B: 1}, size_weight=1.0, fairness=0.0, memory=paper_memory())
    run(allocator, lambda job, k: 0.1 * k, steps=2)
    allocator.resize_job(B, 3)
    assert allocator.estimate()[B].p == pytest.approx(0.75)
    with pytest.raises(KeyError):
        allocator.resize_job(C, 2)
    with pytest.raises(ValueError, match="remove it instead"):
        allocator.resize_job(B, 0)


def test_a_job_removed_while_it_trains_spends_its_micro_window_and_teaches_nothing() -> None:
    allocator = GreedyAllocator(3, 1, {A: 1, B: 1})
    assert allocator.next_job() == A
    allocator.remove_job(A)
    allocator.record(A, 0.1, 0.9)
    assert allocator.remaining == 2
    assert allocator.next_job() == B
    assert allocator.estimate().keys() == {B}


def test_a_job_removed_before_it_trains_is_not_named_again() -> None:
    allocator = GreedyAllocator(3, 1, {A: 1, B: 1})
    assert allocator.next_job() == A
    allocator.remove_job(A)
    assert allocator.next_job() == B
    assert allocator.remaining == 2
    allocator.remove_job(B)
    assert allocator.next_job() is None
    assert allocator.estimate() == {}


def test_next_job_does_not_change_its_mind_and_record_must_match() -> None:
    allocator = GreedyAllocator(2, 1, {A: 1, B: 1})
    assert allocator.next_job() == allocator.next_job() == A
    with pytest.raises(ValueError, match="not given"):
        allocator.record(B, 0.1, 0.2)


def test_skipped_micro_windows_are_gone_and_the_named_job_gives_its_own_back() -> None:
    allocator = GreedyAllocator(5, 1, {A: 1})
    allocator.next_job()
    allocator.skip(2)
    assert allocator.remaining == 3
    allocator.skip(99)
    assert allocator.next_job() is None
    assert allocator.initial_pass_complete


def test_a_job_that_could_not_be_measured_counts_as_tried_and_as_average() -> None:
    allocator = GreedyAllocator(4, 1, {A: 1, B: 1}, fairness=0.0, memory=paper_memory())
    allocator.next_job()
    allocator.record(A, None, None)
    allocator.next_job()
    allocator.record(B, 0.1, 0.3)
    assert allocator.initial_pass_complete
    assert allocator.estimate()[A].p == pytest.approx(0.5)


def test_equal_gains_take_turns() -> None:
    allocator = GreedyAllocator(6, 1, {B: 1, A: 1}, fairness=0.0, memory=paper_memory())
    assert run(allocator, lambda job, k: 0.125 * k) == [A, B, A, B, A, B]


def test_smoothing_weighs_fresh_samples_and_forgets_old_ones() -> None:
    memory = GainMemory(smoothing=0.6, recovery=0.0)
    memory.tick()
    memory.note(A, 0.0, 0.1)
    memory.tick()
    memory.note(A, 0.1, 0.1)
    assert memory.measured(A) == pytest.approx(0.4 * 0.1)
    memory.tick(3)
    memory.note(A, 0.1, 0.3)
    assert memory.measured(A) == pytest.approx(0.4**3 * 0.04 + (1 - 0.4**3) * 0.2)


def test_recovery_grows_with_waiting() -> None:
    memory = GainMemory(recovery=0.02)
    memory.tick()
    memory.note(A, 0.5, 0.4)
    assert memory.expected_gain(A) == pytest.approx(-0.1)
    memory.tick(10)
    assert memory.expected_gain(A) == pytest.approx(0.1)
    assert memory.measured(A) == pytest.approx(-0.1)
    assert memory.waited(B) is None


def test_parameters_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="smoothing"):
        GainMemory(smoothing=0.0)
    with pytest.raises(ValueError, match="recovery"):
        GainMemory(recovery=-1.0)
    with pytest.raises(ValueError, match="floor"):
        GreedyAllocator(1, 1, {}, floor=0.0)
    with pytest.raises(ValueError, match="at least one micro-window"):
        GreedyAllocator(0, 1, {})


def test_fair_allocation_evens_out_over_windows() -> None:
    ledger = TimeLedger()
    counts = {A: 0, B: 0, C: 0}
    for _ in range(3):
        allocator = FairAllocator(4, 1, {A: 1, B: 1, C: 1}, ledger=ledger)
        while (job := allocator.next_job()) is not None:
            allocator.record(job, None, None)
            counts[job] += 1
    assert counts == {A: 4, B: 4, C: 4}


def test_a_newcomer_does_not_make_up_for_the_past() -> None:
    ledger = TimeLedger()
    first = FairAllocator(10, 1, {A: 1}, ledger=ledger)
    while (job := first.next_job()) is not None:
        first.record(job, None, None)
    second = FairAllocator(4, 1, {A: 1, B: 1}, ledger=ledger)
    order = []
    while (job := second.next_job()) is not None:
        second.record(job, None, None)
        order.append(job)
    assert order == [A, B, A, B]
