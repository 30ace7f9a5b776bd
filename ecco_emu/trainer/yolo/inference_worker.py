"""The cameras' inference process: the calls of ``InferenceClient`` run here, on one thread of the CPU."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ecco_emu.core.frames import Image
from ecco_emu.core.ids import ModelHash
from ecco_emu.tasks.detection import Detections
from ecco_emu.trainer.yolo import student
from ecco_emu.trainer.yolo.detect import detect
from ecco_emu.trainer.yolo.library import Library

_CALIBRATION_S = 1.0
"""The measurement of speed takes at least this many seconds of the wall."""


class InferenceServer:
    """The students that the cameras run, by hash. One instance serves all cameras."""

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        self._library = Library(torch.device("cpu"))
        _once(student.Student(student.build().eval(), student.DEFAULT_SIZE))

    def add_model(self, model: ModelHash, weights: bytes) -> None:
        self._library.add(model, weights)

    def detect(self, model: ModelHash, images: Sequence[Image], min_score: float) -> list[Detections]:
        ready = self._library.ready(model)
        return detect(ready.model, images, ready.size, min_score=min_score)

    def calibrate(self) -> float:
        """Images per second of the wall, one at a time as cameras ask.

        Measured with the newest student, or with an untrained one: the weights do not change the time.
        """
        known = self._library.newest()
        ready = (
            self._library.ready(known) if known else student.Student(student.build(), student.DEFAULT_SIZE)
        )
        _once(ready)
        done, started = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - started) < _CALIBRATION_S:
            _once(ready)
            done += 1
        return done / elapsed


def _once(ready: student.Student) -> None:
    width, height = ready.size
    detect(ready.model, [np.zeros((height, width, 3), np.uint8)], ready.size)


_server: InferenceServer | None = None


def start(threads: int) -> None:
    """Makes this process the cameras' inference and runs it once, because torch's first run is slow."""
    global _server
    _server = InferenceServer(threads)


def call(method: str, *args: Any) -> Any:
    """Calls a method of this process's ``InferenceServer``."""
    if _server is None:
        raise RuntimeError("the cameras' inference process was not started")
    return getattr(_server, method)(*args)
