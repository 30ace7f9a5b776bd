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

import safetensors
import torch
from safetensors.torch import save
from ultralytics.cfg import get_cfg
from ultralytics.nn.tasks import DetectionModel

from ecco_emu.tasks.detection import CLASSES
from ecco_emu.trainer.backend import BadStudentError

ARCHITECTURE = "yolo11n"
MAX_STUDENT_BYTES = 6_000_000
DEFAULT_SIZE = (320, 192)
"""Width and height of the pictures a student is given, in pixels; multiples of ``STRIDE``."""
STRIDE = 32
"""Of YOLO11's coarsest feature map, in pixels of the input."""
_FORMAT = "ecco-emu student 1"


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
        "student": json.dumps({"format": _FORMAT, "classes": list(CLASSES), "size": list(size)})
    }
    return save(tensors, metadata=metadata)  # type: ignore[no-any-return]


def load(data: bytes) -> Student:
    """The detector in a student's file, and its input size.

    Raises ``BadStudentError``, whose text names the fault, for any other bytes.
    """
    if len(data) > MAX_STUDENT_BYTES:
        raise BadStudentError(f"a student is at most {MAX_STUDENT_BYTES} bytes, this has {len(data)}")
    try:
        found: dict[str, dict[str, Any]] = dict(safetensors.deserialize(data))  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        raise BadStudentError(f"not a safetensors file: {error}") from error
    size = _read_size(data)
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


def _read_size(data: bytes) -> tuple[int, int]:
    """The input size in the file's header, whose length and JSON ``safetensors`` has checked already."""
    # eight bytes of length, then the header (safetensors' format)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    try:
        about = json.loads(header["__metadata__"]["student"])
        known = about["format"] == _FORMAT and about["classes"] == list(CLASSES)
        width, height = (int(side) for side in about["size"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:  # the text inside is any JSON, or none
        raise BadStudentError(f"the file's header does not say what it is: {error!r}") from error
    if not known:
        raise BadStudentError(f"not a {_FORMAT!r} for the classes {', '.join(CLASSES)}")
    if any(side % STRIDE or not STRIDE <= side <= 1920 for side in (width, height)):
        raise BadStudentError(f"input size {width}x{height} is not made of multiples of {STRIDE} up to 1920")
    return width, height
