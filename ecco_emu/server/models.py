"""Students by hash: files in the run directory, kept for as long as a job or a camera needs them."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Collection
from pathlib import Path

from ecco_emu.core.ids import ModelHash, model_hash
from ecco_emu.core.messages import Weights, encode
from ecco_emu.core.zeros import without_last_zeros

MESSAGES = 4
"""Students' messages that are kept, the newest ones."""


class ModelStore:
    """Weight files under ``directory``, one a student, named by hash. Small and synchronous: a file
    of five megabytes is written in a few milliseconds, once a retraining window and job.

    Zeros at a file's end take no room on the disk: those of a modelled student (``trainer.curve``) are
    nearly all of it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._pinned: set[ModelHash] = set()
        self._messages: OrderedDict[ModelHash, bytes] = OrderedDict()
        directory.mkdir(parents=True, exist_ok=True)

    def __contains__(self, model: ModelHash) -> bool:
        return self._path(model).exists()

    def put(self, weights: bytes, *, pinned: bool = False) -> ModelHash:
        """Keeps a student's file; a pinned one for good, as the one that a run begins with."""
        model = model_hash(weights)
        if pinned:
            self._pinned.add(model)
        path = self._path(model)
        if not path.exists():
            # a reader of a live run's folder, or of a dead one's, finds whole files only
            temporary = path.with_suffix(".part")
            with temporary.open("wb") as stream:
                stream.write(without_last_zeros(weights))
                stream.truncate(len(weights))
            os.replace(temporary, path)
        return model

    def get(self, model: ModelHash) -> bytes:
        """Raises ``KeyError`` for a student that was never put here."""
        try:
            return self._path(model).read_bytes()
        except FileNotFoundError:
            raise KeyError(model) from None

    def message(self, model: ModelHash) -> bytes:
        """The message that brings a camera this student, encoded. Cameras of a group fetch the same one at
        the same time, and their connections hold it until all of it has arrived: they share one.

        Raises ``KeyError`` for a student that was never put here."""
        if model not in self._messages:
            self._messages[model] = encode(Weights(model, self.get(model)))
            if len(self._messages) > MESSAGES:
                self._messages.popitem(last=False)
        self._messages.move_to_end(model)
        return self._messages[model]

    def keep_only(self, used: Collection[ModelHash]) -> None:
        """Deletes every other file that is not pinned: nobody will ask for it again."""
        for path in self._directory.glob("*.safetensors"):
            if path.stem not in used and path.stem not in self._pinned:
                path.unlink(missing_ok=True)

    def _path(self, model: ModelHash) -> Path:
        return self._directory / f"{model}.safetensors"
