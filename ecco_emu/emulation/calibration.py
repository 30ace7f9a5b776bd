"""``dilation: auto``: how slow the scenario's clock must run for this host to keep its promises.

Everything a run computes in an emulated second is added up as CPU seconds of its processes, from the speeds
that a rehearsal found on this host a moment before (``rehearsal``). The chosen dilation is the least at which
the training process does the work of the dearest micro-windows in their time, beside processes that come
before it and take its core when they find no other. Pure.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from ecco_emu.core.ids import CameraId
from ecco_emu.scenario import schema
from ecco_emu.server.measuring import MOST_CHARGED
from ecco_emu.world.source import World

HEADROOM = 1.05
"""Room for the difference between the model and a run (docs/notes/trainer.md)."""


@dataclass(frozen=True, slots=True)
class PacketCost:
    """CPU of a datagram with its share of acknowledgements: of one that comes alone to cold caches, and of
    one in a stream that keeps a process awake. Found in whole runs and in ``bench``
    (docs/notes/trainer.md); not measured anew, because that takes a network at a run's pace."""

    alone_s: float
    stream_s: float

    def at(self, packets_per_wall_s: float) -> float:
        alone = min(1.0, ALONE_PER_S / packets_per_wall_s) if packets_per_wall_s else 1.0
        return self.stream_s + alone * (self.alone_s - self.stream_s)


COMMAND_PACKET = PacketCost(600e-6, 107e-6)
"""In the command, which holds both ends."""
RELAY_PACKET = PacketCost(300e-6, 31e-6)
ALONE_PER_S = 340.0
"""Up to so many datagrams in a second of the wall each comes alone."""
DATAGRAM_BITS = 1200 * 8
DOWNLINK_USE = 0.8
"""The part of the downlink's rate at which students were fetched in whole runs."""
REMEASURED = 1.4
"""Of a micro-window's evaluation frames, how many a model is run on: all after training, and before it the
part that arrived since, while the detections of the others are at hand."""
REFERENCE_PX = 320 * 192


@dataclass(frozen=True, slots=True)
class HostSpeed:
    """Measured on this host under a run's load, with the scenario's pictures and student."""

    train_images_per_s: float
    """Images that training steps take, with all of the trainer's threads."""
    infer_images_per_s: float
    """Images that the trainer's process measures a model on."""
    edge_images_per_s: float
    """Images that the cameras' process looks at, one thread and one image at a time."""
    cores: int
    trainer_threads: int
    """Cores that training keeps busy."""
    micro_s: float
    """Wall seconds that a micro-window takes beside steps and evaluation."""
    export_s: float
    """Wall seconds to make a job's student into a file."""
    render_s: float
    """Wall seconds to render and hand over one image of 320x192 with its boxes."""
    frame_s: float
    """CPU seconds of the command for one frame on its way from the world to inference and encoder."""
    codec_s: float
    """Wall seconds to encode and decode one image of 320x192."""
    metric_s: float
    """Wall seconds to measure one camera's live accuracy."""


MODELLED = HostSpeed(
    train_images_per_s=math.inf,
    infer_images_per_s=math.inf,
    edge_images_per_s=1 / 0.4e-3,
    cores=2,
    trainer_threads=0,
    micro_s=0.0,
    export_s=0.0,
    render_s=0.0,
    frame_s=0.3e-3,
    codec_s=0.0,
    metric_s=3e-3,
)
"""The speed of a host that models all of a run but its network, in one process. Not measured anew, like the
cost of packets (docs/notes/trainer.md)."""
LOOP_BUSY = 0.5
"""The part of the time in which such a process may be busy: it has all the run's timers."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known of the run to come that its scenario does not say in so many words."""

    drifting: int
    """Cameras whose condition changes, so that they are retrained."""
    student_bytes: int
    """Size of a student's file."""


