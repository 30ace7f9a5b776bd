"""Event streams as a run would write them, from nothing but a seed: fog and night come over a town.

``story`` makes a whole run; ``literal`` values for exact assertions belong into the tests themselves.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

from ecco_emu.core import events as ev
from ecco_emu.core.faults import LinkDown, LinkSet

DAY_MAP, FLOOR_MAP = 0.62, 0.12


@dataclass(frozen=True)
class Plan:
    """What happens to one camera: when the weather turns, to what, and which job it ends up in."""

    id: str
    district: str
    turns_at: float | None
    weather: str
    job: str | None
    streams_from: float | None = None


PLANS = (
    Plan("cam1", "harbour", 14.0, "fog", "job1", 19.0),
    Plan("cam2", "harbour", 14.0, "fog", "job1", 21.0),
    Plan("cam3", "harbour", 15.0, "fog", "job1", 22.0),
    Plan("cam4", "hill", 18.0, "night", "job2", 25.0),
    Plan("cam5", "hill", None, "day", None, None),
)


def digest(text: str) -> str:
    return f"{abs(hash_text(text)):016x}"[:16]


def hash_text(text: str) -> int:
    value = 1469598103934665603
    for letter in text.encode():
        value = ((value ^ letter) * 1099511628211) % 2**64
    return value


def started(
    policy: str = "ecco",
    *,
    name: str = "quickstart",
    windows: int = 3,
    window_s: float = 20.0,
    micro_s: float = 2.0,
    cameras: tuple[str, ...] = tuple(plan.id for plan in PLANS),
) -> ev.RunStarted:
    return ev.RunStarted(
        t=0.0,
        name=name,
        policy=policy,
        engine="relay",
        dilation=4.0,
        seed=7,
        trainer="yolo",
        gpus=2,
        window_s=window_s,
        micro_s=micro_s,
        windows=windows,
        cameras=list(cameras),
        bottleneck_bps=6e6,
    )


def story(
    policy: str = "ecco",
    *,
    seed: int = 7,
    plans: tuple[Plan, ...] = PLANS,
    windows: int = 3,
    skill: float = 1.0,
) -> list[ev.AnyEvent]:
    """A run's events in order of time. ``skill`` scales how fast retraining helps."""
    rng = random.Random(seed)
    begun = started(policy, windows=windows, cameras=tuple(plan.id for plan in plans))
    events: list[ev.AnyEvent] = [begun]
    end = windows * begun.window_s
    for plan in plans:
        events += _camera(plan, end, rng, skill, plans)
    events += _server(plans, begun, rng, skill)
    events += _links(end)
    events.append(ev.RunEnded(t=end, status="ok"))
    return sorted(events, key=lambda event: (event.t, isinstance(event, ev.RunEnded)))


def _camera(
    plan: Plan, end: float, rng: random.Random, skill: float, plans: tuple[Plan, ...]
) -> Iterator[ev.AnyEvent]:
    base = digest("base")
    yield ev.Condition(t=0.0, camera=plan.id, district=plan.district, weather="day")
    yield ev.CameraConfigured(t=0.0, camera=plan.id, state="idle", fps=10.0, width=320, height=192, alpha=0.0)
    if plan.turns_at is not None:
        yield ev.Condition(t=plan.turns_at, camera=plan.id, district=plan.district, weather=plan.weather)
    if plan.streams_from is not None and plan.job is not None:
        yield from _request(plan, base, plans)
        yield from _stream(plan, plan.streams_from, end, rng, plans)
    switch = [] if plan.streams_from is None else [t for t in (30.0, 36.0, 42.0, 50.0) if t < end]
    for t in switch:
        model = digest(f"{plan.job}{t}")
        yield ev.StudentSent(t=t, camera=plan.id, job=plan.job or "", model=model)
        yield ev.StudentRunning(
            t=t + 0.8, camera=plan.id, model=model, transferred_bytes=5_400_000, transfer_s=0.8
        )
    t = 1.0
    while t <= end:
        value = max(0.0, accuracy_at(plan, t, skill) + rng.gauss(0, 0.012))
        done = [s for s in switch if s + 0.8 <= t]
        model = digest(f"{plan.job}{done[-1]}") if done else base
        yield ev.Accuracy(t=t, camera=plan.id, map=value, map50=min(1.0, value * 1.5), frames=8, model=model)
        t += 1.0


