"""The one place that decides how a run ended, and why. Pure functions of ``RunMetrics``.

A run is ``degraded`` when its host did not keep up, so that its timing is not to be trusted. Every limit is
in emulated time, since that is the time in which links, timers and windows of the scenario live: a timer that
is late by 10 ms of the wall is late by 0.7 ms at a dilation of 14.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ecco_emu.core.events import ClockReport, Reason, RunStatus
from ecco_emu.record.metrics import RunMetrics

LAG_LIMIT_S = 0.010
"""How late the event loop's timers may be (p99, emulated seconds). Acknowledgements and pacing hang on them:
round trips would look that much longer, and those of a scenario are some 30 ms and more."""
ROOM = 1.05
"""The suggested dilation has this much more room than the worst moment of the run needed."""
MOST_TIMES = 4.0
"""A host that was this many times too slow was held up by something else: no dilation is suggested then."""
TIMING = frozenset({"deadline", "loop lag"})
"""The criteria that say that the host did not keep up."""


@dataclass(frozen=True, slots=True)
class RunVerdict:
    """A run's status with its reasons: none where it is ``ok``."""

    status: RunStatus
    reasons: tuple[Reason, ...] = ()
    suggested_dilation: float | None = None


def of_finished(metrics: RunMetrics) -> RunVerdict:
    """On a run that came to its end, and whose expectations were checked."""
    broken, slow = list(_expectations(metrics)), list(_slowness(metrics))
    status: RunStatus = "failed" if broken else "degraded" if slow else "ok"
    return RunVerdict(status, (*broken, *slow), _dilation(metrics) if slow else None)


def of_error(error: BaseException, metrics: RunMetrics) -> RunVerdict:
    """On a run that an error ended."""
    text = f"it ended with an error at {metrics.observed_s:.1f} s: {error or type(error).__name__}"
    return RunVerdict("failed", (Reason(criterion="error", text=text, value=metrics.observed_s),))


def of_stopped(metrics: RunMetrics) -> RunVerdict:
    """On a run that was stopped, or whose process died."""
    return RunVerdict("interrupted", (_stopped(metrics),))


def recorded(metrics: RunMetrics, status: RunStatus | None = None) -> RunVerdict:
    """As the log tells; ``status`` is what else is known of one without an end.

    Earlier releases wrote no reasons. They are found here, by the limits of this release.
    """
    ended = metrics.ended
    if ended is not None and (ended.reasons or ended.status == "ok"):
        return RunVerdict(ended.status, tuple(ended.reasons), ended.suggested_dilation)
    status = ended.status if ended is not None else status or "interrupted"
    if status == "interrupted":
        return of_stopped(metrics)
    found = of_finished(metrics)
    return RunVerdict(status, found.reasons, found.suggested_dilation) if status != "ok" else RunVerdict("ok")


def told(verdict: RunVerdict) -> list[str]:
    """A line for each reason, and one on what to do; none where the run is ``ok``."""
    if verdict.status == "ok":
        return []
    # a run may have failed and its host been too slow as well: the latter is what its timing hangs on
    lines = [
        f"{'degraded' if reason.criterion in TIMING else verdict.status}: {reason.text}"
        for reason in verdict.reasons
    ]
    return [*(lines or [verdict.status]), *filter(None, [advice(verdict)])]


def advice(verdict: RunVerdict) -> str:
    """A sentence on what to do about a host that did not keep up; empty where it did."""
    if not any(reason.criterion in TIMING for reason in verdict.reasons):
        return ""
    if verdict.suggested_dilation is None:
        return (
            "this host was held up for long: run it again with nothing beside it, or with a larger --dilation"
        )
    return (
        f"this host would likely keep up with --dilation {verdict.suggested_dilation:g}; with fewer programs "
        "beside the run, less may do"
    )


def _expectations(metrics: RunMetrics) -> Iterator[Reason]:
    failed = [checked for checked in metrics.expectations if not checked.held]
    if failed:
        of = len(metrics.expectations)
        text = f"{len(failed)} of {of} expectation{'s' * (of != 1)} failed"
        yield Reason(criterion="expectation", text=text, value=len(failed), limit=0)


def _slowness(metrics: RunMetrics) -> Iterator[Reason]:
    clock, dilation = _clock(metrics)
    misses = max(clock.deadline_misses if clock else 0, len(metrics.missed))
    if misses:
        count = "a deadline was missed" if misses == 1 else f"{misses} deadlines were missed"
        worst = max(metrics.missed, key=lambda each: each.late_s / each.allowed_s, default=None)
        which = "" if worst is None else (
            f"{', the worst' if misses > 1 else ''}: {worst.text} was late by {worst.late_s:.2g} s, where "
            f"{worst.allowed_s:.2g} s were allowed"
        )  # fmt: skip
        yield Reason(criterion="deadline", text=count + which, value=misses, limit=0)
    lag_s = _lag_s(metrics)
    if lag_s > LAG_LIMIT_S:
        assert clock is not None
        text = (
            f"the event loop was late by {lag_s * 1e3:.1f} ms of emulated time (99th percentile; "
            f"{clock.lag_p99_ms:.1f} ms of the wall at dilation {dilation:g}), where "
            f"{LAG_LIMIT_S * 1e3:g} ms are allowed"
        )
        yield Reason(criterion="loop lag", text=text, value=lag_s, limit=LAG_LIMIT_S)


def _dilation(metrics: RunMetrics) -> float | None:
    """The least at which the run's worst moments would have been in time, with some room, in tenths."""
    _, dilation = _clock(metrics)
    times = max(
        [_lag_s(metrics) / LAG_LIMIT_S, *(1 + each.late_s / each.allowed_s for each in metrics.missed)]
    )
    # an old log tells how many deadlines were missed, but not by how much
    if not 1.0 < times <= MOST_TIMES:
        return None
    return math.ceil(dilation * times * ROOM * 10 - 1e-9) / 10


def _lag_s(metrics: RunMetrics) -> float:
    clock, dilation = _clock(metrics)
    return clock.lag_p99_ms / 1e3 / dilation if clock is not None else 0.0


def _clock(metrics: RunMetrics) -> tuple[ClockReport | None, float]:
    """The newest report, which covers the whole run, and the dilation."""
    newest = metrics.clocks[-1] if metrics.clocks else None
    return newest, metrics.started.dilation if metrics.started else 1.0


def _stopped(metrics: RunMetrics) -> Reason:
    if metrics.started is None:
        return Reason(criterion="stopped", text="it was stopped before it began", value=0.0)
    if metrics.t >= metrics.duration_s:
        text = "it was stopped after its end, before its students were measured"
    else:
        text = f"it was stopped at {metrics.observed_s:.1f} s of {metrics.duration_s:g} s"
    return Reason(criterion="stopped", text=text, value=metrics.observed_s, limit=metrics.duration_s)