def drifting(scenario: schema.Scenario, world: World) -> int:
    """How many cameras' conditions change during the run; all of them if none does.

    Without a change a camera asks for retraining only after a false alarm, or because a person plays with it.
    """
    end = scenario.windows.duration_s
    changing = [
        camera
        for camera in scenario.cameras
        if any(0 < change.t < end for change in world.condition_changes(CameraId(camera.id)))
    ]
    return len(changing) or len(scenario.cameras)


def choose_dilation(scenario: schema.Scenario, speed: HostSpeed, expected: Expected) -> float:
    """Seconds of the wall per emulated second, at least 1, in tenths."""
    return _least_dilation(scenario, speed, expected, HEADROOM)


def least_modelled_dilation(scenario: schema.Scenario, expected: Expected) -> float:
    """The same for a run in which nothing is trained, rendered or coded (``backend: curve``).

    What is left is the command's own work: packets, frames that are watched, and measuring them. Its loop may
    be busy for ``LOOP_BUSY`` of the time while students are fetched. Nothing is measured on this host.
    """
    downlink_bps = DOWNLINK_USE * (scenario.network.downlink.rate or math.inf)
    bits = expected.drifting * expected.student_bytes * 8
    packets_per_s = _fetching(bits, downlink_bps, scenario.windows.micro)

    def holds(dilation: float) -> bool:
        loads = dict(background_loads(scenario, MODELLED, dilation, packets_per_s))
        relay = loads.pop("relay")
        return sum(loads.values()) <= LOOP_BUSY * dilation and relay <= dilation

    return _least(holds)


def background_duty(scenario: schema.Scenario, speed: HostSpeed, expected: Expected) -> float:
    """The part of the time, above 0 and at most 1, in which a core beside training is busy in a run."""
    free = max(1, speed.cores - speed.trainer_threads)
    dilation = _least_dilation(scenario, speed, expected, 1.0)
    load = sum(background_loads(scenario, speed, dilation).values())
    return min(1.0, load / free / dilation)


def _least_dilation(
    scenario: schema.Scenario, speed: HostSpeed, expected: Expected, headroom: float
) -> float:
    wanted = list(demands(scenario, speed, expected))
    return _least(lambda dilation: _holds(scenario, speed, wanted, dilation / headroom))


def _least(holds: Callable[[float], bool]) -> float:
    """The least dilation that holds, at least 1, in tenths."""
    return next(each for number in itertools.count(10) if holds(each := number / 10))


def _holds(scenario: schema.Scenario, speed: HostSpeed, wanted: Sequence[Demand], dilation: float) -> bool:
    for demand in wanted:
        loads = background_loads(scenario, speed, dilation, demand.packets_per_s)
        duties = [load / dilation for load in loads.values()]
        if max(duties) > 1.0 or sum(duties) > speed.cores:
            return False
        left = trainer_share(duties, speed.cores, speed.trainer_threads)
        if demand.work_s > demand.micro_windows * scenario.windows.micro * dilation * left:
            return False
    return True


def trainer_share(duties: Sequence[float], cores: int, threads: int) -> float:
    """The part of the time in which the trainer's ``threads`` have their cores, from 0 to 1.

    Each of the other processes is busy for its duty of the time, independently of the others, and comes
    before the trainer (``host.priorities``). Those that find no free core take one from it.
    """
    free = max(0, cores - threads)
    # the chances that 0, 1, ... of the processes are busy: distributions of sums are convolved
    busy = reduce(np.convolve, ([1 - duty, duty] for duty in duties), np.ones(1))
    taken = float(np.maximum(np.arange(len(busy)) - free, 0) @ busy)
    return max(0.0, 1.0 - taken / threads)


@dataclass(frozen=True, slots=True)
class Demand:
    """The work of micro-windows that follow each other, together."""

    micro_windows: int
    work_s: float
    """Wall seconds of the trainer, when nothing is in its way."""
    packets_per_s: float
    """Datagrams of students on their way to the cameras."""


