"""What can be known of files of weights without torch, and without running anything that is in them.

A student's file says in its header what it is, so all but its accuracy can be known. A teacher's is a pickle,
as Ultralytics publishes it: it is read as a list of instructions, of which none is carried out.
"""

from __future__ import annotations

import hashlib
import json
import pickletools
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from ecco_emu.core.errors import ScenarioError
from ecco_emu.tasks.detection import CLASSES, COCO_CLASSES
from ecco_emu.trainer.backend import BadStudentError

ARCHITECTURE = "yolo11n"
FORMAT = "ecco-emu student 1"
MAX_STUDENT_BYTES = 6_000_000
STRIDE = 32
"""Of YOLO11's coarsest feature map, in pixels of the input."""
TENSORS = "bc378cdaa8c4c680774de82e4042e198b6adc6994c82a009d450114499022a63"
"""SHA-256 of the names and shapes of a student's tensors (``tensors_hash``), which follow from architecture
and classes. It stands here so that a file can be recognised without building a model."""
_LFS = b"version https://git-lfs.github.com/spec/"
_LFS_TEXT = "a git-lfs pointer, not the file itself: run 'git lfs pull'"
_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""The beginning of torch's format before 1.6, which is no archive and cannot be looked into."""
_MOST_PICKLE_BYTES = 64 << 20
_DETECTOR = "ultralytics.nn.tasks DetectionModel"


# -- students --


def student_entries(data: bytes) -> dict[str, dict[str, Any]]:
    """The tensors of a student's file by name: ``dtype``, ``shape``, ``data``. Raises ``BadStudentError``."""
    if len(data) > MAX_STUDENT_BYTES:
        raise BadStudentError(f"a student is at most {MAX_STUDENT_BYTES} bytes, this has {len(data)}")
    if data.startswith(_LFS):
        raise BadStudentError(_LFS_TEXT)
    try:
        return dict(safetensors.deserialize(data))  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        raise BadStudentError(f"not a safetensors file: {error}") from error


def input_size(data: bytes) -> tuple[int, int]:
    """The width and height in the header of a file that ``student_entries`` could read.

    Raises ``BadStudentError`` for a header that is of no student.
    """
    # eight bytes of length, then the header (safetensors' format)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    try:
        about = json.loads(header["__metadata__"]["student"])
        known = about["format"] == FORMAT and about["classes"] == list(CLASSES)
        width, height = (int(side) for side in about["size"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:  # the text inside is any JSON, or none
        raise BadStudentError(f"the file's header does not say what it is: {error!r}") from error
    if not known:
        raise BadStudentError(f"not a {FORMAT!r} for the classes {', '.join(CLASSES)}")
    if any(side % STRIDE or not STRIDE <= side <= 1920 for side in (width, height)):
        raise BadStudentError(f"input size {width}x{height} is not made of multiples of {STRIDE} up to 1920")
    return width, height


def tensors_hash(shapes: Mapping[str, list[int]]) -> str:
    """The value of ``TENSORS`` for these names and shapes."""
    lines = (f"{name} {list(shape)}\n" for name, shape in sorted(shapes.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def inspect_student(data: bytes) -> None:
    """Raises ``BadStudentError`` unless these bytes are a student that can be built."""
    entries = student_entries(data)
    input_size(data)
    if tensors_hash({name: entry["shape"] for name, entry in entries.items()}) != TENSORS:
        raise BadStudentError(f"its tensors are not those of a {ARCHITECTURE} for {len(CLASSES)} classes")
    for name, entry in entries.items():
        if entry["dtype"] != "F16":
            raise BadStudentError(f"{name} is {entry['dtype']}, a student's tensors are F16")
        if not np.isfinite(np.frombuffer(entry["data"], np.float16)).all():
            raise BadStudentError(f"{name} holds numbers that are not finite")


def read_student(path: Path) -> bytes:
    """The file of a student that can be built. Raises ``ScenarioError`` that names the file."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_STUDENT_BYTES + 1)
        inspect_student(data)
    except OSError as error:
        raise ScenarioError(f"{path} cannot be read: {error.strerror or error}") from error
    except BadStudentError as error:
        raise ScenarioError(
            f"{path} is no student's weights: {error}; ecco-emu pretrain makes some"
        ) from error
    return data


# -- teachers --


def inspect_teacher(path: Path) -> None:
    """Raises ``ScenarioError`` for a file that is no Ultralytics detector which knows COCO, as far as can be
    told without loading it."""
    if not path.is_file():  # a device may have no end
        raise ScenarioError(f"there is no file at {path}")
    try:
        with path.open("rb") as stream:
            head = stream.read(max(len(_LFS), len(_LEGACY)))
        if head.startswith(_LFS):
            raise ScenarioError(f"{path} is {_LFS_TEXT}")
        if head.startswith(_LEGACY):
            return
        classes, words = _named_in(_pickle_of(path))
    except OSError as error:
        raise ScenarioError(f"{path} cannot be read: {error.strerror or error}") from error
    except (zipfile.BadZipFile, KeyError, ValueError, RuntimeError, zlib.error) as error:
        raise ScenarioError(f"{path} is not a PyTorch weight file, or is cut short: {error}") from error
    tasks = sorted(name for name in classes if name.startswith("ultralytics.nn.tasks "))
    if _DETECTOR not in tasks:
        held = f"a {tasks[0].split()[1]}" if tasks else "no Ultralytics model"
        raise ScenarioError(
            f"{path} holds {held}, not a DetectionModel: take a detector's, such as yolo11x.pt"
        )
    if not words & set(COCO_CLASSES):
        wanted = ", ".join(COCO_CLASSES)
        raise ScenarioError(f"{path} knows none of {wanted}: take weights trained on COCO")


def _pickle_of(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.filename.endswith("/data.pkl"):
                if entry.file_size > _MOST_PICKLE_BYTES:
                    raise ValueError(f"{entry.filename} has {entry.file_size} bytes")
                return archive.read(entry)
    raise KeyError("there is no data.pkl in it")


def _named_in(pickled: bytes) -> tuple[set[str], set[str]]:
    """The classes, as ``module name``, and the words that a pickle names."""
    classes, words, last = set[str](), set[str](), ["", ""]
    for opcode, argument, _ in pickletools.genops(pickled):
        if opcode.name == "GLOBAL":
            classes.add(str(argument))
        elif opcode.name == "STACK_GLOBAL":
            classes.add(" ".join(last))
        elif isinstance(argument, str):
            words.add(argument)
            last = [last[1], argument]
    return classes, words