def accuracy_at(plan: Plan, t: float, skill: float) -> float:
    if plan.turns_at is None or t < plan.turns_at:
        return DAY_MAP
    fallen = FLOOR_MAP + (DAY_MAP - FLOOR_MAP) * math.exp(-(t - plan.turns_at) / 0.7)
    if plan.streams_from is None or t < 30.8:
        return fallen
    steps = 1 + sum(t >= s + 0.8 for s in (36.0, 42.0, 50.0))
    return FLOOR_MAP + (0.55 - FLOOR_MAP) * (1 - math.exp(-0.8 * skill * steps))


def _request(plan: Plan, base: str, plans: tuple[Plan, ...]) -> Iterator[ev.AnyEvent]:
    t, job = plan.streams_from or 0.0, plan.job or ""
    yield ev.DriftNoticed(t=t - 1.5, camera=plan.id, detector="page-hinkley", statistic=0.31)
    yield ev.RequestSent(t=t - 1.0, camera=plan.id, model=base)
    yield ev.RequestReceived(t=t - 0.9, camera=plan.id, model=base)
    if next(other for other in plans if other.job == job) is plan:
        yield ev.JobCreated(t=t - 0.5, job=job, camera=plan.id, model=base, gains={})
    else:
        yield ev.JobJoined(t=t - 0.5, job=job, camera=plan.id, gains={job: 0.04})
    yield ev.CameraConfigured(
        t=t, camera=plan.id, state="streaming", fps=5.0, width=320, height=192, alpha=0.4
    )


def _stream(
    plan: Plan, t0: float, end: float, rng: random.Random, plans: tuple[Plan, ...]
) -> Iterator[ev.AnyEvent]:
    sequence, t = 0, t0 + 1.0
    while t <= end:
        down = plan.id == "cam2" and 40.0 < t <= 45.0
        rate = 3e6 if 48.0 <= t < 54.0 else 6e6
        target = rate * (0.6 / 3 if plan.job == "job1" else 0.4)
        sent = 0.0 if down else target * rng.uniform(0.95, 1.05)
        yield ev.Traffic(
            t=t,
            camera=plan.id,
            period_s=1.0,
            sent_bps=sent,
            goodput_bps=sent * 0.97,
            target_bps=target,
            allowed_bps=target * 1.1,
            rtt_ms=rng.uniform(60, 190),
            loss=0.02 if not down else 0.6,
        )
        yield ev.SegmentMoved(
            t=t - 0.2, camera=plan.id, sequence=sequence, state="sent", frames=5, bytes=90_000
        )
        state = "lost" if down else "late" if rng.random() < 0.04 else "delivered"
        if t + 0.4 <= end:
            yield ev.SegmentMoved(
                t=t + 0.4, camera=plan.id, sequence=sequence, state=state, frames=5, bytes=90_000
            )
        sequence, t = sequence + 1, t + 1.0


def _server(
    plans: tuple[Plan, ...], begun: ev.RunStarted, rng: random.Random, skill: float
) -> Iterator[ev.AnyEvent]:
    jobs: dict[str, list[Plan]] = {}
    for plan in plans:
        if plan.job is not None:
            jobs.setdefault(plan.job, []).append(plan)
    spent: dict[str, int] = dict.fromkeys(jobs, 0)
    per_window = round(begun.window_s / begun.micro_s)
    for window in range(begun.windows):
        here: dict[str, int] = dict.fromkeys(jobs, 0)
        for index in range(per_window):
            start = window * begun.window_s + index * begun.micro_s
            ready = [job for job in jobs if min(p.streams_from or 0 for p in jobs[job]) + 1 <= start]
            job = ready[(0, 0, 1, 0, 1)[index % 5] % len(ready)] if ready else None
            yield _micro(window, index, start, begun.micro_s, job, spent.get(job or "", 0), skill, rng)
            if job is not None:
                spent[job] += 1
                here[job] += 1
        t = (window + 1) * begun.window_s
        groups = [
            ev.GroupState(
                id=job,
                members=[p.id for p in members],
                micro_windows=here[job],
                p=0.6 if job == "job1" else 0.4,
                c=6.0 if job == "job1" else 4.0,
                map=_learned(spent[job], skill),
            )
            for job, members in jobs.items()
            if here[job]
        ]
        for group in groups:
            yield ev.Assigned(t=t, job=group.id, members=group.members, c=group.c, p=group.p)
        yield ev.WindowEnded(t=t, window=window, start=window * begun.window_s, groups=groups)


