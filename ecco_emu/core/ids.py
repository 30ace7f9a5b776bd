"""Identifiers. Each is a plain string with a type of its own, so that mypy tells a camera from a job."""

from __future__ import annotations

import hashlib
import re
from typing import NewType

CameraId = NewType("CameraId", str)
JobId = NewType("JobId", str)
"""A retraining job. It is also the id of its group of cameras, as a group has one job (paper, section 3)."""
ModelHash = NewType("ModelHash", str)
"""Sixteen hex digits of the SHA-256 of a student's safetensors file."""


def natural(name: str) -> tuple[str | int, ...]:
    """A sort key under which job2 comes before job10: runs of digits count as numbers.

    >>> sorted(["job10", "job2"], key=natural)
    ['job2', 'job10']
    """
    # split around the digits, text and number take turns, so that two keys never compare one with the other
    return tuple(int(part) if place % 2 else part for place, part in enumerate(re.split(r"([0-9]+)", name)))


def model_hash(weights: bytes) -> ModelHash:
    """The name of a student: the first 64 bits of its file's SHA-256, as hex.

    Named by content, so that a camera or the server can tell that it holds a student already, and that a
    file that arrived is the one that was asked for.
    """
    return ModelHash(hashlib.sha256(weights).hexdigest()[:16])
