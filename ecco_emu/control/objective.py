"""Eq. 1 of the paper: the weighted mean accuracy of all jobs plus a bonus for the worst.

    max  sum_j w_j * A_j  +  fairness * min_j A_j,     w_j = n_j^size_weight / sum_i n_i^size_weight

``size_weight`` 1 weighs a group by its cameras (as RECL does), 0 weighs groups equally. ``fairness`` is
the paper's beta. (Neither has to do with GAIMD's alpha and beta.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ecco_emu.core.ids import JobId


@dataclass(frozen=True, slots=True)
class JobGain:
    """What is known of a retraining job when GPU time is handed out."""

    job: JobId
    members: int
    """n_j: cameras in its group."""
    accuracy: float | None
    """A_j: mean accuracy over its members, 0 to 1; None before it was first measured."""
    gain: float
    """AG_j: accuracy after one micro-window of training minus accuracy before."""


def size_weights(members: Mapping[JobId, int], size_weight: float) -> dict[JobId, float]:
    """w_j of Eq. 1 for every job; they sum to 1. Raises ``ValueError`` for an empty group."""
    for job, count in members.items():
        if count < 1:
            raise ValueError(f"job {job} has {count} members; a group has at least one camera")
    raw = {job: float(count) ** size_weight for job, count in members.items()}
    total = sum(raw.values())
    return {job: value / total for job, value in raw.items()}


def objective(jobs: Iterable[JobGain], size_weight: float, fairness: float) -> float:
    """The value of Eq. 1; a job not measured yet counts as accuracy 0. No jobs: 0."""
    listed = list(jobs)
    if not listed:
        return 0.0
    weights = size_weights({job.job: job.members for job in listed}, size_weight)
    accuracies = {job.job: job.accuracy or 0.0 for job in listed}
    mean = sum(weights[job] * accuracy for job, accuracy in accuracies.items())
    return mean + fairness * min(accuracies.values())


def lowest_accuracy(jobs: Iterable[JobGain]) -> JobId | None:
    """The job that holds down the fairness term. Unmeasured jobs are left out; ties: the first id.

    Exactly one job gets the bonus even when several are equally low: lifting one of them does not
    lift the minimum, but as soon as it has risen the next one is the lowest and gets it.
    """
    measured = [(job.accuracy, job.job) for job in jobs if job.accuracy is not None]
    return min(measured)[1] if measured else None


def objective_gains(jobs: Iterable[JobGain], size_weight: float, fairness: float) -> dict[JobId, float]:
    """OG_j of Algorithm 1 (lines 9-12): w_j * AG_j, plus fairness * AG_j for the lowest-accuracy job."""
    listed = list(jobs)
    weights = size_weights({job.job: job.members for job in listed}, size_weight)
    lowest = lowest_accuracy(listed)
    return {
        job.job: (weights[job.job] + (fairness if job.job == lowest else 0.0)) * job.gain for job in listed
    }
