"""The students that a camera holds: the one it runs, the one it wants, the one it is fetching.

Pure bookkeeping. A weight file crosses the network only if the camera lacks it, and one file at a time. If a
newer student is announced while one is on its way, the older one is finished and run, and then the newer one
is fetched. To drop the older one would waste its bytes, and with frequent students none would ever arrive.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from dataclasses import dataclass

from ecco_emu.core.errors import ProtocolError
from ecco_emu.core.ids import ModelHash, model_hash
from ecco_emu.core.zeros import without_last_zeros


@dataclass(frozen=True, slots=True)
class _File:
    """A weight file without the zeros at its end, of which a modelled student's nearly consists."""

    content: bytes
    size: int

    @classmethod
    def of(cls, weights: bytes) -> _File:
        return cls(without_last_zeros(weights), len(weights))

    def whole(self) -> bytes:
        return self.content.ljust(self.size, b"\0")


@functools.lru_cache(maxsize=1)
def _first(weights: bytes) -> tuple[ModelHash, _File]:
    """The student that all cameras of a run begin with: one file for all of them, looked at once."""
    return model_hash(weights), _File.of(weights)


class StudentCache:
    """Holds at most ``capacity`` weight files. The least recently run goes first, the running one never."""

    def __init__(self, running: bytes, *, capacity: int = 4) -> None:
        self.running, file = _first(running)
        self._files: OrderedDict[ModelHash, _File] = OrderedDict({self.running: file})
        self._capacity = max(2, capacity)  # the running student and the one that replaces it
        self._wanted: ModelHash | None = None
        self._superseded = False
        """The file on its way is not to be run: the server has announced a student since that is here."""
        self.fetching: ModelHash | None = None

    def weights(self, model: ModelHash) -> bytes | None:
        file = self._files.get(model)
        return None if file is None else file.whole()

    def announce(self, model: ModelHash) -> bool:
        """The server announces a student to run. True if it is to be run now: its file is here, and it does
        not run already."""
        here = model in self._files
        self._superseded = here
        self._wanted = None if here else model
        return here and model != self.running

    def next_fetch(self) -> ModelHash | None:
        """The student to ask the server for now; None if none is wanted or one is on its way."""
        if self._wanted is None or self.fetching is not None:
            return None
        self.fetching = self._wanted
        self._superseded = False
        return self.fetching

    def forget_fetch(self) -> None:
        """The connection is gone, and with it the file that was on its way. It is still wanted."""
        self.fetching = None

    def arrived(self, model: ModelHash, weights: bytes) -> bool:
        """Keeps a file that arrived. True if it is to be run.

        Raises ``ProtocolError`` for a file that was not asked for or does not have the hash it claims.
        """
        if model != self.fetching:
            raise ProtocolError(f"student {model} arrived unasked")
        self.fetching = None
        if model_hash(weights) != model:
            raise ProtocolError(f"student {model} arrived with other content than its hash says")
        if self._wanted == model:  # otherwise a newer one was announced, and is fetched next
            self._wanted = None
        self._files[model] = _File.of(weights)
        self._trim()
        return not self._superseded

    def run(self, model: ModelHash) -> None:
        """``model``, whose file is here, runs from now on."""
        self._files.move_to_end(model)
        self.running = model

    def _trim(self) -> None:
        for model in list(self._files):
            if len(self._files) <= self._capacity:
                return
            if model != self.running:
                del self._files[model]
