"""A camera among small stand-ins: the conversation, requests across outages, students, streaming."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import numpy as np
import pytest

from ecco_emu.camera.asking import REQUEST_FRAMES, REQUEST_WAIT_S
from ecco_emu.camera.camera import Camera
from ecco_emu.camera.ports import CameraPorts
from ecco_emu.control.sampling import SamplingConfig, SamplingTable
from ecco_emu.control.transmission import FixedTransmission, GpuProportional
from ecco_emu.core.events import AnyEvent, CameraConfigured, DriftNoticed, SegmentMoved, StudentRunning
from ecco_emu.core.frames import Frame, Image
from ecco_emu.core.ids import CameraId, ModelHash, model_hash
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
    Segment,
    ServerMessage,
    Weights,
    decode_from_camera,
    encode,
)
from ecco_emu.tasks.detection import Detections
from ecco_emu.transport.events import ConnectionClosed, Delivery, MessageReceived, VideoOutcome
from ecco_emu.video.decoder import decode
from ecco_emu.video.h264 import H264Codec
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

    def settled(self, camera: CameraId, t: float) -> bool:
        return True


class Blind:
    """A detector that sees nothing, and remembers which students it was given."""

    def __init__(self) -> None:
        self.models: list[ModelHash] = []
        self.sizes: set[tuple[int, int] | None] = set()

    async def add_model(self, model: ModelHash, weights: bytes) -> None:
        assert model_hash(weights) == model
        self.models.append(model)

    async def remove_model(self, model: ModelHash) -> None:
        self.models.remove(model)

    async def detect(
        self, model: ModelHash, images: Sequence[Image], *, size: tuple[int, int] | None = None
    ) -> list[Detections]:
        assert model in self.models
        self.sizes.add(size)
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
            codec=H264Codec(),
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


TABLE = SamplingTable(
    (
        (0.25, SamplingConfig(0.05, 320, 192)),
        (1.0, SamplingConfig(1.0, 320, 192)),
        (2.0, SamplingConfig(2.0, 320, 192)),
        (8.0, SamplingConfig(5.0, 320, 192)),
    )
)
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
    [noticed] = bench.of(DriftNoticed)
    assert isinstance(noticed, DriftNoticed)
    assert request.since == noticed.since
    segment = request.frames
    assert segment.t0 >= request.since  # the day's frames say nothing of the fog
    assert len(segment.indices) == REQUEST_FRAMES or request.t >= noticed.t + REQUEST_WAIT_S
    assert len(decode(segment.data, len(segment.indices), segment.width, segment.height)) == len(
        segment.indices
    )
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
    assert bench.detector.models == [model_hash(OLD)]  # the inference keeps the running student alone
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


async def test_a_camera_in_a_job_asks_again_when_its_data_drifts_again(bench: Bench) -> None:
    bench.peer.tell(ASSIGNMENT)
    await eventually(lambda: bench.peer.video)
    assert bench.said(RetrainingRequest) == []
    bench.source.fog = True
    await eventually(lambda: bench.said(RetrainingRequest))
    [request] = bench.said(RetrainingRequest)
    assert isinstance(request, RetrainingRequest)
    assert request.frames.t0 >= request.since > 0
    assert bench.camera.state == "streaming"
    sent = len(bench.peer.video)
    await eventually(lambda: len(bench.peer.video) > sent)  # it streams on


async def test_a_refused_request_is_made_again_with_fresh_frames_while_the_drift_lasts(bench: Bench) -> None:
    bench.source.fog = True
    await eventually(lambda: bench.said(RetrainingRequest))
    bench.peer.tell(Refused("no room", retry_s=20.0))
    await eventually(lambda: bench.camera.state == "idle")
    await eventually(lambda: len(bench.said(RetrainingRequest)) == 2)
    first, second = bench.said(RetrainingRequest)
    assert isinstance(first, RetrainingRequest)
    assert isinstance(second, RetrainingRequest)
    assert second.t >= first.t + 20.0
    assert second.since == first.since
    assert second.frames.t0 > first.frames.t0
    assert len(bench.of(DriftNoticed)) == 1


async def test_it_does_not_ask_again_when_the_drift_is_over(bench: Bench) -> None:
    bench.source.fog = True
    await eventually(lambda: bench.said(RetrainingRequest))
    bench.peer.tell(Refused("no room", retry_s=20.0))
    bench.source.fog = False
    await asyncio.sleep(0.08)  # eighty scenario seconds
    assert len(bench.said(RetrainingRequest)) == 1
    assert len(bench.of(DriftNoticed)) == 1
    bench.source.fog = True
    await eventually(lambda: len(bench.said(RetrainingRequest)) == 2)


async def test_the_running_student_is_not_started_again(bench: Bench) -> None:
    bench.peer.tell(NewStudent("job1", model_hash(OLD)))
    bench.peer.tell(NeedModel(model_hash(OLD)))
    await eventually(lambda: bench.said(Weights))  # so the offer before it was read
    assert bench.of(StudentRunning) == []
    assert bench.detector.models == [model_hash(OLD)]


async def test_a_student_trained_before_an_unanswered_drift_does_not_end_it(bench: Bench) -> None:
    """The server trained it without knowing of the fog: the camera asks, and asks again when refused."""
    bench.peer.tell(ASSIGNMENT)
    bench.source.fog = True
    await eventually(lambda: bench.said(RetrainingRequest))
    bench.peer.tell(NewStudent("job1", model_hash(NEW)))
    await eventually(lambda: bench.said(NeedModel))
    bench.peer.tell(Weights(model_hash(NEW), NEW), WEIGHTS)
    await eventually(lambda: bench.camera.running == model_hash(NEW))
    bench.peer.tell(Refused("no room", retry_s=5.0))
    await eventually(lambda: len(bench.said(RetrainingRequest)) == 2)
    assert bench.said(RetrainingRequest)[-1].model == model_hash(NEW)  # type: ignore[attr-defined]


async def test_a_release_that_crosses_a_request_does_not_end_it(bench: Bench) -> None:
    bench.peer.tell(ASSIGNMENT)
    bench.source.fog = True
    await eventually(lambda: bench.said(RetrainingRequest))
    bench.peer.tell(Released("the job is over"))
    await eventually(lambda: bench.camera.state == "requesting")
    bench.peer.drop()
    await eventually(lambda: len(bench.peers) == 2 and len(bench.said(RetrainingRequest)) == 2)


async def test_frames_rise_when_the_rate_changes(bench: Bench) -> None:
    bench.camera._rule = GpuProportional(TABLE)
    indices: list[int] = []
    for c in (8.0, 1.0, 8.0, 2.0, 1.0, 8.0, 0.25):
        bench.peer.tell(Assignment("job1", c=c, p=0.5, members=1))
        seen = len(bench.peer.video)
        await eventually(lambda seen=seen: len(bench.peer.video) >= seen + 2)
    for message in bench.peer.video:
        segment = decode_from_camera(message)
        assert isinstance(segment, Segment)
        indices += segment.indices
    assert indices == sorted(set(indices))


async def test_a_slow_camera_takes_up_a_faster_rate_at_once(bench: Bench) -> None:
    bench.camera._rule = GpuProportional(TABLE)
    bench.peer.tell(Assignment("job1", c=0.25, p=0.01, members=1))  # a frame in 20 s
    await eventually(lambda: bench.camera.state == "streaming")
    started = bench.camera._ports.clock.now()
    bench.peer.tell(Assignment("job1", c=8.0, p=0.5, members=1))
    await eventually(lambda: len(bench.peer.video) >= 3)
    assert bench.of(CameraConfigured)[-1].weight == 0.5  # type: ignore[attr-defined]
    segment = decode_from_camera(bench.peer.video[0])
    assert isinstance(segment, Segment)
    assert segment.t0 < started + 10.0


async def test_its_inference_keeps_the_size_that_the_scenario_names() -> None:
    bench = Bench()
    assert bench.scenario.cameras[0].source.infer_size is None
    running = asyncio.create_task(bench.camera.run())
    await eventually(lambda: bench.detector.sizes)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert bench.detector.sizes == {None}
