"""Takes the decisions of a recorded run again, on the model: does it decide as the run did?

The run's events are followed one by one. Frames arrive from the cameras that streamed then, jobs train on
the budgets that they had, and whatever the server measured is measured on the model. Before each decision the
model is asked, and then the run's own decision is carried out: an early difference does not count again and
again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import fmean

from ecco_emu.bench.curve.recorded import RecordedRun, first_student
from ecco_emu.control import grouping
from ecco_emu.control.allocator import GreedyAllocator
from ecco_emu.control.evidence import Estimate, Evidence, paired
from ecco_emu.control.gains import GainMemory
from ecco_emu.control.grouping import Verdict, Weighed
from ecco_emu.core import events as ev
from ecco_emu.core.ids import CameraId, JobId, ModelHash, model_hash
from ecco_emu.server.measuring import REQUEST_FRAMES
from ecco_emu.tasks.detection import Sample
from ecco_emu.trainer.backend import NoSamplesError
from ecco_emu.trainer.curve.backend import CurveBackend
from ecco_emu.trainer.curve.fit import CurveFit
from ecco_emu.trainer.curve.student import first_student as first_of_fit
from ecco_emu.world.sketch.world import SketchWorld

LATENCY_S = 1.5
"""From a frame to its arrival as a sample: a segment of a second, and its way."""
_REQUEST_FRAMES = 8
"""Frames that a retraining request brings."""


@dataclass
class Agreement:
    """Decisions of one kind, of one or several runs and seeds."""

    same: int = 0
    of: int = 0
    chance: float = 0.0
    """The sum of the probabilities of guessing each."""

    def add(self, same: bool, choices: int) -> None:
        self.same += same
        self.of += 1
        self.chance += 1 / choices

    def __iadd__(self, other: Agreement) -> Agreement:
        self.same += other.same
        self.of += other.of
        self.chance += other.chance
        return self


@dataclass
class Replayed:
    """The outcome of one or several replays."""

    allocation: Agreement = field(default_factory=Agreement)
    """Who trained next, where there was a choice."""
    joins: Agreement = field(default_factory=Agreement)
    """Whom a request joined, whether it founded a job, or waited."""
    splits: Counter[tuple[bool, bool]] = field(default_factory=Counter)
    """Members at windows' ends: split off in the run, and in the model."""
    before: list[tuple[float, float]] = field(default_factory=list)
    """mAP that the server measured before a micro-window: in the run, and in the model."""
    gains: list[tuple[float, float]] = field(default_factory=list)
    """By how much the micro-window changed it."""
    first_gains: list[tuple[float, float]] = field(default_factory=list)
    """The same of each job's first one, on frames that it was mostly trained on."""

    def __iadd__(self, other: Replayed) -> Replayed:
        self.allocation += other.allocation
        self.joins += other.joins
        self.splits.update(other.splits)
        self.before += other.before
        self.gains += other.gains
        self.first_gains += other.first_gains
        return self


async def replay(run: RecordedRun, world: SketchWorld, fit: CurveFit, seed: int) -> Replayed:
    """``world`` is the run's, as sketches; it may serve several replays."""
    following = _Replay(run, world, fit, seed)
    await following.begin()
    for event in run.events:
        await following.follow(event)
    return following.outcome


@dataclass
class _Member:
    since: float
    measured: Estimate | None = None


@dataclass
class _Job:
    members: dict[CameraId, _Member] = field(default_factory=dict)
    trained: int = 0


class _Allocator(GreedyAllocator):
    def give(self, job: JobId, before: float | None, after: float | None) -> None:
        """The micro-window went to this job, whichever would have been chosen."""
        self._pending = job
        self.record(job, before, after)


