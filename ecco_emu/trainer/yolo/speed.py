"""How fast this machine trains, measures and exports: what ``dilation: auto`` is worked out from."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from ecco_emu.core.ids import model_hash
from ecco_emu.trainer.backend import LabelledImage, Speed
from ecco_emu.trainer.yolo import student
from ecco_emu.trainer.yolo.detect import detect
from ecco_emu.trainer.yolo.devices import default_precision, plans_shapes
from ecco_emu.trainer.yolo.session import SETTLING_PICTURES, settle

_INFER_S = 0.5
_TRAIN_S = 1.5
"""Each measurement goes on for at least this many seconds. Evaluation gets less of them, because
it is the smaller part of a micro-window."""
_SCHEDULER = Path("/proc/thread-self/schedstat")
"""The kernel's statistics of the calling thread: nanoseconds on a core and of waiting for one, turns."""
_MOST_PICTURES = 16
"""In a measured step on a CPU, where the scenario's steps have more: a picture's time hardly depends on the
number. On a GPU it does, because launching the kernels takes as long for 8 pictures as for 32."""


def measure_speed(
    ready: student.Student,
    trained: student.Student,
    pictures: Sequence[LabelledImage],
    step: Callable[[Sequence[LabelledImage]], object],
    *,
    batch: int,
    gpus: int,
) -> Speed:
    """``ready`` is run, and ``trained`` is trained by ``step``: a micro-window of one step of these pictures.

    A step of the scenario has ``batch`` pictures on each of ``gpus``. Every ``step`` renews batch norm's
    statistics on its pictures, as a micro-window does at its end. A real micro-window has many steps and
    renews them once, so that part is measured by itself and taken off.
    """
    device = next(trained.model.parameters()).device
    planned = plans_shapes(device)
    images = [image for image, _ in pictures]
    count = gpus * batch if planned else max(gpus, min(gpus * batch, _MOST_PICTURES))
    drawn = [pictures[place % len(pictures)] for place in range(count)]
    settled = drawn[-SETTLING_PICTURES:]
    # the first of each kind allocates or imports, the first of each shape may be planned: not measured
    detect(ready.model, images if planned else images[:1], ready.size)
    _export(trained)
    # before it is trained: at a wild learning rate it diverges, and cannot be exported any more
    export_s = _seconds(lambda: _export(trained), 0.0)
    infer_s = _seconds(lambda: detect(ready.model, images, ready.size), _INFER_S) / len(images)
    step(drawn if planned else drawn[:gpus])
    settle_s = _seconds(lambda: _settle(trained, settled), 0.0)
    step_s = _seconds(lambda: step(drawn), _TRAIN_S)
    return Speed(
        train_images_per_s=count / max(step_s - settle_s, step_s / 2),
        inference_images_per_s=1 / infer_s,
        micro_s=SETTLING_PICTURES * settle_s / len(settled),
        export_s=export_s,
    )


def _export(trained: student.Student) -> None:
    model_hash(student.to_bytes(trained.model, trained.size))


def _clock() -> float:
    """Seconds without those in which this thread waited for a core that another process had.

    How often that happens depends on the dilation that these speeds are to decide, so it is worked out from
    them (``emulation.calibration``), not measured along.
    """
    try:
        waited_ns = int(_SCHEDULER.read_text().split()[1])
    except (OSError, IndexError, ValueError):  # a kernel without these statistics
        waited_ns = 0
    return time.perf_counter() - waited_ns / 1e9


def _settle(trained: student.Student, pictures: Sequence[LabelledImage]) -> None:
    device = next(trained.model.parameters()).device
    settle(trained.model, pictures, trained.size, default_precision(device))
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _seconds(work: Callable[[], object], least_s: float) -> float:
    """Seconds by ``_clock`` that ``work`` takes, repeated until ``least_s`` of them are over."""
    done, started = 0, _clock()
    while True:
        work()
        done += 1
        elapsed = _clock() - started
        if elapsed >= least_s:
            return elapsed / done