def demands(scenario: schema.Scenario, speed: HostSpeed, expected: Expected) -> Iterator[Demand]:
    """A window's beginning, and a micro-window soon after it.

    The members of all groups were measured when the last window ended. That takes from the time of the first
    micro-windows, and from their budgets: those whose budget it takes whole train nothing, the one after
    them trains with the rest. Meanwhile the students are exported, and their cameras begin to fetch them.
    """
    trainer, micro_s = scenario.trainer, scenario.windows.micro
    usual = REMEASURED * trainer.eval_frames
    at_end = expected.drifting * _most_measured(scenario)
    budget = scenario.micro_budget
    whole = int(trainer.evaluation_cost * at_end // budget)
    owed = trainer.evaluation_cost * (at_end + usual) - whole * budget
    measured_s = at_end / speed.infer_images_per_s + expected.drifting * speed.export_s
    bits = expected.drifting * expected.student_bytes * 8
    rate = DOWNLINK_USE * (scenario.network.downlink.rate or math.inf)
    yield Demand(
        whole + 1,
        measured_s + micro_window_s(scenario, speed, usual, owed),
        _fetching(bits, rate, (whole + 1) * micro_s),
    )
    # as many packets again: fetching begins when the measuring is done, late in the first stretch
    yield Demand(
        1,
        micro_window_s(scenario, speed, usual, trainer.evaluation_cost * usual),
        _fetching(bits, rate, micro_s),
    )


def _fetching(bits: float, rate_bps: float, stretch_s: float) -> float:
    """Datagrams a second while students of so many bits are fetched, in a stretch of this length."""
    return min(bits, rate_bps * stretch_s) / stretch_s / DATAGRAM_BITS


def _most_measured(scenario: schema.Scenario) -> float:
    """Frames of a window that a camera's job is measured on at its end, at most: the allocator decides how
    many it samples, and those that train are measured too where too few are held out."""
    fps = max(camera.source.fps for camera in scenario.cameras)
    return min(fps * scenario.windows.length, scenario.trainer.window_frames)


def micro_window_s(scenario: schema.Scenario, speed: HostSpeed, measured: float, owed: float) -> float:
    """Wall seconds of a micro-window in which models are run on ``measured`` frames to measure them.

    ``owed`` reference images are charged to its budget, so they take the place of training.
    """
    budget, step = scenario.micro_budget, scenario.trainer.gpus * scenario.trainer.batch
    images = max(1, int((budget - min(owed, MOST_CHARGED * budget)) // step)) * step
    return images / speed.train_images_per_s + speed.micro_s + measured / speed.infer_images_per_s


def background_loads(
    scenario: schema.Scenario, speed: HostSpeed, dilation: float, extra_packets_per_s: float = 0.0
) -> Mapping[str, float]:
    """CPU seconds per emulated second, by process: everything but the trainer.

    ``extra_packets_per_s`` are datagrams beside those of the cameras' video.
    """
    inference = world = codec = loop = 0.0
    for camera in scenario.cameras:
        size = camera.source.size[0] * camera.source.size[1] / REFERENCE_PX
        inference += min(camera.source.fps, scenario.drift.infer_fps) / speed.edge_images_per_s
        world += size * camera.source.fps * speed.render_s
        codec += size * camera.source.fps * speed.codec_s
        loop += camera.source.fps * speed.frame_s + speed.metric_s / scenario.windows.micro
    up = scenario.network.bottleneck.rate or sum(
        scenario.uplink_of(camera).rate or 0.0 for camera in scenario.cameras
    )
    packets_per_s = up / DATAGRAM_BITS + extra_packets_per_s
    loop += packets_per_s * COMMAND_PACKET.at(packets_per_s / dilation)
    relay = packets_per_s * RELAY_PACKET.at(packets_per_s / dilation)
    # coding runs in threads of the command, beside its loop
    return {"inference": inference, "world": world, "codec": codec, "loop": loop, "relay": relay}
