"""Eq. 1 of the paper (section 3.1): the weighted mean accuracy of all jobs plus a bonus for the worst.

    max  sum_j w_j * A_j  +  fairness * min_j A_j,     w_j = n_j^size_weight / sum_i n_i^size_weight

A_j is the accuracy of job j's model, averaged over its n_j cameras. ``size_weight`` is the paper's alpha: 1
weighs a group by its cameras (as RECL does), 0 weighs groups equally. ``fairness`` is the paper's beta. They
have other names here because GAIMD has an alpha and a beta too (``shares``). The paper gives neither value.

The allocator never needs the value of Eq. 1 itself. It follows its gradient: ``objective_gains`` tells by
how much one micro-window of each job would raise it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ecco_emu.core.ids import JobId, natural


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
    """w_j of Eq. 1 for every job; the weights sum to 1. Raises ``ValueError`` for an empty group."""
    for job, count in members.items():
        if count < 1:
            raise ValueError(f"job {job} has {count} members; a group has at least one camera")
    raw = {job: float(count) ** size_weight for job, count in members.items()}
    total = sum(raw.values())
    return {job: value / total for job, value in raw.items()}


def lowest_accuracy(jobs: Iterable[JobGain]) -> JobId | None:
    """The job whose accuracy is the minimum in Eq. 1; None if no job was measured. Ties: the first id."""
    # A job that was never measured is left out, for nothing is known of it. It loses nothing by that: the
    # initial pass of Algorithm 1 trains it first anyway.
    measured = [(job.accuracy, natural(job.job), job.job) for job in jobs if job.accuracy is not None]
    return min(measured)[-1] if measured else None


def objective_gains(jobs: Iterable[JobGain], size_weight: float, fairness: float) -> dict[JobId, float]:
    """OG_j of Algorithm 1 (lines 9-12): w_j * AG_j, plus fairness * AG_j for the lowest-accuracy job."""
    # Exactly one job gets the bonus, even when several are equally low. Raising one of these does not raise
    # the minimum yet, but as soon as it has risen the next one is the lowest and has the bonus.
    listed = list(jobs)
    weights = size_weights({job.job: job.members for job in listed}, size_weight)
    lowest = lowest_accuracy(listed)
    return {
        job.job: (weights[job.job] + (fairness if job.job == lowest else 0.0)) * job.gain for job in listed
    }
