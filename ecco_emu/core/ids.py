"""The names things go by. Each is a plain string with a type of its own."""

from __future__ import annotations

import hashlib
from typing import NewType

CameraId = NewType("CameraId", str)
JobId = NewType("JobId", str)
"""A retraining job, which is also the id of its group of cameras (paper section 3)."""
ModelHash = NewType("ModelHash", str)
"""Sixteen hex digits of the SHA-256 of a student's safetensors file."""


def model_hash(weights: bytes) -> ModelHash:
    """The address of a student: the first 64 bits of its file's SHA-256, as hex."""
    return ModelHash(hashlib.sha256(weights).hexdigest()[:16])