def _learned(steps: int, skill: float) -> float:
    return FLOOR_MAP + 0.43 * (1 - math.exp(-0.18 * skill * steps))


def _micro(
    window: int,
    index: int,
    start: float,
    micro_s: float,
    job: str | None,
    spent: int,
    skill: float,
    rng: random.Random,
) -> ev.MicroWindow:
    if job is None:
        return ev.MicroWindow(t=start + micro_s, window=window, index=index, start=start, job=None)
    return ev.MicroWindow(
        t=start + micro_s,
        window=window,
        index=index,
        start=start,
        job=job,
        steps=20,
        images=160,
        losses=[2.0 * math.exp(-0.05 * (spent * 20 + step)) for step in range(0, 20, 5)],
        map_before=_learned(spent, skill),
        map_after=_learned(spent + 1, skill),
        train_wall_s=5.5,
        late=rng.random() < 0.05,
    )


def _links(end: float) -> Iterator[ev.AnyEvent]:
    yield ev.FaultApplied(
        t=40.0, index=0, change=LinkDown("cam2"), phase="start", requested=40.0, applied=40.004
    )
    yield ev.FaultApplied(
        t=45.0, index=0, change=LinkDown("cam2"), phase="end", requested=45.0, applied=45.002
    )
    yield ev.FaultApplied(
        t=48.0,
        index=1,
        change=LinkSet("bottleneck", rate_bps=3e6),
        phase="start",
        requested=48.0,
        applied=48.011,
    )
    yield ev.ExpectationChecked(
        t=min(55.0, end),
        index=0,
        text="cam2 within 10s of fault[0].end delivers >= 1 segment",
        held=True,
        detail="9 segments by 55 s, the first at 46.4 s",
    )
    yield ev.ExpectationChecked(
        t=end, index=1, text="cam4 map >= 0.6", held=False, detail="0.53 at the end of the run"
    )
    yield ev.Trouble(
        t=33.0, where="server", text="a datagram of 1400 bytes did not parse <script>alert(1)</script>"
    )
    for t in range(5, int(end) + 1, 5):
        yield ev.ClockReport(
            t=float(t),
            lag_p50_ms=0.2,
            lag_p99_ms=2.0 + t % 7,
            lag_max_ms=6.0 + t % 11,
            deadline_misses=t // 30,
            rss_bytes=1_400_000_000 + t * 2_000_000,
        )


# -- a second drift: three cameras in one group, one of which drifts again, then all --

A, B, C = "cam1", "cam2", "cam3"
S0, S1, S2, S3, S4 = (digest(f"student{number}") for number in range(5))


def second_drift() -> list[ev.AnyEvent]:
    """Fog groups three cameras; night takes one of them out; rain takes them all, and only two are seen.

    Six windows of 20 s. ``cam1`` and ``cam2`` recover from the fog and are released. Students are measured.
    """
    begun = started(name="second-drift", windows=6, window_s=20.0, cameras=(A, B, C))
    events = [begun, *_seen(), *_asked(), *_grouped(), *_measured(), *_micros(begun)]
    events.append(ev.RunEnded(t=120.4, status="ok"))
    return sorted(events, key=lambda event: (event.t, isinstance(event, ev.RunEnded)))


def _seen() -> Iterator[ev.AnyEvent]:
    for camera in (A, B, C):
        for t, weather in ((0.0, "day"), (10.0, "fog"), (80.0, "rain")):
            yield ev.Condition(t=t, camera=camera, district="harbour", weather=weather)
    yield ev.Condition(t=50.0, camera=C, district="harbour", weather="night")
    for camera, t in ((A, 12.0), (B, 12.4), (C, 12.2), (C, 53.0), (A, 83.0), (B, 83.5)):
        yield ev.DriftNoticed(t=t, camera=camera, detector="page-hinkley", statistic=0.3, since=t - 1.5)


