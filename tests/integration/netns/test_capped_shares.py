"""The paper's Figure 11 with real cameras, packets and video, and GPU shares that stand still.

The network is that of scenarios/fig11-capped.yaml. A small server gives every group a fixed share, so that
the test measures the way from shares to goodput alone: alphas, share reports, encoders, uplinks, targets.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from ecco_emu.camera.camera import Camera
from ecco_emu.camera.ports import CameraPorts
from ecco_emu.control.transmission import GpuProportional
from ecco_emu.core.events import AnyEvent, JobCreated, JobJoined, SegmentMoved, Traffic
from ecco_emu.core.frames import Frame, Image
from ecco_emu.core.ids import CameraId, ModelHash
from ecco_emu.core.messages import CONTROL, Assignment, encode
from ecco_emu.emulation.assembly import open_lab
from ecco_emu.emulation.connections import SERVER_PORT, dialled
from ecco_emu.emulation.meters import MeteredListener, ShareTargets, TrafficMeter
from ecco_emu.emulation.topology import SERVER, lab_spec
from ecco_emu.host.clock import RunClock
from ecco_emu.policies.steering import camera_config, server_config
from ecco_emu.record.metrics import RunMetrics
from ecco_emu.record.share_error import group_shares
from ecco_emu.scenario import loading, schema
from ecco_emu.tasks.detection import Detections
from ecco_emu.transport.adapter import Listener, Peer
from ecco_emu.transport.events import ConnectionClosed
from ecco_emu.video.h264 import H264Codec

pytestmark = [pytest.mark.ecco_netns, pytest.mark.timeout(240)]

SCENARIO = Path(__file__).parents[3] / "scenarios" / "fig11-capped.yaml"
SHARES = {"harbour": 0.3, "hill": 0.5, "station": 0.2}
"""p_j of the paper's groups A, B and C."""
DURATION_S = 60.0
DILATION = 2.0


class Street:
    """Noise that drifts by a pixel a frame: pictures with enough detail for any budget."""

    def __init__(self, fps: float) -> None:
        self._fps = fps
        rng = np.random.default_rng(1)
        coarse = rng.integers(0, 255, (48, 160, 3), dtype=np.uint8)
        self._wall = np.kron(coarse, np.ones((4, 4, 1), np.uint8)) // 2 + rng.integers(
            0, 127, (192, 640, 3), dtype=np.uint8
        )

    async def frame(self, camera: CameraId, index: int) -> Frame:
        await asyncio.sleep(0)
        left = index % 320
        return Frame(camera, index, index / self._fps, self._wall[:, left : left + 320])

    def position(self, camera: CameraId, t: float) -> tuple[float, float]:
        return (0.0, 0.0)

    def condition(self, camera: CameraId, t: float) -> str:
        return "day"

    def settled(self, camera: CameraId, t: float) -> bool:
        return True


class NoInference:
    async def add_model(self, model: ModelHash, weights: bytes) -> None:
        pass

    async def remove_model(self, model: ModelHash) -> None:
        pass

    async def detect(
        self, model: ModelHash, images: Sequence[Image], *, size: tuple[int, int] | None = None
    ) -> list[Detections]:
        none = np.zeros(0, np.float32)
        return [Detections(np.zeros((0, 4), np.float32), none, none.astype(np.int64)) for _ in images]


class FixedShares:
    """A server that knows from the beginning which group a camera belongs to, and its share."""

    def __init__(self, rule: GpuProportional) -> None:
        self._rule = rule

    async def run(self, listener: MeteredListener[Peer]) -> None:
        async with asyncio.TaskGroup() as tasks:
            while True:
                tasks.create_task(self._serve(await listener.accept()))

    async def _serve(self, peer: Peer) -> None:
        group = peer.name.rstrip("12")
        p = SHARES[group]
        peer.weight = self._rule.weight(p, 2)
        peer.send(CONTROL, encode(Assignment(group, c=8.0 * p, p=p, members=2)))
        try:
            while True:
                await peer.receive()
        except ConnectionClosed:
            pass


async def run(scenario: schema.Scenario, emit: Callable[[AnyEvent], None]) -> None:
    clock = RunClock(DILATION)
    # more than any camera can sample: the frame rate is the clock's
    rule = GpuProportional(mapping="auto", pixels_per_s_per_level=50.0 * 320 * 192)
    uplinks = {camera.id: scenario.uplink_of(camera).rate or math.inf for camera in scenario.cameras}
    tokens = {camera.id: camera.id.encode().ljust(16) for camera in scenario.cameras}
    async with AsyncExitStack() as stack:
        lab = await stack.enter_async_context(open_lab(lab_spec(scenario, DILATION)))
        sock = stack.enter_context(await lab.udp_socket(SERVER, port=SERVER_PORT))
        listener = Listener(sock, tokens, server_config(scenario.transport), clock)
        stack.push_async_callback(listener.close)

        def dial(camera: str) -> Callable[[], object]:
            @asynccontextmanager
            async def connection() -> AsyncIterator[Peer]:
                with await lab.udp_socket(camera) as own:
                    server = (lab.address(SERVER), SERVER_PORT)
                    config = camera_config(scenario.transport, rule, uplink_bps=uplinks[camera])
                    async with dialled(
                        own, server, camera, tokens[camera], config, clock, os.urandom
                    ) as peer:
                        yield peer

            return connection

        targets = ShareTargets(scenario)

        def note(event: AnyEvent) -> None:
            targets.see(event)
            emit(event)

        cameras = [
            Camera(
                camera,
                scenario,
                b"a student that nobody runs",
                rule,
                CameraPorts(
                    clock=clock,
                    source=Street(camera.source.fps),
                    detector=NoInference(),
                    connect=dial(camera.id),  # type: ignore[arg-type]
                    emit=note,
                    observe=lambda *_: None,
                    missed_deadline=lambda _: None,
                    codec=H264Codec(),
                ),
            )
            for camera in scenario.cameras
        ]
        metered = MeteredListener(listener.accept)
        meter = TrafficMeter(cameras, targets, clock, emit, metered.video_bytes)
        clock.start()
        server = FixedShares(rule)
        parts = [server.run(metered), meter.run(), *(camera.run() for camera in cameras)]
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(part) for part in parts]
            await clock.sleep_until(DURATION_S)
            for task in running:
                task.cancel()


async def test_what_capped_cameras_leave_goes_to_the_other_groups_by_weight() -> None:
    scenario = loading.load(SCENARIO, files=False).scenario
    events: list[AnyEvent] = []
    for group in SHARES:
        events.append(JobCreated(t=0.0, job=group, camera=f"{group}1", model="0" * 16, gains={}))
        events.append(JobJoined(t=0.0, job=group, camera=f"{group}2", gains={}))
    await run(scenario, events.append)
    shares = {share.job: share for share in group_shares(RunMetrics.of(events))}
    found = {
        job: (round(share.goodput_bps / 1e3), round(share.target_bps / 1e3), round(share.error, 3))
        for job, share in shares.items()
    }
    assert set(shares) == set(SHARES)
    assert max(share.error for share in shares.values()) <= 0.05, found
    lost = [event for event in events if isinstance(event, SegmentMoved) and event.state in ("lost", "late")]
    sent = [event for event in events if isinstance(event, SegmentMoved) and event.state == "sent"]
    assert len(lost) <= 0.05 * len(sent)
    rates = [event for event in events if isinstance(event, Traffic) and event.t > 20]
    assert {event.camera for event in rates} == {camera.id for camera in scenario.cameras}
