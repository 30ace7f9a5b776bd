"""A camera among small stand-ins: the conversation, requests across outages, students, streaming."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import numpy as np
import pytest

from ecco_emu.camera.camera import Camera
from ecco_emu.camera.ports import CameraPorts
from ecco_emu.control.transmission import FixedTransmission
from ecco_emu.core.events import AnyEvent, CameraConfigured, DriftNoticed, SegmentMoved, StudentRunning
from ecco_emu.core.frames import Frame, Image
from ecco_emu.core.ids import CameraId, ModelHash, model_hash
from ecco_emu.core.messages import (
    CONTROL,
    WEIGHTS,
    Assignment,
    NeedModel,
    NewStudent,
    Register,
    Released,
    RetrainingRequest,
    ServerMessage,
    Weights,
    decode_from_camera,
    encode,
)
from ecco_emu.tasks.detection import Detections
from ecco_emu.transport.events import ConnectionClosed, Delivery, MessageReceived, VideoOutcome
from ecco_emu.video import decode
from tests.unit.emulation.test_topology import scenario

OLD, NEW = b"the student it starts with", b"the student it gets"


class QuickClock:
    """A thousand times the wall: a scenario second takes a millisecond."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._origin = self._loop.time()

    def now(self) -> float:
        return (self._loop.time() - self._origin) * 1000

    async def sleep_until(self, t: float) -> float:
        await asyncio.sleep(max(0.0, (t - self.now()) / 1000))
        return max(0.0, self.now() - t)


class CameraLimits:
    """Noise that stays day until ``fog`` is set."""

    fog = False

    async def frame(self, camera: CameraId, index: int) -> Frame:
        pixels = np.random.default_rng(index).integers(0, 255, (192, 320, 3), dtype=np.uint8)
        return Frame(camera, index, index / 10, pixels)

    def position(self, camera: CameraId, t: float) -> tuple[float, float]:
        return (3.0, 4.0)

    def condition(self, camera: CameraId, t: float) -> str:
        return "fog" if self.fog else "day"


class Blind:
    """A detector that sees nothing, and remembers which students it was given."""

    def __init__(self) -> None:
        self.models: list[ModelHash] = []

    async def add_model(self, model: ModelHash, weights: bytes) -> None:
        assert model_hash(weights) == model
        self.models.append(model)

    async def detect(self, model: ModelHash, images: Sequence[Image]) -> list[Detections]:
        assert model in self.models
        none = np.zeros(0, np.float32)
        return [Detections(np.zeros((0, 4), np.float32), none, none.astype(np.int64)) for _ in images]


class FakePeer:
    """The camera's connection, seen from the server: what it said, and what it is told."""

    name = "cam1"
    allowed_rate_bps = 400e3
    video_backlog_bytes = 0

    def __init__(self) -> None:
        self.closed = False
        self.alpha: float | None = None
        self.said: list[object] = []
        self.video: list[bytes] = []
        self._told: asyncio.Queue[Delivery | None] = asyncio.Queue()

    def tell(self, message: ServerMessage, channel: int = CONTROL) -> None:
        self._told.put_nowait(MessageReceived(channel, encode(message)))

    def drop(self) -> None:
        self.closed = True
        self._told.put_nowait(None)

    async def receive(self) -> Delivery:
        told = await self._told.get()
        if told is None:
            raise ConnectionClosed("dropped by the test")
        return told

    def send(self, channel: int, message: bytes) -> None:
        self.said.append(decode_from_camera(message))

    def send_video(
        self, message: bytes, deadline: float, on_outcome: Callable[[VideoOutcome], None] | None = None
    ) -> int:
        self.video.append(message)
        if on_outcome is not None:
            on_outcome(VideoOutcome(len(self.video), "delivered"))
        return len(self.video)

    def set_alpha(self, alpha: float) -> None:
        self.alpha = alpha

    async def close(self) -> None:
        self.closed = True


class Bench:
    def __init__(self) -> None:
        self.scenario = scenario(drift={"detector": "oracle"})
        self.source = CameraLimits()
        self.detector = Blind()
        self.events: list[AnyEvent] = []
        self.peers: list[FakePeer] = []
        self.reachable = asyncio.Event()
        self.reachable.set()
        ports = CameraPorts(
            clock=QuickClock(),
            source=self.source,
            detector=self.detector,
            connect=self._dial,  # type: ignore[arg-type]
            emit=self.events.append,
            observe=lambda *_: None,
            missed_deadline=lambda _: None,
        )
        self.camera = Camera(self.scenario.cameras[0], self.scenario, OLD, FixedTransmission(), ports)

    @asynccontextmanager
    async def _dial(self) -> AsyncIterator[FakePeer]:
        await self.reachable.wait()
        peer = FakePeer()
        self.peers.append(peer)
        yield peer

    @property
    def peer(self) -> FakePeer:
        return self.peers[-1]

    def of(self, kind: type) -> list[AnyEvent]:
        return [event for event in self.events if isinstance(event, kind)]

    def said(self, kind: type) -> list[object]:
        return [message for peer in self.peers for message in peer.said if isinstance(message, kind)]


