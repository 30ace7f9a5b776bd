"""The cameras' inference process: the calls of ``InferenceClient`` run here, on one thread of the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ecco_emu.core.frames import Image
from ecco_emu.core.ids import ModelHash
from ecco_emu.tasks.detection import Detections
from ecco_emu.trainer.yolo.detect import detect
from ecco_emu.trainer.yolo.library import Library


class InferenceServer:
    """The students that the cameras run, by hash. One instance serves all cameras."""

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        self._library = Library(torch.device("cpu"), files=False)

    def add_model(self, model: ModelHash, weights: bytes) -> None:
        self._library.add(model, weights)

    def remove_model(self, model: ModelHash) -> None:
        self._library.remove(model)

    def detect(
        self,
        model: ModelHash,
        images: Sequence[Image],
        size: tuple[int, int] | None,
        min_score: float,
    ) -> list[Detections]:
        ready = self._library.ready(model)
        return detect(ready.model, images, size or ready.size, min_score=min_score)


_server: InferenceServer | None = None


def start(threads: int) -> None:
    """Makes this process the cameras' inference, anew where it was that already."""
    global _server
    _server = None  # its memory is free before the next one takes some
    _server = InferenceServer(threads)


def call(method: str, *args: Any) -> Any:
    """Calls a method of this process's ``InferenceServer``."""
    if _server is None:
        raise RuntimeError("the cameras' inference process was not started")
    return getattr(_server, method)(*args)
