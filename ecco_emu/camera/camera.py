"""One camera: it runs its student, notices drift, asks for retraining, streams video, takes new students.

Three coroutines under one task group share the state of ``Camera``: ``_stay_connected`` (messages from and to
the server), ``_watch`` (inference and drift, paper, section 2.1) and ``_stream`` (sampling, encoding and
sending, section 3.2). All times are emulated seconds.

A camera in a job goes on watching. When its data drifts again it asks again, with fresh time and place, and
streams on meanwhile: the frames are evidence for whichever job takes it.
"""

from __future__ import annotations

import asyncio
from typing import Literal

from ecco_emu.camera.asking import REQUEST_FRAMES, Asking, RecentFrames, spread
from ecco_emu.camera.ports import CameraPorts
from ecco_emu.camera.streaming import SegmentSender
from ecco_emu.camera.students import StudentCache
from ecco_emu.camera.ticks import FrameTicks
from ecco_emu.camera.watching import make_watch
from ecco_emu.control.transmission import CameraLimits, TransmissionPlan, TransmissionRule
from ecco_emu.core.errors import ProtocolError
from ecco_emu.core.events import (
    CameraConfigured,
    DeadlineMissed,
    DriftNoticed,
    RequestSent,
    StudentRunning,
    Trouble,
)
from ecco_emu.core.frames import Frame
from ecco_emu.core.ids import CameraId, ModelHash
from ecco_emu.core.messages import (
    CONTROL,
    WEIGHTS,
    Assignment,
    NeedModel,
    NewStudent,
    Refused,
    Register,
    Released,
    RetrainingRequest,
    Weights,
    decode_from_server,
    encode,
)
from ecco_emu.scenario import schema
from ecco_emu.scenario.sections.cameras import CameraSection
from ecco_emu.transport.adapter import Peer
from ecco_emu.transport.events import ConnectionClosed, MessageReceived

REQUEST_BITS = 300_000
"""Size of a request's frames together."""
PLAN_CHECK_S = 1.0
"""Between two frames that are further apart, the camera looks so often whether it is to sample at another
rate."""
RECONNECT_S = 1.0
"""Pause before a camera whose connection closed connects again."""


