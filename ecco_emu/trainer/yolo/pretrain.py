"""Makes the shipped student: YOLO11n trained from scratch on clear days in the town.

Pictures come from random towns, views and times. They are rendered in a child process while the trainer
works on earlier ones. The student sees no night, rain or fog, because those are the drift that a run adapts
to. Towns of the evaluation are never trained on.
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
import importlib.metadata
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from ultralytics.nn.tasks import DetectionModel

from ecco_emu.core.random_streams import stream
from ecco_emu.host.processors import allowed_processors
from ecco_emu.host.workers import WorkerProcess
from ecco_emu.scenario.sections.world import Weather
from ecco_emu.tasks.detection import DetectionAccuracy, mean_average_precision
from ecco_emu.trainer.backend import LabelledImage
from ecco_emu.trainer.scenes import render_scenes
from ecco_emu.trainer.yolo import student
from ecco_emu.trainer.yolo.detect import detect
from ecco_emu.trainer.yolo.devices import default_precision
from ecco_emu.trainer.yolo.pictures import Augmentation, training_batch
from ecco_emu.trainer.yolo.steps import adamw, freeze_projection, step

NAME = "yolo11n-town"
LEARNING_RATE = 1.5e-3
"""AdamW's, after warm-up; falls to a hundredth along a half cosine."""
WARM_UP_STEPS = 100
AVERAGE_DECAY = 0.998
"""Of the moving average of the weights. The average is shipped, not the last weights."""
TEST_TOWN = 1_000_000
"""Town numbers from here on are for evaluation."""
TEST_PICTURES = 120
PICTURES_PER_TOWN = 100
_FIRST_TOWNS = 4
"""Training begins when this many towns are rendered, so that its first batches are varied."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a student came from: enough to make it again on the same machine."""

    command: str
    sha256: str
    seed: int
    scenes: int
    size: tuple[int, int]
    batch: int
    steps: int
    minutes: float
    precision: str
    versions: dict[str, str]
    map: dict[str, float]
    """mAP at IoU 0.50:0.95 on unseen scenes, by weather."""
    map50: dict[str, float]


class MovingAverage:
    """Exponential moving average of a model's weights.

    It follows quickly at first, so that the random weights of the beginning are soon forgotten.
    """

    def __init__(self, model: DetectionModel) -> None:
        self.model = copy.deepcopy(model).eval()
        self._updates = 0

    def update(self, model: DetectionModel) -> None:
        """Moves the average towards the model's weights as they are now."""
        self._updates += 1
        keep = AVERAGE_DECAY * (1 - math.exp(-self._updates / 200))
        with torch.no_grad():
            for mean, value in zip(
                self.model.state_dict().values(), model.state_dict().values(), strict=True
            ):
                if mean.dtype.is_floating_point:
                    mean.lerp_(value, 1 - keep)


class Pretraining:
    """The training loop over a growing pool of pictures."""

    def __init__(self, *, seed: int, steps: int, size: tuple[int, int], batch: int) -> None:
        self.pool: list[LabelledImage] = []
        self.done = 0
        self.losses: list[float] = []
        self._steps, self._size, self._batch = steps, size, batch
        self._random = stream(seed, "pretraining")
        self._model = student.build(seed=seed)
        freeze_projection(self._model)
        self._loss_of = self._model.init_criterion()
        self.average = MovingAverage(self._model)
        self.precision = default_precision(torch.device("cpu"))
        self._optimizer = adamw(self._model, LEARNING_RATE)
        self._augmentation = Augmentation(scale=0.3, translate=0.15, gain=0.3)

    def run(self, steps: int, late: Callable[[], float]) -> None:
        """Takes ``steps`` more steps, or fewer when the time is up.

        ``late`` returns the fraction of the allowed time that is spent, 0 when no time limit is set.
        """
        self._model.train()
        for _ in range(steps):
            progress = max(self.done / self._steps, late())
            if progress >= 1:
                break
            for group in self._optimizer.param_groups:
                group["lr"] = learning_rate(self.done, progress)
            chosen = self._random.choice(len(self.pool), self._batch, replace=False)
            pictures = [self.pool[index] for index in chosen]
            batch = training_batch(pictures, self._size, self._augmentation, self._random)
            loss = step(self._model, self._loss_of, self._optimizer, [batch], self.precision)
            self.losses.append(loss / self._batch)
            self.average.update(self._model)
            self.done += 1


def learning_rate(done: int, progress: float) -> float:
    """The learning rate after ``done`` steps: linear warm-up, times half a cosine over progress (0 to 1).

    Progress is its own argument, because it follows the clock when a time limit is set.
    """
    cosine = 0.01 + 0.99 * (1 + math.cos(math.pi * min(1.0, progress))) / 2
    return LEARNING_RATE * min(1.0, (done + 1) / WARM_UP_STEPS) * cosine


