"""Who shares a job when cameras drift at once: the real server and trainer, on a clock that jumps.

Three cameras of one crossing drift alike and ask within a second; a fourth, close enough to be a candidate,
drifts otherwise. There is no network: requests and frames reach the server at their times, and training takes
no emulated time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ecco_emu.bench.control.scenes import SIZE, Shot, shoot
from ecco_emu.control.grouping import Metadata
from ecco_emu.core.events import AnyEvent, RequestDeferred
from ecco_emu.core.frames import Frame
from ecco_emu.core.ids import CameraId, model_hash
from ecco_emu.host.workers import WorkerProcess
from ecco_emu.policies.registry import make_policy
from ecco_emu.scenario import schema
from ecco_emu.scenario.loading import from_mapping
from ecco_emu.scenario.sections.world import Weather
from ecco_emu.server.jobs import CameraRequest
from ecco_emu.server.models import ModelStore
from ecco_emu.server.ports import ServerPorts
from ecco_emu.server.server import EdgeServer
from ecco_emu.server.windows import RetrainingLoop
from ecco_emu.study.tables import Table
from ecco_emu.tasks.detection import Labels, Sample
from ecco_emu.trainer.client import TrainingClient
from ecco_emu.video.h264 import H264Codec
from ecco_emu.world.town.views import Viewpoint

MICRO_S = 2.0
MICRO_WINDOWS = 6
FPS = 5.0
REQUEST_S = 1.6
"""The time that the eight frames of a request span."""
ALIKE = {
    CameraId("a"): Viewpoint((-64, -84), (-60, -62), 8.0, 70.0),
    CameraId("b"): Viewpoint((-84, -56), (-62, -60), 8.0, 70.0),
    CameraId("c"): Viewpoint((-56, -36), (-60, -58), 8.0, 70.0),
}
FOREIGN = CameraId("foreign")
_VIEWS = {**ALIKE, FOREIGN: Viewpoint((64, 82), (60, 66), 7.0, 70.0)}
PAIRS: tuple[tuple[Weather, Weather], ...] = (("fog", "night"), ("night", "fog"))
"""The weather of the three, and that of the fourth."""


@dataclass(frozen=True, slots=True)
class Joined:
    """One seed's outcome."""

    seed: int
    alike: Weather
    foreign: Weather
    groups: tuple[tuple[str, ...], ...]
    """The jobs' members after ``MICRO_WINDOWS`` micro-windows."""
    deferred: int
    """How often a request was weighed without a decision."""

    @property
    def together(self) -> bool:
        """Are the three that drifted alike in one job?"""
        return any(set(ALIKE) <= set(group) for group in self.groups)

    @property
    def mixed(self) -> bool:
        """Does the fourth share a job with any of them?"""
        return any(FOREIGN in group and len(group) > 1 for group in self.groups)


@dataclass
class _Stage:
    """The server's surroundings: its clock, and the cameras that stream because they are in a job."""

    trainer: TrainingClient
    frames: Mapping[CameraId, Sequence[Sample]]
    time: float = 0.0
    events: list[AnyEvent] = field(default_factory=list)
    streaming: Callable[[], set[CameraId]] = set

    def now(self) -> float:
        return self.time

    async def sleep_until(self, t: float) -> float:
        """All frames that cameras in a job have taken by then arrive; the clock jumps there."""
        for camera in sorted(self.streaming()):
            await self.trainer.add_samples([each for each in self.frames[camera] if 0 <= each.t < t])
        self.time = max(self.time, t)
        return 0.0

    async def label(self, camera: CameraId, frames: Sequence[Frame]) -> list[Labels]:
        raise NotImplementedError("no frame crosses a network here")


async def run(seed: int, alike: Weather, foreign: Weather, student: bytes, painter: WorkerProcess) -> Joined:
    """Renders the cameras' frames, lets them ask, and trains for ``MICRO_WINDOWS``: a minute on one core."""
    scenario = _scenario(seed)
    frames = {
        camera: await _frames(seed, camera, foreign if camera == FOREIGN else alike, painter)
        for camera in _VIEWS
    }
    trainer = TrainingClient(scenario.trainer, seed=seed, threads=1)
    try:
        await trainer.start()
        stage = _Stage(trainer, frames)
        with tempfile.TemporaryDirectory() as folder:
            server, loop = _server(scenario, Path(folder), student, stage)
            stage.streaming = lambda: {camera for job in server.jobs for camera in job.cameras}
            for camera in _VIEWS:
                await trainer.add_samples([each for each in frames[camera] if each.t < 0])
                # places within range of each other, so that accuracy alone can tell the fourth apart
                request = CameraRequest(camera, Metadata(0.0, (0.0, 0.0)), model_hash(student), -REQUEST_S)
                await server.admission.put(request)
            await loop.run()
            groups = tuple(tuple(map(str, job.cameras)) for job in server.jobs)
    finally:
        await trainer.close()
    deferred = sum(isinstance(event, RequestDeferred) for event in stage.events)
    return Joined(seed, alike, foreign, groups, deferred)


def table(outcomes: Sequence[Joined]) -> Table:
    rows = []
    for alike, foreign in PAIRS:
        some = [each for each in outcomes if (each.alike, each.foreign) == (alike, foreign)]
        if some:
            together, mixed = sum(each.together for each in some), sum(each.mixed for each in some)
            rows.append(
                (
                    f"three in {alike}, one in {foreign}",
                    f"{together} of {len(some)}",
                    f"{mixed} of {len(some)}",
                )
            )
    return Table(
        "Cameras that drift within a second", ("", "three in one job", "fourth among them"), tuple(rows)
    )


def _server(
    scenario: schema.Scenario, folder: Path, student: bytes, stage: _Stage
) -> tuple[EdgeServer, RetrainingLoop]:
    models = ModelStore(folder)
    models.put(student)
    ports = ServerPorts(
        clock=stage,
        trainer=stage.trainer,
        teacher=stage,
        emit=stage.events.append,
        missed_deadline=lambda what: None,
        codec=H264Codec(),
    )
    policy = make_policy("ecco", scenario.policy_setup)
    server = EdgeServer(scenario, policy, models, ports)
    return server, RetrainingLoop(scenario, policy, server, ports)


async def _frames(seed: int, camera: CameraId, weather: Weather, painter: WorkerProcess) -> list[Sample]:
    times = [-REQUEST_S + place / FPS for place in range(round((REQUEST_S + MICRO_S * MICRO_WINDOWS) * FPS))]
    pictures = await painter.call(shoot, seed, _VIEWS[camera], [Shot(t, weather) for t in times])
    return [
        Sample(camera, index, t, image, labels)
        for index, (t, (image, labels)) in enumerate(zip(times, pictures, strict=True))
    ]


def _scenario(seed: int) -> schema.Scenario:
    """What the server reads of a scenario; the cameras' places and views are not."""
    length = MICRO_S * MICRO_WINDOWS
    return from_mapping(
        {
            "version": 1,
            "name": "joins",
            "seed": seed,
            "windows": {"count": 1, "length": f"{length:g}s", "micro": f"{MICRO_S:g}s"},
            "trainer": {"gpus": 2, "gpu_speed": 16},
            "world": {"town": {"districts": [_EVERYWHERE]}},
            "cameras": [
                {"id": camera, "at": ["0m", "0m"], "source": {"look_at": ["9m", "0m"], "size": list(SIZE)}}
                for camera in _VIEWS
            ],
        },
        files=False,
    )


_EVERYWHERE = {
    "name": "all",
    "center": ["0m", "0m"],
    "radius": "1km",
    "weather": [{"at": "0s", "is": "day"}],
}