class _Replay:
    def __init__(self, run: RecordedRun, world: SketchWorld, fit: CurveFit, seed: int) -> None:
        self.outcome = Replayed()
        self._scenario = run.scenario
        self._world = world
        self._fit = fit
        self._first = ModelHash(first_student(run))
        self._length_s = run.scenario.windows.length
        self._left = _leaving(run.events)
        self._backend = CurveBackend(
            run.scenario.trainer, seed=seed, evidence_s=self._length_s, view=world.view, fit=fit
        )
        self._jobs: dict[JobId, _Job] = {}
        self._models: dict[str, ModelHash] = {}
        """The model's students, by those of the run."""
        self._running: dict[str, str] = {}
        self._streaming: dict[CameraId, tuple[float, float]] = {}
        """By camera: frames a second, and the capture time up to which its frames were sent."""
        self._sizes = {CameraId(camera.id): camera.source.size for camera in run.scenario.cameras}
        self._drift: dict[CameraId, float] = {}
        self._weighed: dict[CameraId, float] = {}
        """When a camera's request was weighed first."""
        self._memory = GainMemory()
        self._window = self._closed = -1
        self._allocator: _Allocator | None = None

    async def begin(self) -> None:
        weights = first_of_fit(self._fit)
        self._models[self._first] = model_hash(weights)
        await self._backend.add_model(model_hash(weights), weights)

    async def follow(self, event: ev.AnyEvent) -> None:
        # a window's end shows in its consequences
        if isinstance(event, ev.JobLeft | ev.JobEnded | ev.StudentSent | ev.WindowEnded):
            await self._reach(event.t)
        match event:
            case ev.DriftNoticed():
                since = event.since if event.since is not None else event.t - LATENCY_S
                self._drift[CameraId(event.camera)] = since
            case ev.RequestReceived():
                await self._bring_request(CameraId(event.camera), event.t)
            case ev.RequestDeferred():
                await self._weigh(event, Verdict.DEFER, None)
            case ev.JobCreated():
                await self._weigh(event, Verdict.FOUND, None)
                await self._create(event)
            case ev.JobJoined():
                await self._weigh(event, Verdict.JOIN, JobId(event.job))
                self._join(JobId(event.job), CameraId(event.camera))
            case ev.JobLeft():
                job = self._jobs.get(JobId(event.job))
                if job is not None:
                    job.members.pop(CameraId(event.camera), None)
            case ev.JobEnded():
                self._jobs.pop(JobId(event.job), None)
                await self._backend.drop_job(JobId(event.job))
            case ev.CameraConfigured():
                self._configure(event)
            case ev.MicroWindow():
                await self._micro_window(event)
            case ev.StudentSent():
                await self._export(event)
            case ev.StudentRunning():
                self._running[event.camera] = event.model
            case _:
                pass

    # -- frames --

    async def _arrive(self, now: float) -> None:
        """All frames that cameras have sent by now."""
        for camera, (fps, sent) in list(self._streaming.items()):
            await self._add(camera, fps, sent, now - LATENCY_S)
            self._streaming[camera] = fps, max(sent, now - LATENCY_S)

    async def _bring_request(self, camera: CameraId, t: float) -> None:
        fps = self._scenario.drift.infer_fps
        since = self._drift.setdefault(camera, t - _REQUEST_FRAMES / fps)
        await self._add(camera, fps, max(since, t - _REQUEST_FRAMES / fps), t)

    async def _add(self, camera: CameraId, fps: float, after: float, until: float) -> None:
        own_fps = next(each.source.fps for each in self._scenario.cameras if each.id == camera)
        step = max(1, round(own_fps / fps))
        indices = range(int(max(after, 0.0) * own_fps) + 1, int(until * own_fps) + 1)
        samples = []
        for index in indices:
            if index % step == 0:
                frame = await self._world.frame(camera, index)
                samples.append(Sample(camera, index, frame.t, frame.image, self._world.labels(camera, index)))
        await self._backend.add_samples(samples)

    def _configure(self, event: ev.CameraConfigured) -> None:
        camera = CameraId(event.camera)
        if event.state == "streaming" and event.fps > 0:
            sent = self._streaming[camera][1] if camera in self._streaming else event.t
            self._streaming[camera] = event.fps, sent
        else:
            self._streaming.pop(camera, None)

    # -- requests --

    async def _weigh(
        self, event: ev.RequestDeferred | ev.JobCreated | ev.JobJoined, verdict: Verdict, chosen: JobId | None
    ) -> None:
        """Decides a request that had a choice as the model's gains say, and compares."""
        camera = CameraId(event.camera)
        near = [JobId(job) for job in event.gains if JobId(job) in self._jobs]
        started = self._weighed.setdefault(camera, event.t)
        if verdict is not Verdict.DEFER:
            self._weighed.pop(camera)
        own = self._models.get(self._running.get(event.camera, self._first))
        if not near or own is None:
            return
        await self._arrive(event.t)
        evidence = [Evidence(camera, self._drift.get(camera, event.t - self._length_s))]
        measured = (await self._backend.evaluate([*near, own], evidence, REQUEST_FRAMES)).accuracy
        base = measured.get((own, camera))
        weighed = {
            job: Weighed(
                None
                if base is None or (job, camera) not in measured
                else paired(measured[job, camera], base),
                self._jobs[job].trained,
            )
            for job in near
        }
        may_wait = event.t - started < self._length_s
        decided = grouping.decide(weighed, self._scenario.grouping.join_rule, may_wait=may_wait)
        self.outcome.joins.add(decided == (verdict, chosen), 2 + len(near))

    async def _create(self, event: ev.JobCreated) -> None:
        start = self._models.get(event.model, self._models[self._first])
        await self._backend.create_job(JobId(event.job), start)
        self._jobs[JobId(event.job)] = _Job()
        self._join(JobId(event.job), CameraId(event.camera))

    def _join(self, job: JobId, camera: CameraId) -> None:
        since = self._drift.get(camera, 0.0)
        self._jobs[job].members[camera] = _Member(since)

    async def _export(self, event: ev.StudentSent) -> None:
        if event.model in self._models or JobId(event.job) not in self._jobs:
            return
        model, weights = await self._backend.export(JobId(event.job))
        await self._backend.add_model(model, weights)
        self._models[event.model] = model

    # -- GPU time --

    async def _micro_window(self, event: ev.MicroWindow) -> None:
        if event.window != self._window:
            self._window = event.window
            self._allocator = None
        allocator = self._follow_jobs()
        if event.job is None or JobId(event.job) not in self._jobs:
            if allocator is not None:
                allocator.skip()
            return
        job = JobId(event.job)
        if allocator is not None and len(self._jobs) > 1:
            self.outcome.allocation.add(allocator.next_job() == job, len(self._jobs))
        await self._arrive(event.start)
        before = await self._measured(job, event.start)
        with_images = event.budget - event.charged
        with suppress(NoSamplesError):
            await self._backend.train(job, self._evidence(job), with_images)
        after = await self._measured(job, event.start)
        common = before.keys() & after.keys()
        values = [
            fmean(each[camera].value for camera in common) if common else None for each in (before, after)
        ]
        self._jobs[job].trained += 1
        if allocator is not None:
            allocator.give(job, *values)
        recorded = event.map_before, event.map_after
        if None not in (*values, *recorded):
            pairs = [(each or 0.0, other or 0.0) for each, other in zip(recorded, values, strict=True)]
            (before_run, before_model), (after_run, after_model) = pairs
            gain = after_run - before_run, after_model - before_model
            self.outcome.before.append(pairs[0])
            self.outcome.gains.append(gain)
            if self._jobs[job].trained == 1:
                self.outcome.first_gains.append(gain)

    def _follow_jobs(self) -> _Allocator | None:
        """The window's allocator, told of jobs that came and went; None without a job, or a choice."""
        sizes = {job: len(state.members) for job, state in self._jobs.items() if state.members}
        if self._scenario.policy.name != "ecco":
            return None
        if self._allocator is None:
            setup = self._scenario.policy_setup
            self._allocator = _Allocator(
                setup.micro_windows,
                setup.gpus,
                sizes,
                size_weight=setup.size_weight,
                fairness=setup.fairness,
                memory=self._memory,
            )
            self._sized = sizes
            return self._allocator
        for gone in self._sized.keys() - sizes.keys():
            self._allocator.remove_job(gone)
        for job, size in sizes.items():
            if job not in self._sized:
                self._allocator.add_job(job, size)
            elif size != self._sized[job]:
                self._allocator.resize_job(job, size)
        self._sized = sizes
        return self._allocator

    async def _measured(self, job: JobId, now: float) -> Mapping[CameraId, Estimate]:
        members = self._jobs[job].members
        frames = max(1, -(-self._scenario.trainer.eval_frames // max(1, len(members))))
        evidence = [
            Evidence(camera, max(now - self._length_s, each.since)) for camera, each in members.items()
        ]
        return await self._by_camera(job, evidence, frames)

    async def _by_camera(
        self, job: JobId, evidence: Sequence[Evidence], frames: int
    ) -> Mapping[CameraId, Estimate]:
        measured = (await self._backend.evaluate([job], evidence, frames)).accuracy
        return {camera: each for (_, camera), each in measured.items()}

    def _evidence(self, job: JobId) -> list[Evidence]:
        return [Evidence(camera, each.since) for camera, each in self._jobs[job].members.items()]

    # -- windows' ends --

    async def _reach(self, now: float) -> None:
        """Looks who leaves, at the end of each window."""
        if now < (self._window + 1) * self._length_s or self._closed == self._window:
            return
        self._closed = self._window
        await self._arrive(now)
        for job in self._jobs:
            await self._end_window(job)

    async def _end_window(self, job: JobId) -> None:
        limits = self._scenario.grouping
        start = self._window * self._length_s
        members = self._jobs[job].members
        evidence = [Evidence(camera, max(start, each.since)) for camera, each in members.items()]
        measured = await self._by_camera(job, evidence, self._scenario.trainer.window_frames)
        drops = grouping.drops(
            {camera: each.measured for camera, each in members.items()}, measured, limits.scene_noise
        )
        for camera, drop in drops.items():
            left = (job, camera, self._window) in self._left
            self.outcome.splits[left, limits.split_rule.fell(drop)] += 1
        for camera, each in members.items():
            each.measured = measured.get(camera)


def _leaving(events: Iterable[ev.AnyEvent]) -> set[tuple[JobId, CameraId, int]]:
    """Members that were split off because the group's model fell on them, with the window at whose end."""
    window, found = -1, set()
    for event in events:
        if isinstance(event, ev.MicroWindow):
            window = event.window
        elif isinstance(event, ev.JobLeft) and event.reason == "drop":
            found.add((JobId(event.job), CameraId(event.camera), window))
    return found


def between_runs(runs: Sequence[RecordedRun]) -> Agreement:
    """How often two runs of one scenario and seed gave a micro-window to the same cameras: the
    agreement of the real thing with itself, beside which the model's has to be seen."""
    outcome = Agreement()
    tables = [(_name(run), _given(run)) for run in runs if run.scenario.policy.name == "ecco"]
    for place, (name, one) in enumerate(tables):
        for other_name, other in tables[place + 1 :]:
            if name != other_name:
                continue
            for slot in one.keys() & other.keys():
                (mine, choices), (theirs, other_choices) = one[slot], other[slot]
                if choices > 1 and choices == other_choices:
                    outcome.add(mine == theirs, choices)
    return outcome


def _name(run: RecordedRun) -> tuple[str, int]:
    return run.started.name, run.started.seed


def _given(run: RecordedRun) -> dict[tuple[int, int], tuple[str, int]]:
    """By micro-window, the condition of the cameras whose job trained, and the number of jobs."""
    conditions: dict[str, str] = {}
    jobs: dict[str, str] = {}
    found = {}
    for event in run.events:
        match event:
            case ev.Condition():
                conditions[event.camera] = event.weather
            case ev.JobCreated():
                jobs[event.job] = conditions[event.camera]
            case ev.JobEnded():
                jobs.pop(event.job, None)
            case ev.MicroWindow() if event.job is not None and event.job in jobs:
                found[event.window, event.index] = jobs[event.job], len(jobs)
            case _:
                pass
    return found