class Camera:
    """The coroutine behind one camera. ``run`` goes on until it is cancelled."""

    def __init__(
        self,
        camera: CameraSection,
        scenario: schema.Scenario,
        student: bytes,
        rule: TransmissionRule,
        ports: CameraPorts,
    ) -> None:
        self.id = CameraId(camera.id)
        self._camera = camera
        self._ports = ports
        self._rule = rule
        self._students = StudentCache(student)
        self._drift = make_watch(
            scenario.drift,
            lambda t: ports.source.condition(self.id, t),
            lambda t: ports.source.settled(self.id, t),
        )
        self._sender = SegmentSender(
            self.id,
            codec=ports.codec,
            clock=ports.clock,
            frame_clock_fps=camera.source.fps,
            deadline_s=scenario.transport.segment_deadline,
            emit=ports.emit,
        )
        self._recent = RecentFrames()
        self._asking = Asking()
        self._infer_fps = scenario.drift.infer_fps
        self._peer: Peer | None = None
        self._plan: TransmissionPlan | None = None
        self._streaming = asyncio.Event()
        self._fetch_started = 0.0

    @property
    def state(self) -> Literal["idle", "requesting", "streaming"]:
        """Idle: in no job. Requesting: it asked for retraining and has no answer. Streaming: in a job, even
        while it asks again."""
        if self._plan is not None:
            return "streaming"
        return "requesting" if self._asking.asked else "idle"

    @property
    def running(self) -> ModelHash:
        """The student that looks at the frames now."""
        return self._students.running

    @property
    def peer(self) -> Peer | None:
        """The open connection to the server, if there is one now."""
        return None if self._peer is None or self._peer.closed else self._peer

    async def run(self) -> None:
        await self._ports.detector.add_model(self.running, self._weights(self.running))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._stay_connected(), name=f"{self.id}-connection")
            tasks.create_task(self._watch(), name=f"{self.id}-watch")
            tasks.create_task(self._stream(), name=f"{self.id}-stream")

    # -- the conversation with the server --

    async def _stay_connected(self) -> None:
        clock = self._ports.clock
        while True:
            try:
                async with self._ports.connect() as peer:
                    self._peer = peer
                    try:
                        await self._converse(peer)
                    except asyncio.CancelledError:
                        # The run ends. Closing the connection gives up the segments that are on their way,
                        # and these must not be reported as lost.
                        self._sender.end()
                        raise
            except ConnectionClosed as error:
                self._trouble(f"{error}; dialling again")
            finally:
                # A plan and a request outlive the connection: the camera goes on sampling, and asks again.
                self._peer = None
                self._students.forget_fetch()
            await clock.sleep_until(clock.now() + RECONNECT_S)

    async def _converse(self, peer: Peer) -> None:
        peer.send(CONTROL, encode(Register(self.id, self._position(self._ports.clock.now()), self.running)))
        # This connection may be a new one after an outage: whatever the old one had begun is begun again.
        if self._plan is not None:
            peer.set_alpha(self._plan.alpha)
        if self._asking.asked:
            await self._send_request()
        self._fetch()
        while True:
            event = await peer.receive()
            if isinstance(event, MessageReceived):
                await self._handle(event.data)

    async def _handle(self, data: bytes) -> None:
        try:
            match decode_from_server(data):
                case Assignment() as assignment:
                    self._assign(assignment)
                case NewStudent(model=model):
                    await self._announced(ModelHash(model))
                case Weights(model=model, data=weights):
                    await self._weights_arrived(ModelHash(model), weights)
                case NeedModel(model=model):
                    self._upload(ModelHash(model))
                case Released():
                    self._release()
                case Refused(retry_s=retry_s):
                    # The usual level is not learnt anew: that would take the bad level for usual.
                    self._asking.refused(self._ports.clock.now(), retry_s)
        except ProtocolError as error:  # one bad message is dropped; the connection and the camera go on
            self._trouble(str(error))

    def _assign(self, assignment: Assignment) -> None:
        if self._asking.assigned():
            self._drift.answered(self._ports.clock.now())
        source = self._camera.source
        limits = CameraLimits(source.fps, *source.size, camera=self.id)
        self._plan = self._rule.plan(assignment.c, assignment.p, assignment.members, limits)
        if (peer := self.peer) is not None:
            peer.set_alpha(self._plan.alpha)
        self._streaming.set()
        self._configured()

    def _release(self) -> None:
        self._plan = None
        self._streaming.clear()
        # The job ended with the scene as it is: what the student sees now is its usual level from here on.
        # Not so when the data has drifted again: the server may not have known, and it answers every request.
        if self._asking.drift is None:
            self._drift.relearn(self._ports.clock.now())
        self._configured()

    def _configured(self) -> None:
        plan = self._plan
        width, height = self._camera.source.size
        self._ports.emit(
            CameraConfigured(
                t=self._ports.clock.now(),
                camera=self.id,
                state="streaming" if plan is not None else "idle",
                fps=plan.fps if plan is not None else 0.0,
                width=plan.width if plan is not None else width,
                height=plan.height if plan is not None else height,
                alpha=plan.alpha if plan is not None else 0.0,
                weight=plan.weight if plan is not None else 0.0,
            )
        )

    # -- students --

    async def _announced(self, model: ModelHash) -> None:
        if self._students.announce(model):
            await self._run_student(model, transferred=0)
        else:
            self._fetch()

    def _fetch(self) -> None:
        model = self._students.next_fetch()
        if model is None:
            return
        if (peer := self.peer) is None:  # ``_converse`` asks again once there is a connection
            self._students.forget_fetch()
            return
        self._fetch_started = self._ports.clock.now()
        peer.send(CONTROL, encode(NeedModel(model)))

    async def _weights_arrived(self, model: ModelHash, weights: bytes) -> None:
        if self._students.arrived(model, weights):
            await self._run_student(model, transferred=len(weights))
        self._fetch()

    async def _run_student(self, model: ModelHash, transferred: int) -> None:
        # Loaded first, so that frames which arrive meanwhile are still looked at by the old student.
        before = self.running
        await self._ports.detector.add_model(model, self._weights(model))
        self._students.run(model)
        now = self._ports.clock.now()
        self._drift.switch(now)
        self._ports.emit(
            StudentRunning(
                t=now,
                camera=self.id,
                model=model,
                transferred_bytes=transferred,
                transfer_s=now - self._fetch_started if transferred else 0.0,
            )
        )
        await self._ports.detector.remove_model(before)

    def _upload(self, model: ModelHash) -> None:
        weights = self._students.weights(model)
        if weights is None:
            raise ProtocolError(f"the server asked for student {model}, which this camera does not hold")
        if (peer := self.peer) is not None:
            peer.send(WEIGHTS, encode(Weights(model, weights)))

    def _weights(self, model: ModelHash) -> bytes:
        weights = self._students.weights(model)
        assert weights is not None
        return weights

    # -- inference and drift --

    async def _watch(self) -> None:
        ticks = FrameTicks.at_rate(self._camera.source.fps, self._infer_fps)
        while True:
            frame = await self._take(ticks)
            self._recent.add(frame)
            model = self.running  # before the await: another student may run by the time the result is there
            size = self._camera.source.infer_size
            [seen] = await self._ports.detector.detect(model, [frame.image], size=size)
            self._ports.observe(self.id, frame.index, model, seen)
            if self._drift.update(frame.t, seen.scores):
                self._noticed(frame.t)
            await self._ask_if_due(frame.t)

    def _noticed(self, t: float) -> None:
        self._asking.noticed(self._drift.since, t)
        self._ports.emit(
            DriftNoticed(
                t=t,
                camera=self.id,
                detector=self._drift.name,
                statistic=self._drift.value,
                since=self._drift.since,
            )
        )

    async def _ask_if_due(self, t: float) -> None:
        drift = self._asking.drift
        if drift is None:
            return
        if self._asking.retries(t) and not self._drift.lasts:
            self._asking.forget()
            self._drift.over(t)
        elif self._asking.due(t, len(self._recent.since(drift.frames_from))):
            drift.asked = True
            await self._send_request()

    async def _send_request(self) -> None:
        drift = self._asking.drift
        assert drift is not None
        # Only frames since the drift began: older ones would say that the student still fits.
        frames = spread(self._recent.since(drift.frames_from), REQUEST_FRAMES)
        segment = await self._sender.encode_request(frames, self._infer_fps, REQUEST_BITS)
        if (peer := self.peer) is None:  # ``_converse`` sends it as soon as there is a connection
            return
        if self._asking.drift is not drift or not drift.asked:  # answered while the frames were encoded
            return
        now = self._ports.clock.now()
        request = RetrainingRequest(
            self.id, now, self._position(now), self.running, since=drift.since, frames=segment
        )
        peer.send(CONTROL, encode(request))
        self._ports.emit(RequestSent(t=now, camera=self.id, model=self.running))

    # -- sampling --

    async def _stream(self) -> None:
        ticks: FrameTicks | None = None
        newest = -1
        while True:
            plan = self._plan
            if plan is None:
                # Released: the next assignment starts at the frame that is due then, with an empty segment.
                ticks = None
                self._sender.restart()
                await self._streaming.wait()
                continue
            if ticks is None or ticks.fps != plan.fps:
                ticks = FrameTicks.at_rate(self._camera.source.fps, plan.fps, after=newest)
            index, due = self._next(ticks)
            if await self._other_rate_before(due, plan.fps):
                continue
            newest = index
            await self._sender.offer(await self._ports.source.frame(self.id, index), plan, self.peer)

    async def _other_rate_before(self, due: float, fps: float) -> bool:
        """Sleeps until ``due``. True as soon as the camera samples at another rate than ``fps``, or stops."""
        clock = self._ports.clock
        while True:
            # Also for a frame that is late already: others must have their turn.
            await clock.sleep_until(min(due, clock.now() + PLAN_CHECK_S))
            if self._plan is None or self._plan.fps != fps:
                return True
            if clock.now() >= due:
                return False

    async def _take(self, ticks: FrameTicks) -> Frame:
        index, due = self._next(ticks)
        await self._ports.clock.sleep_until(due)
        return await self._ports.source.frame(self.id, index)

    def _next(self, ticks: FrameTicks) -> tuple[int, float]:
        """The next frame's index and time."""
        index, due, missed = ticks.next(self._ports.clock.now())
        # The host was too slow for these frames. The run counts that and goes on with the newest one.
        if missed:
            self._ports.missed_deadline(
                DeadlineMissed(
                    t=self._ports.clock.now(),
                    text=f"the next frame of {self.id}",
                    late_s=missed / ticks.fps,
                    allowed_s=1 / ticks.fps,
                )
            )
        return index, due

    def _position(self, t: float) -> tuple[float, float]:
        """Where the camera is, as its own positioning would tell it: x and y in metres."""
        return self._ports.source.position(self.id, t)

    def _trouble(self, text: str) -> None:
        self._ports.emit(Trouble(t=self._ports.clock.now(), where=self.id, text=text))
