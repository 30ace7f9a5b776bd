"""The student: YOLO11n with this project's classes, and its file.

A student travels as safetensors in float16 (at most ``MAX_STUDENT_BYTES``), never as a pickle, because it
comes over the network and a pickle runs code when it is read. A file that is read is checked against the
architecture built here: it must hold exactly its tensors, in their shapes and type, with finite numbers only.
"""

from __future__ import annotations

import copy
import functools
import json
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import save
from ultralytics.cfg import get_cfg
from ultralytics.nn.tasks import DetectionModel

from ecco_emu.tasks.detection import CLASSES
from ecco_emu.trainer.backend import BadStudentError
from ecco_emu.trainer.weight_files import ARCHITECTURE, FORMAT, input_size, student_entries

DEFAULT_SIZE = (320, 192)
"""Width and height of the pictures a student is given, in pixels; multiples of ``STRIDE``."""


@dataclass(frozen=True, slots=True)
class Student:
    """A detector and the input size (width, height in pixels) it was trained for."""

    model: DetectionModel
    size: tuple[int, int]


def build(*, seed: int = 0) -> DetectionModel:
    """A fresh, untrained YOLO11n for ``CLASSES``, in float32, ready for Ultralytics' loss."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = DetectionModel(f"{ARCHITECTURE}.yaml", ch=3, nc=len(CLASSES), verbose=False)
    model.args = get_cfg()  # gains of the loss: box 7.5, class 0.5, distribution 1.5
    model.names = dict(enumerate(CLASSES))
    return model.to(memory_format=torch.channels_last)


def to_bytes(model: DetectionModel, size: tuple[int, int] = DEFAULT_SIZE) -> bytes:
    """The student's file; ``size`` is its input (width, height). Equal weights give equal bytes.

    Raises ``BadStudentError`` if a weight is not finite in float16.
    """
    tensors = {
        name: value.detach().to("cpu", torch.float16).contiguous() for name, value in _stored(model).items()
    }
    for name, value in tensors.items():
        if not torch.isfinite(value).all():
            raise BadStudentError(f"{name} of this student is not finite in float16: its training diverged")
    metadata = {
        # One entry with everything in it: safetensors writes several entries in no fixed order, but equal
        # students must have equal hashes.
        "student": json.dumps({"format": FORMAT, "classes": list(CLASSES), "size": list(size)})
    }
    return save(tensors, metadata=metadata)  # type: ignore[no-any-return]


def load(data: bytes) -> Student:
    """The detector in a student's file, and its input size.

    Raises ``BadStudentError``, whose text names the fault, for any other bytes.
    """
    found = student_entries(data)
    size = input_size(data)
    model = copy.deepcopy(_template())  # five times faster than building anew
    expected = _stored(model)
    if found.keys() != expected.keys():
        odd = sorted(found.keys() ^ expected.keys())[0]
        raise BadStudentError(
            f"not a {ARCHITECTURE} for {len(CLASSES)} classes: tensor {odd!r} is lacking or foreign"
        )
    with torch.no_grad():
        for name, target in expected.items():
            target.copy_(_tensor(name, found[name], target.shape))
    return Student(model, size)


@functools.cache
def _template() -> DetectionModel:
    return build()


def _stored(model: DetectionModel) -> dict[str, torch.Tensor]:
    """The tensors that a student's file holds. They are the model's own storage, not copies.

    Batch norm's counters of batches are left out: with a fixed momentum they are never read.
    """
    return {
        name: value for name, value in model.state_dict().items() if not name.endswith("num_batches_tracked")
    }


def _tensor(name: str, entry: dict[str, Any], shape: torch.Size) -> torch.Tensor:
    if entry["dtype"] != "F16":
        raise BadStudentError(f"{name} is {entry['dtype']}, a student's tensors are F16")
    if list(entry["shape"]) != list(shape):
        raise BadStudentError(f"{name} has shape {entry['shape']}, expected {list(shape)}")
    tensor = torch.frombuffer(bytearray(entry["data"]), dtype=torch.float16).reshape(shape)
    if not torch.isfinite(tensor).all():
        raise BadStudentError(f"{name} holds numbers that are not finite")
    return tensor
