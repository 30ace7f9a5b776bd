"""Students by hash: checked on arrival, built once, kept for as long as somebody uses them.

Users are counted. A student with a user is never evicted, so the cost of a frame does not depend on how many
students are in use. Students without users stay as a cache while memory allows: a student often comes back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import psutil
import torch

from ecco_emu.core.errors import HostError
from ecco_emu.core.ids import ModelHash, model_hash
from ecco_emu.trainer.backend import BadStudentError, UnknownModelError
from ecco_emu.trainer.yolo.devices import memory_format
from ecco_emu.trainer.yolo.student import Student, load

KEPT_BYTES = 512 << 20
"""All students together, used or not, above which those without users are forgotten, the oldest first.

A built student takes 10.3 MB, and 5.3 MB more where its file is kept: 51 or 34 students.
"""
RESERVE_BYTES = 256 << 20
"""Memory of the host that is left to others: a student that would need it is refused with ``HostError``."""


def _available_bytes() -> int:
    """The kernel's estimate of the memory that can be allocated without swapping."""
    return int(psutil.virtual_memory().available)


@dataclass(slots=True)
class _Entry:
    """One student."""

    ready: Student
    file: bytes
    """Empty where files are not kept."""
    users: int = 0

    def size_bytes(self) -> int:
        tensors = (*self.ready.model.parameters(), *self.ready.model.buffers())
        return len(self.file) + sum(int(tensor.numel() * tensor.element_size()) for tensor in tensors)


class Library:
    """The students that this process runs, by hash.

    ``files`` says whether their files are kept beside the built detectors, so that ``fresh`` can make
    students to train.
    """

    def __init__(
        self,
        device: torch.device,
        *,
        files: bool = True,
        kept_bytes: int = KEPT_BYTES,
        available_bytes: Callable[[], int] | None = None,
    ) -> None:
        self._device = device
        self._files = files
        self._kept_bytes = kept_bytes
        self._available_bytes = available_bytes or _available_bytes
        self._entries: OrderedDict[ModelHash, _Entry] = OrderedDict()
        """In order of the last time that a student was added or lost its last user."""
        self.bytes = 0
        """Of all students here."""

    def __contains__(self, model: ModelHash) -> bool:
        """Whether the student has a user.

        A cached one without users counts as absent, so that no result depends on how much is cached.
        """
        entry = self._entries.get(model)
        return entry is not None and entry.users > 0

    def add(self, model: ModelHash, weights: bytes) -> None:
        """One user more of a student.

        Raises ``BadStudentError`` if it is no student or has another hash, ``HostError`` if the host's memory
        ends.
        """
        if model not in self._entries:
            self._build(model, weights)
        self._entries[model].users += 1
        self._entries.move_to_end(model)
        self._trim()

    def remove(self, model: ModelHash) -> None:
        """One user less. Nothing happens if the student has none."""
        if model not in self:
            return
        self._entries[model].users -= 1
        self._entries.move_to_end(model)
        self._trim()

    def fresh(self, model: ModelHash) -> Student:
        """A student that the caller may train: it shares nothing. Raises ``UnknownModelError``."""
        return load(self._entry(model).file)

    def ready(self, model: ModelHash) -> Student:
        """A shared student to run, which must not be trained. Raises ``UnknownModelError``.

        Its batch norm is folded into the convolutions, which makes it faster.
        """
        return self._entry(model).ready

    def _entry(self, model: ModelHash) -> _Entry:
        if model not in self:
            raise UnknownModelError(f"student {model} is not here; add it first")
        return self._entries[model]

    def _build(self, model: ModelHash, weights: bytes) -> None:
        if model_hash(weights) != model:
            # the name is the hash: another file under it would be taken for this one everywhere
            raise BadStudentError(f"these weights hash to {model_hash(weights)}, not to {model}")
        built = load(weights)
        fused = built.model.eval().fuse(verbose=False)
        fused = fused.to(self._device, memory_format=memory_format(self._device))
        entry = _Entry(Student(fused, built.size), weights if self._files else b"")
        self._make_room(entry.size_bytes())
        self._entries[model] = entry
        self.bytes += entry.size_bytes()

    def _make_room(self, needed: int) -> None:
        """Forgets students without users while the host's memory does not suffice for one more."""
        while self._available_bytes() < needed + RESERVE_BYTES:
            if not self._forget_one():
                raise HostError(
                    f"this host's memory ends: {len(self._entries)} students in use take "
                    f"{self.bytes / 1e6:.0f} MB, and there is no room for one more; free some memory, or "
                    "emulate fewer cameras"
                )

    def _trim(self) -> None:
        while self.bytes > self._kept_bytes and self._forget_one():
            pass

    def _forget_one(self) -> bool:
        """Forgets the student that has been without users for longest; False if all have users."""
        for model, entry in self._entries.items():
            if not entry.users:
                self.bytes -= entry.size_bytes()
                del self._entries[model]
                return True
        return False
