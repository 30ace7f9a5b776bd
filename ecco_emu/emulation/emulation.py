"""A run from Python: start it, wait for things to happen, break links, assert, leave.

    async with Emulation.from_file("scenarios/quickstart.yaml") as emu:
        await emu.until(window=2)
        await emu.link("cam3").down(duration=5)
        await emu.until(lambda s: s.camera("cam3").state == "streaming", timeout=20)

Entering starts everything and lets the emulated clock run; leaving stops everything, whatever
happened, and writes the summary. Failures inside a running part surface in ``until`` and ``finish``.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import netns
from ecco_emu.core.errors import EccoError
from ecco_emu.core.events import AnyEvent, ExpectationChecked, RunEnded, RunStatus, Trouble
from ecco_emu.core.ids import ModelHash, model_hash
from ecco_emu.emulation import checking, preflight
from ecco_emu.emulation.assembly import build
from ecco_emu.emulation.first_student import read_first_student
from ecco_emu.emulation.injector import LinkHandle
from ecco_emu.emulation.leftovers import keep_newest_students
from ecco_emu.emulation.live import remote, runs
from ecco_emu.emulation.measuring import StudentFiles
from ecco_emu.emulation.system import System
from ecco_emu.host.loop_thread import LoopThread
from ecco_emu.host.places import Here, LoopPlace
from ecco_emu.host.warm import WarmWorkers
from ecco_emu.host.workers import WorkerProcess
from ecco_emu.record import expectations, verdict
from ecco_emu.record.log import EventLog
from ecco_emu.record.metrics import RunMetrics
from ecco_emu.record.rundir import RunDirectory
from ecco_emu.record.summary import summarize
from ecco_emu.report.standing import standing
from ecco_emu.scenario import schema
from ecco_emu.scenario.dump import dump
from ecco_emu.scenario.faults.line import parse_fault
from ecco_emu.scenario.problems import Problem
from ecco_emu.scenario.sections.faults import FaultSection

HORIZON_MICRO_WINDOWS = 40
"""A simulated run that is not over so long after its last window hangs."""


class Emulation:
    """One run of one scenario. Use it as an async context manager, once.

    With ``workers`` its processes are taken from there and go back there, so that a later run starts sooner.
    ``replay_of`` names the recorded run that this one replays (``replay``), for the manifest.
    """

    def __init__(
        self,
        scenario: schema.Scenario,
        *,
        source: str = "python",
        out: Path | str = "runs",
        progress: Callable[[str], None] | None = None,
        warnings: Sequence[Problem] = (),
        capture: bool = False,
        workers: WarmWorkers | None = None,
        replay_of: Mapping[str, Any] | None = None,
    ) -> None:
        self.scenario = scenario
        self.warnings = tuple(warnings)
        """What is odd in the scenario's file, though it can run."""
        self.metrics = RunMetrics()
        self.status: RunStatus | None = None
        self._source, self._replay_of = source, replay_of
        self._out = Path(out)
        self._capture = capture
        self._progress = progress or (lambda _: None)
        self._open_worker = WorkerProcess if workers is None else workers.open
        self._place: LoopPlace = Here()
        self._home: asyncio.AbstractEventLoop | None = None
        """The caller's event loop, where the listeners are called."""
        self._outside = AsyncExitStack()
        self._stack = AsyncExitStack()
        self._waiting: dict[asyncio.Event, None] = {}
        """In the order in which they began to wait."""
        self._parts: list[Callable[[AnyEvent], None]] = [self.metrics.apply]
        """Parts of the run that see every event, at once."""
        self._listeners: list[Callable[[AnyEvent], None]] = []
        self._facts = expectations.RunFacts(scenario, self.metrics)
        self._log: EventLog | None = None
        self._directory: RunDirectory | None = None
        self._system: System | None = None
        self._main: asyncio.Task[None] | None = None
        self._first: ModelHash | None = None
        self._students: StudentFiles | None = None
        self._over_at: float | None = None
        """When the last window was over: the emulated clock goes on, the run does not."""

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        *,
        seed: int | None = None,
        dilation: str | float | None = None,
        policy: str | None = None,
        engine: str | None = None,
        overrides: Sequence[str] = (),
        out: Path | str = "runs",
        progress: Callable[[str], None] | None = None,
        capture: bool = False,
        workers: WarmWorkers | None = None,
    ) -> Self:
        """Loads and checks a scenario file, or a shipped scenario by its name.

        ``engine="simulated"`` runs it in virtual time, without root. With ``capture`` the run's packets are
        written to the run directory's pcap/. Raises ``InvalidScenario`` with every mistake at once.
        """
        loaded = checking.load(path, overrides, seed=seed, dilation=dilation, policy=policy, engine=engine)
        return cls(
            loaded.scenario,
            source=str(path),
            out=out,
            progress=progress,
            warnings=loaded.warnings,
            capture=capture,
            workers=workers,
        )

    # -- for the script that drives the run --

    @property
    def directory(self) -> Path:
        """The run directory."""
        if self._directory is None:
            raise EccoError("the run has not begun: use `async with` first")
        return self._directory.path

    @property
    def dilation(self) -> float:
        """Seconds of the wall that an emulated second lasts."""
        return self._live.clock.dilation

    def now(self) -> float:
        """Emulated seconds since the run began; after its end, the time of its end."""
        return self._live.clock.now() if self._over_at is None else self._over_at

    def summary(self) -> RunMetrics:
        """The run so far: totals, cameras, jobs (``record.metrics``)."""
        return self.metrics

    def subscribe(self, listener: Callable[[AnyEvent], None]) -> None:
        """``listener`` is called with every event from now on, on the caller's event loop."""
        self._listeners.append(listener)

    def link(self, name: str) -> LinkHandle:
        """A camera's link by its id, ``bottleneck`` or ``downlink``."""
        live = self._live
        live.injector.check(name)
        return LinkHandle(name, self._inject, live.clock)

    async def counters(self) -> Mapping[str, netns.LinkCounters]:
        """The frames that every link has carried and lost so far, by camera; ``server`` is the bottleneck's.

        ``egress`` is the direction from the node to the switch. Bytes are those of Ethernet frames.
        """
        return await self._place.call(self._live.counters)

    async def inject(self, text: str) -> int:
        """Injects a fault given on one line, such as ``cam2 flap down=1s up=2s times=3``; returns its index.

        Raises ``ScenarioError`` that says what is wrong with it.
        """
        self._live  # noqa: B018  (raises when there is no run)
        fault = parse_fault(text, at=max(0.0, self.now()), cameras=[c.id for c in self.scenario.cameras])
        return await self._inject(fault)

    async def until(
        self,
        condition: Callable[[RunMetrics], bool] | None = None,
        *,
        window: int | None = None,
        t: float | None = None,
        timeout: float | None = None,
    ) -> None:
        """Waits until all that is given holds: ``condition(summary)``, emulated time ``t``, the beginning
        of retraining window ``window`` (from 0). ``timeout`` is in emulated seconds.

        Raises ``TimeoutError``, ``EccoError`` if the run ends first, or the error that made the run fail. The
        first two say how the cameras stood.

        A simulated run goes on only in here and in ``finish``, and stands still when this returns.
        ``condition`` is asked in its thread.
        """
        await self._place.call(lambda: self._until(condition, window, t, timeout))

    async def _until(
        self,
        condition: Callable[[RunMetrics], bool] | None,
        window: int | None,
        t: float | None,
        timeout: float | None,
    ) -> None:
        # one loop for all three conditions: it wakes at every event and at the next of the two moments
        moment = max(t or 0.0, 0.0 if window is None else window * self.scenario.windows.length)
        deadline = math.inf if timeout is None else self.now() + timeout
        changed = asyncio.Event()
        self._waiting[changed] = None
        try:
            while self.now() < moment or not (condition is None or condition(self.metrics)):
                self._raise_if_over()
                if self.now() >= deadline:
                    raise TimeoutError(
                        f"it did not happen within {timeout:g} emulated seconds; {self._last_seen()}"
                    )
                changed.clear()
                await self._wait_for(changed, [at for at in (moment, deadline) if at < math.inf])
        finally:
            del self._waiting[changed]

    async def finish(self) -> RunStatus:
        """Waits for the scenario's end, measures the students, checks the expectations, returns the status.

        Measuring takes a while on a small host; it is no part of the run.
        """
        self._live  # noqa: B018  (raises when there is no run)
        return await self._place.call(self._finish)

    async def _finish(self) -> RunStatus:
        assert self._main is not None
        await self._main
        await self._measure()
        self._check_expectations()
        self._conclude(verdict.of_finished(self.metrics))
        assert self.status is not None
        return self.status

    # -- coming and going --

    async def __aenter__(self) -> Self:
        if self._directory is not None:
            raise EccoError("an Emulation runs once; make another")
        self._home = asyncio.get_running_loop()
        if self.scenario.simulated:
            self._place = self._virtual_place()
        try:
            await self._place.call(self._start)
            await self._outside.enter_async_context(
                remote.listening(self.directory, self.inject, self.now, self._no_injecting)
            )
        except BaseException as error:  # Ctrl-C and cancellation too: all that was started must be stopped
            await self._depart(error if isinstance(error, Exception) else None)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._depart(None)

    async def _depart(self, error: BaseException | None) -> None:
        try:
            await self._outside.aclose()
        finally:
            try:
                await self._place.call(lambda: self._leave(error or self._place.failure or self._crash()))
            finally:
                await self._place.close()

    def _virtual_place(self) -> LoopThread:
        place = LoopThread(f"run of {self.scenario.name}")
        windows = self.scenario.windows
        place.loop.horizon_s = windows.duration_s + HORIZON_MICRO_WINDOWS * windows.micro
        return place

    async def _start(self) -> None:
        caveats = await preflight.require(self.scenario)  # before anything is made
        student = await asyncio.to_thread(read_first_student, self.scenario.trainer)
        self._directory = RunDirectory.create(self._out, self.scenario.name, datetime.now(UTC))
        self._directory.write_scenario(dump(self.scenario))
        self._log = EventLog(self._directory.events_path, time.monotonic)
        self._system = await self._stack.enter_async_context(
            build(
                self.scenario,
                student,
                self._directory,
                source=self._source,
                replay_of=self._replay_of,
                caveats=caveats,
                emit=self._emit,
                progress=self._progress,
                capture=self._capture,
                open_worker=self._open_worker,
            )
        )
        self._parts.append(self._system.targets.see)
        self._first = model_hash(student)
        self._students = StudentFiles(self._directory.models, self._directory.path / runs.STUDENTS)
        self._stack.callback(self._students.close)
        self._students.keep(self._first)
        self._parts.append(self._students.see)
        self._main = asyncio.create_task(self._system.run(), name="ecco-emu")
        self._main.add_done_callback(lambda _: self._ended())

    async def _leave(self, error: BaseException | None) -> None:
        """Stops everything and writes the summary; ``error`` ended the run, if it has no status yet."""
        try:
            await self._stop()
            if self._log is not None and self.status is None:
                ended = verdict.of_stopped(self.metrics)
                self._conclude(ended if error is None else verdict.of_error(error, self.metrics))
            if self._system is not None and self._directory is not None:
                keep_newest_students(self._directory.models, self.metrics)
        finally:
            try:
                await self._stack.aclose()
            finally:
                if self._log is not None:
                    self._log.close()

    async def _stop(self) -> None:
        if self._main is not None:
            self._main.cancel()
            await asyncio.gather(self._main, return_exceptions=True)

    # -- inside --

    @property
    def _live(self) -> System:
        if self._system is None:
            raise EccoError("the run has not begun: use `async with` first")
        return self._system

    def _emit(self, event: AnyEvent) -> None:
        assert self._log is not None
        self._log.append(event)
        for part in self._parts:
            part(event)
        if self.scenario.simulated:
            assert self._home is not None
            for listener in self._listeners:
                self._home.call_soon_threadsafe(listener, event)
        else:
            for listener in self._listeners:
                listener(event)
        self._wake()

    async def _inject(self, fault: FaultSection) -> int:
        return await self._place.call(lambda: self._live.injector.inject(fault))

    def _no_injecting(self, why: str) -> None:
        self._emit(Trouble(t=self.now(), where="inject", text=why))

    def _ended(self) -> None:
        self._over_at = self._live.clock.now()
        self._wake()

    def _wake(self) -> None:
        for waiting in self._waiting:
            waiting.set()

    async def _wait_for(self, changed: asyncio.Event, moments: Sequence[float]) -> None:
        """Until something happened or the next of these emulated moments has come."""
        now = self.now()
        ahead = [moment - now for moment in moments if moment > now]
        wall_s = self._live.clock.wall_duration(min(ahead)) if ahead else None
        try:
            await asyncio.wait_for(changed.wait(), wall_s)
        except TimeoutError:
            return

    def _raise_if_over(self) -> None:
        if self._main is not None and self._main.done():
            self._main.result()
            raise EccoError(
                f"the run ended at {self.now():.1f} s, before what was waited for; {self._last_seen()}"
            )

    def _last_seen(self) -> str:
        return f"at {self.now():.1f} s, in window {self.metrics.window}:\n{standing(self.metrics)}"

    async def _measure(self) -> None:
        """Measures every student that a camera ran, and puts all of it on record at once.

        If it fails, the record keeps the glimpses of the live run.
        """
        assert self._first is not None
        assert self._students is not None
        told = 0

        def progress(done: int, of: int) -> None:
            nonlocal told
            tenth = done * 10 // max(of, 1)
            if tenth > told or done == 0:
                told = tenth
                self._progress(f"the run is over; measuring its students: {done} of {of}")

        try:
            measured = await self._live.measure(
                self.metrics, self._first, self._students, self.now(), progress
            )
        except EccoError as error:
            self._emit(Trouble(t=self.now(), where="measuring", text=str(error)))
            return
        if measured.missing:
            text = f"{measured.missing} students were not measured: their files were gone"
            self._emit(Trouble(t=self.now(), where="measuring", text=text))
        for event in measured.events:
            self._emit(event)

    def _check_expectations(self) -> None:
        for index, expectation in enumerate(self.scenario.expect):
            found = expectations.evaluate(expectation, self._facts)
            self._emit(
                ExpectationChecked(
                    t=self.now(),
                    index=index,
                    text=expectations.describe(expectation),
                    held=found.held,
                    detail=found.detail,
                )
            )

    def _crash(self) -> BaseException | None:
        """The error that ended the run, if one did."""
        main = self._main
        return main.exception() if main is not None and main.done() and not main.cancelled() else None

    def _conclude(self, ended: verdict.RunVerdict) -> None:
        assert self._directory is not None
        self.status = ended.status
        self._emit(
            RunEnded(
                t=self.now() if self._system is not None else 0.0,
                status=ended.status,
                reasons=list(ended.reasons),
                suggested_dilation=ended.suggested_dilation,
            )
        )
        self._directory.write_summary(summarize(self.metrics, ended.status))