def _asked() -> Iterator[ev.AnyEvent]:
    for camera, t in ((A, 12.1), (B, 12.5), (C, 12.3), (C, 53.1), (A, 83.1), (B, 83.6)):
        yield ev.RequestSent(t=t, camera=camera, model=S0)
        yield ev.RequestReceived(t=t + 0.1, camera=camera, model=S0)
    yield ev.RequestDeferred(t=13.0, camera=B, gains={"job1": 0.0}, times=1)
    yield ev.RequestDeferred(t=14.0, camera=B, gains={"job1": 0.004, "job10": 0.004}, times=2)
    yield ev.RequestRefused(t=53.2, camera=C, reason="too many requests wait")


def _grouped() -> Iterator[ev.AnyEvent]:
    yield ev.JobCreated(t=13.0, job="job1", camera=A, model=S0, gains={})
    yield ev.JobJoined(t=13.5, job="job1", camera=C, gains={"job1": 0.02})
    yield ev.JobJoined(t=16.0, job="job1", camera=B, gains={"job1": 0.05})
    yield ev.JobLeft(t=53.3, job="job1", camera=C, reason="asked again")
    yield ev.JobCreated(t=53.3, job="job2", camera=C, model=S1, gains={"job1": -0.01})
    yield ev.JobLeft(t=70.0, job="job1", camera=A, reason="released")
    yield ev.JobLeft(t=70.0, job="job1", camera=B, reason="released")
    yield ev.JobEnded(t=70.0, job="job1", reason="recovered")
    yield ev.JobCreated(t=84.0, job="job10", camera=A, model=S2, gains={"job2": 0.0})
    yield ev.JobJoined(t=86.0, job="job10", camera=B, gains={"job2": 0.0, "job10": 0.04})
    yield ev.JobLeft(t=100.0, job="job10", camera=B, drop=0.21)
    yield ev.JobJoined(t=100.0, job="job2", camera=B, gains={"job2": 0.1})


def _measured() -> Iterator[ev.AnyEvent]:
    steps = {
        A: ((0, 10, S0, "day", 0.6), (10, 40, S0, "fog", 0.05), (40, 62, S1, "fog", 0.38),
            (62, 80, S2, "fog", 0.5), (80, 104, S2, "rain", 0.1), (104, 120.4, S4, "rain", 0.41)),
        B: ((0, 10, S0, "day", 0.62), (10, 40, S0, "fog", 0.02), (40, 62, S1, "fog", 0.42),
            (62, 80, S2, "fog", 0.52), (80, 120.4, S2, "rain", 0.08), (120.4, 120.4, S4, "rain", 0.45)),
        C: ((0, 10, S0, "day", 0.55), (10, 40, S0, "fog", 0.04), (40, 50, S1, "fog", 0.44),
            (50, 82, S1, "night", 0.02), (82, 120.4, S3, "rain", 0.3)),
    }  # fmt: skip
    for camera, rows in steps.items():
        for start, end, model, weather, value in rows:
            yield ev.StudentMeasured(
                t=120.4, camera=camera, model=model, start=start, end=end, weather=weather,
                map=value, map50=value, frames=32,
            )  # fmt: skip
            if start and start == int(start) and model != S0:
                yield ev.StudentRunning(
                    t=start, camera=camera, model=model, transferred_bytes=5_400_000, transfer_s=2.0
                )
        rng = random.Random(camera)
        for t in range(2, 120, 2):
            value = next(row[4] for row in rows if row[0] <= t < row[1])
            glimpse = max(0.0, value + rng.gauss(0, 0.05))
            yield ev.Accuracy(t=t, camera=camera, map=glimpse, map50=glimpse, frames=20, model=S0)


def _micros(begun: ev.RunStarted) -> Iterator[ev.AnyEvent]:
    rng = random.Random(1)
    for number in range(60):
        start = number * begun.micro_s
        jobs = [
            job
            for job, t0, t1 in (("job1", 14, 70), ("job2", 54, 121), ("job10", 84, 121))
            if t0 <= start < t1
        ]
        job = jobs[number % len(jobs)] if jobs else None
        spent = {} if job is None else {
            "steps": 4, "images": 48, "train_wall_s": rng.uniform(4, 5.5),
            "evaluate_wall_s": rng.uniform(0.8, 1.6), "label_wall_s": 0.2, "budget": 64.0, "charged": 11.0,
        }  # fmt: skip
        yield ev.MicroWindow(
            t=start + begun.micro_s, window=number // 10, index=number % 10, start=start, job=job, **spent
        )
