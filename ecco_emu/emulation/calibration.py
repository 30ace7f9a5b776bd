"""``dilation: auto``: how slow the scenario's clock must run for this host to keep its promises.

Everything a run computes in an emulated second is added up as seconds of the wall, from speeds measured
on this host a moment before, and a headroom is put on top, because the machine is shared and the
measurements are short. Pure; the measuring is the trainer's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ecco_emu.scenario import schema

HEADROOM = 1.5
"""Room for noise and for work that this model leaves out. A run that still misses deadlines is
``degraded``."""
RENDER_CPU_S = 0.012
"""CPU to render and hand over one 320x192 frame with its boxes."""
CODEC_CPU_S = 0.008
"""CPU to encode and decode one 320x192 frame."""
PACKET_CPU_S = 120e-6
"""CPU to send, shape, relay and receive one datagram with its share of acks."""
DATAGRAM_BITS = 1200 * 8
WINDOW_END_S = 0.5
"""Exporting a job's student at a window's end."""
REFERENCE_PX = 320 * 192


@dataclass(frozen=True, slots=True)
class HostSpeed:
    """Measured speeds, in images of the world's size a second, and the number of cores."""

    train_images_per_s: float
    infer_images_per_s: float
    """By the trainer's process, all its threads."""
    edge_images_per_s: float
    """By the cameras' process, one thread."""
    cores: int
    trainer_threads: int
    """Cores that training keeps busy."""


def choose_dilation(scenario: schema.Scenario, speed: HostSpeed) -> float:
    """Seconds of the wall per emulated second, at least 1, rounded up to a tenth."""
    training, rest = trainer_load(scenario, speed), background_load(scenario, speed)
    if speed.cores > speed.trainer_threads:  # side by side: the slower sets the pace
        load = max(training, rest / (speed.cores - speed.trainer_threads))
    else:
        load = training + rest / speed.cores
    return max(1.0, math.ceil(load * HEADROOM * 10) / 10)


def trainer_load(scenario: schema.Scenario, speed: HostSpeed) -> float:
    """Wall seconds of training and measuring per emulated second."""
    windows, trainer = scenario.windows, scenario.trainer
    images = trainer.gpus * trainer.gpu_speed * windows.micro
    group = len(scenario.cameras)  # the worst case: all cameras in one group
    measured = 2 * group * trainer.eval_frames  # a job is measured before and after its micro-window
    per_micro_s = images / speed.train_images_per_s + measured / speed.infer_images_per_s
    at_window_end_s = group * (trainer.eval_frames / speed.infer_images_per_s + WINDOW_END_S)
    return per_micro_s / windows.micro + at_window_end_s / windows.micro / windows.micro_per_window


def background_load(scenario: schema.Scenario, speed: HostSpeed) -> float:
    """CPU seconds of everything but the trainer per emulated second."""
    total = 0.0
    for camera in scenario.cameras:
        size = camera.source.size[0] * camera.source.size[1] / REFERENCE_PX
        watched = min(camera.source.fps, scenario.drift.infer_fps)
        total += watched / speed.edge_images_per_s
        total += size * camera.source.fps * (RENDER_CPU_S + CODEC_CPU_S)
    up = scenario.network.bottleneck.rate or sum(
        scenario.uplink_of(camera).rate or 0.0 for camera in scenario.cameras
    )
    return total + up / DATAGRAM_BITS * PACKET_CPU_S