async def pretrain(
    out_dir: Path,
    *,
    seed: int = 1,
    steps: int = 2400,
    minutes: float | None = None,
    scenes: int = 2800,
    size: tuple[int, int] = student.DEFAULT_SIZE,
    batch: int = 16,
    test_pictures: int = TEST_PICTURES,
    progress: Callable[[str], None] = lambda text: None,
) -> Provenance:
    """Trains and evaluates a student; writes ``yolo11n-town.safetensors`` and its ``.json``.

    ``minutes`` ends the training early (the learning rate then falls by the clock); without it, equal
    arguments give equal students on one machine.
    """
    torch.set_num_threads(allowed_processors())
    started = time.monotonic()
    training = Pretraining(seed=seed, steps=steps, size=size, batch=batch)

    def late() -> float:
        return 0.0 if minutes is None else (time.monotonic() - started) / (60 * minutes)

    painter = WorkerProcess("rendering", niceness=10)
    try:
        await _train(training, painter, seed, steps, scenes, size, late, progress)
        trained_minutes = (time.monotonic() - started) / 60
        weights = student.to_bytes(training.average.model, size)
        accuracy = await _evaluate(weights, painter, seed, test_pictures, progress)
    finally:
        painter.close()
    provenance = Provenance(
        command=_command(seed, steps, minutes, scenes),
        sha256=hashlib.sha256(weights).hexdigest(),
        seed=seed,
        scenes=len(training.pool),
        size=size,
        batch=batch,
        steps=training.done,
        minutes=round(trained_minutes, 1),
        precision=str(training.precision).removeprefix("torch."),
        versions={name: importlib.metadata.version(name) for name in ("torch", "ultralytics", "panda3d")},
        map={weather: round(each.map, 4) for weather, each in accuracy.items()},
        map50={weather: round(each.map50, 4) for weather, each in accuracy.items()},
    )
    await asyncio.to_thread(_write, out_dir, weights, provenance)
    return provenance


async def _train(
    training: Pretraining,
    painter: WorkerProcess,
    seed: int,
    steps: int,
    scenes: int,
    size: tuple[int, int],
    late: Callable[[], float],
    progress: Callable[[str], None],
) -> None:
    """Renders town after town. Each joins the pool at a fixed step, so that the result does not depend on
    how fast this machine renders."""
    towns = max(1, math.ceil(scenes / PICTURES_PER_TOWN))
    # the last town joins when half of the steps are done, so that its pictures are trained on too
    stride = max(1, steps // (2 * towns))

    def rendered(town: int) -> asyncio.Task[list[LabelledImage]]:
        return asyncio.create_task(painter.call(render_scenes, seed, town, PICTURES_PER_TOWN, "day", size))

    coming = rendered(0)
    for town in range(towns):
        training.pool += await coming
        if town + 1 < towns:
            coming = rendered(town + 1)
        if town + 1 >= min(_FIRST_TOWNS, towns):
            await asyncio.to_thread(training.run, stride, late)
            progress(_state(training))
    while training.done < steps and late() < 1:
        await asyncio.to_thread(training.run, 50, late)
        progress(_state(training))


def _command(seed: int, steps: int, minutes: float | None, scenes: int) -> str:
    limit = "" if minutes is None else f" --minutes {minutes:g}"
    return f"ecco-emu pretrain --seed {seed} --steps {steps}{limit} --scenes {scenes}"


def _state(training: Pretraining) -> str:
    recent = training.losses[-50:] or [math.nan]
    return f"step {training.done}: {len(training.pool)} pictures, loss {np.mean(recent):.3f}"


async def _evaluate(
    weights: bytes, painter: WorkerProcess, seed: int, pictures: int, progress: Callable[[str], None]
) -> dict[str, DetectionAccuracy]:
    """Accuracy by weather of the student as shipped (float16), on a town that it never saw.

    The same town, views and times serve for every weather.
    """
    shipped = student.load(weights)
    accuracy: dict[str, DetectionAccuracy] = {}
    for weather in get_args(Weather):
        scenes = await painter.call(render_scenes, seed, TEST_TOWN, pictures, weather, shipped.size)
        images, truth = [image for image, _ in scenes], [labels for _, labels in scenes]
        found = await asyncio.to_thread(detect, shipped.model, images, shipped.size)
        accuracy[weather] = mean_average_precision(truth, found)
        progress(f"{weather}: mAP {accuracy[weather].map:.3f}, mAP50 {accuracy[weather].map50:.3f}")
    return accuracy


def _write(out_dir: Path, weights: bytes, provenance: Provenance) -> None:
    out_dir.mkdir(parents=True, exist_ok=True)
    (out_dir / f"{NAME}.safetensors").write_bytes(weights)
    (out_dir / f"{NAME}.json").write_text(json.dumps(asdict(provenance), indent=2) + "\n")