async def eventually(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - what is waited for is not all one event
            await asyncio.sleep(0.005)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    running = asyncio.create_task(bench.camera.run())
    await eventually(lambda: bench.peers and bench.said(Register))
    yield bench
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


ASSIGNMENT = Assignment("job1", c=5.0, p=0.5, members=2)


async def test_it_says_who_it_is_and_keeps_quiet_while_nothing_drifts(bench: Bench) -> None:
    assert bench.said(Register) == [Register("cam1", (3.0, 4.0), model_hash(OLD))]
    await asyncio.sleep(0.05)  # fifty scenario seconds
    assert bench.said(RetrainingRequest) == []
    assert bench.peer.video == []


async def test_drift_is_a_request_with_frames_that_decode_and_its_model(bench: Bench) -> None:
    bench.source.fog = True
    await eventually(lambda: bench.said(RetrainingRequest))
    [request] = bench.said(RetrainingRequest)
    assert isinstance(request, RetrainingRequest)
    assert request.model == model_hash(OLD)
    assert request.at == (3.0, 4.0)
    segment = request.frames
    assert len(decode(segment.data, len(segment.indices), segment.width, segment.height)) == len(
        segment.indices
    )
    assert len(bench.of(DriftNoticed)) == 1
    assert bench.camera.state == "requesting"


async def test_an_assignment_starts_the_stream_and_a_release_ends_it(bench: Bench) -> None:
    bench.peer.tell(ASSIGNMENT)
    await eventually(lambda: len(bench.peer.video) >= 2)
    assert bench.peer.alpha == 1.0
    assert bench.camera.state == "streaming"
    states = {event.state for event in bench.of(SegmentMoved)}  # type: ignore[attr-defined]
    assert states == {"sent", "delivered"}
    bench.peer.tell(Released("the job is over"))
    await eventually(lambda: bench.camera.state == "idle")
    assert [event.state for event in bench.of(CameraConfigured)] == ["streaming", "idle"]  # type: ignore[attr-defined]


async def test_a_new_student_is_fetched_only_if_it_is_not_here(bench: Bench) -> None:
    model = model_hash(NEW)
    bench.peer.tell(NewStudent("job1", model))
    await eventually(lambda: bench.said(NeedModel))
    bench.peer.tell(Weights(model, NEW), WEIGHTS)
    await eventually(lambda: bench.camera.running == model)
    bench.peer.tell(NewStudent("job1", model_hash(OLD)))
    await eventually(lambda: bench.camera.running == model_hash(OLD))
    assert bench.said(NeedModel) == [NeedModel(model)]  # the old one was still on the shelf
    sizes = [event.transferred_bytes for event in bench.of(StudentRunning)]  # type: ignore[attr-defined]
    assert sizes == [len(NEW), 0]


async def test_forged_weights_are_not_run(bench: Bench) -> None:
    bench.peer.tell(NewStudent("job1", model_hash(NEW)))
    await eventually(lambda: bench.said(NeedModel))
    bench.peer.tell(Weights(model_hash(NEW), b"something else"), WEIGHTS)
    await eventually(lambda: any("other content" in getattr(event, "text", "") for event in bench.events))
    assert bench.camera.running == model_hash(OLD)
    assert bench.detector.models == [model_hash(OLD)]


async def test_its_model_is_sent_to_a_server_that_lacks_it(bench: Bench) -> None:
    bench.peer.tell(NeedModel(model_hash(OLD)))
    await eventually(lambda: bench.said(Weights))
    assert bench.said(Weights) == [Weights(model_hash(OLD), OLD)]


async def test_a_request_that_a_lost_connection_swallowed_is_made_again(bench: Bench) -> None:
    bench.source.fog = True
    await eventually(lambda: bench.said(RetrainingRequest))
    bench.peer.drop()
    await eventually(lambda: len(bench.peers) == 2 and len(bench.said(RetrainingRequest)) == 2)
    assert isinstance(bench.peer.said[0], Register)


async def test_without_a_connection_segments_are_lost_and_the_camera_lives_on(bench: Bench) -> None:
    bench.peer.tell(ASSIGNMENT)
    await eventually(lambda: bench.peer.video)
    bench.reachable.clear()
    bench.peer.drop()
    await eventually(lambda: any(getattr(event, "state", "") == "lost" for event in bench.events))
    bench.reachable.set()
    await eventually(lambda: len(bench.peers) == 2 and bench.peer.video)
    assert bench.peer.alpha == 1.0  # the new connection is told as well
