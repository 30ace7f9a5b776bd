"""Students by hash: files checked on arrival, detectors built when first needed, both bounded."""

from __future__ import annotations

from collections import OrderedDict

import torch

from ecco_emu.core.ids import ModelHash, model_hash
from ecco_emu.trainer.backend import BadStudentError, UnknownModelError
from ecco_emu.trainer.yolo.student import Student, load

FILES = 64
"""Student files kept, 5 MB each."""
BUILT = 16
"""Detectors kept ready to run, 11 MB each."""


class Library:
    """Keeps the students used most recently. A file is kept longer than the detector built from it.

    A detector that was evicted is built again from its file when it is needed.
    """

    def __init__(self, device: torch.device, *, files: int = FILES, built: int = BUILT) -> None:
        self._device = device
        self._most_files, self._most_built = files, built
        self._files: OrderedDict[ModelHash, bytes] = OrderedDict()
        self._built: OrderedDict[ModelHash, Student] = OrderedDict()
        self._users: dict[ModelHash, int] = {}

    def __contains__(self, model: ModelHash) -> bool:
        return model in self._files

    def add(self, model: ModelHash, weights: bytes) -> None:
        """Keeps a student's file. Raises ``BadStudentError`` if it is no student or has another hash."""
        if model in self._files:
            self._users[model] += 1
            self._files.move_to_end(model)
            return
        if model_hash(weights) != model:
            # the name is the hash: another file under it would be taken for this one everywhere
            raise BadStudentError(f"these weights hash to {model_hash(weights)}, not to {model}")
        self._keep_built(model, load(weights))
        self._files[model] = weights
        self._users[model] = 1
        while len(self._files) > self._most_files:
            self._forget(next(iter(self._files)))

    def remove(self, model: ModelHash) -> None:
        """One user less of a student, which is forgotten with the last; nothing if it is not here."""
        if model in self._users:
            self._users[model] -= 1
            if not self._users[model]:
                self._forget(model)

    def fresh(self, model: ModelHash) -> Student:
        """A student that the caller may train: it shares nothing. Raises ``UnknownModelError``."""
        return load(self._weights(model))

    def ready(self, model: ModelHash) -> Student:
        """A shared student to run, which must not be trained. Raises ``UnknownModelError``.

        Its batch norm is folded into the convolutions, which makes it faster.
        """
        weights = self._weights(model)
        if model not in self._built:
            self._keep_built(model, load(weights))
        self._built.move_to_end(model)
        return self._built[model]

    def newest(self) -> ModelHash | None:
        """The student used most recently, None while there is none."""
        return next(reversed(self._files), None)

    def _forget(self, model: ModelHash) -> None:
        del self._files[model], self._users[model]
        self._built.pop(model, None)

    def _weights(self, model: ModelHash) -> bytes:
        try:
            self._files.move_to_end(model)
        except KeyError:
            raise UnknownModelError(f"student {model} is not here; add it first") from None
        return self._files[model]

    def _keep_built(self, model: ModelHash, student: Student) -> None:
        fused = student.model.eval().fuse(verbose=False).to(self._device)
        self._built[model] = Student(fused, student.size)
        while len(self._built) > self._most_built:
            self._built.popitem(last=False)
