"""``dilation: auto``: how slow the scenario's clock must run for this host to keep its promises.

Everything a run computes in an emulated second is added up as seconds of the wall, from the speeds that a
rehearsal found on this host a moment before (``rehearsal``). Two things must hold: the training process does
the dearest micro-window in a micro-window's time, and the cores beside it do the rest in real time. Pure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ecco_emu.scenario import schema
from ecco_emu.server.measuring import MOST_CHARGED

HEADROOM = 1.6
"""Room for the difference between the rehearsal and a run. In a quiet quickstart the trainer took 1.4
times as long as rehearsed: transport, relay and event loop share the caches and the second core with it."""
PACKET_CPU_S = 140e-6
"""CPU to send, shape, relay and receive one datagram with its share of acks: 107 µs in the transport and 31
in the relay (docs/notes/measurements.md). The only cost that is not measured anew, because measuring it takes
a network; it is a few per cent of a run's work."""
DATAGRAM_BITS = 1200 * 8
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
    codec_s: float
    """Wall seconds to encode and decode one image of 320x192."""
    metric_s: float
    """Wall seconds to measure one camera's live accuracy."""


def choose_dilation(scenario: schema.Scenario, speed: HostSpeed, drifting: int) -> float:
    """Seconds of the wall per emulated second, at least 1, rounded up to a tenth.

    ``drifting`` is the number of cameras whose condition changes in the run.
    """
    return max(1.0, math.ceil(_load(scenario, speed, drifting) * HEADROOM * 10) / 10)


def background_duty(scenario: schema.Scenario, speed: HostSpeed, drifting: int) -> float:
    """The part of the time, above 0 and at most 1, in which a core beside training is busy in a run."""
    free = max(1, speed.cores - speed.trainer_threads)
    return min(1.0, background_load(scenario, speed) / free / max(1.0, _load(scenario, speed, drifting)))


def _load(scenario: schema.Scenario, speed: HostSpeed, drifting: int) -> float:
    """Wall seconds of work per emulated second."""
    training, rest = trainer_load(scenario, speed, drifting), background_load(scenario, speed)
    if speed.cores > speed.trainer_threads:  # side by side: the slower sets the pace
        return max(training, rest / (speed.cores - speed.trainer_threads))
    return training + rest / speed.cores


def trainer_load(scenario: schema.Scenario, speed: HostSpeed, drifting: int) -> float:
    """Wall seconds of training and measuring per emulated second, in the dearest micro-window.

    That is a window's first one: the members of all groups were measured when the last window ended, which
    takes from its time.
    """
    trainer, micro_s = scenario.trainer, scenario.windows.micro
    usual = REMEASURED * trainer.eval_frames
    at_end = drifting * _held_out(scenario)
    first = micro_window_s(scenario, speed, usual + at_end) + drifting * speed.export_s
    return max(micro_window_s(scenario, speed, usual), first) / micro_s


def _held_out(scenario: schema.Scenario) -> float:
    """Frames of a window that a camera's job is measured on at its end: those that are held out, at most
    ``window_frames``. The camera that samples fastest decides."""
    fps = max(camera.source.fps for camera in scenario.cameras)
    frames = scenario.trainer.held_out * fps * scenario.windows.length
    return min(frames, scenario.trainer.window_frames)


def micro_window_s(scenario: schema.Scenario, speed: HostSpeed, measured: float) -> float:
    """Wall seconds of a micro-window in which models are run on ``measured`` frames to measure them.

    Evaluation is charged to the micro-window's budget, so it takes the place of training.
    """
    trainer = scenario.trainer
    budget = trainer.gpus * trainer.gpu_speed * scenario.windows.micro
    charged = min(trainer.evaluation_cost * measured, MOST_CHARGED * budget)
    step = trainer.gpus * trainer.batch
    images = max(1, int((budget - charged) // step)) * step
    return images / speed.train_images_per_s + speed.micro_s + measured / speed.infer_images_per_s


def background_load(scenario: schema.Scenario, speed: HostSpeed) -> float:
    """CPU seconds of everything but the trainer per emulated second."""
    total = 0.0
    for camera in scenario.cameras:
        size = camera.source.size[0] * camera.source.size[1] / REFERENCE_PX
        total += min(camera.source.fps, scenario.drift.infer_fps) / speed.edge_images_per_s
        total += size * camera.source.fps * (speed.render_s + speed.codec_s)
        total += speed.metric_s / scenario.windows.micro
    up = scenario.network.bottleneck.rate or sum(
        scenario.uplink_of(camera).rate or 0.0 for camera in scenario.cameras
    )
    return total + up / DATAGRAM_BITS * PACKET_CPU_S
