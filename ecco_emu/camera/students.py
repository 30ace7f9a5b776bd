"""The students a camera holds: which it runs, which it wants, which it is fetching.

Pure bookkeeping. A weight file crosses the network only when the camera lacks it, one at a time; when
a newer student was announced meanwhile, the older one is run as soon as it is whole and the newer
one fetched next.
"""

from __future__ import annotations

from collections import OrderedDict

from ecco_emu.core.errors import ProtocolError
from ecco_emu.core.ids import ModelHash, model_hash


class StudentCache:
    """Holds at most ``capacity`` weight files, least recently used first out; never the running one."""

    def __init__(self, running: bytes, *, capacity: int = 4) -> None:
        self.running = model_hash(running)
        self._files: OrderedDict[ModelHash, bytes] = OrderedDict({self.running: running})
        self._capacity = max(2, capacity)
        self._wanted: ModelHash | None = None
        self.fetching: ModelHash | None = None

    def weights(self, model: ModelHash) -> bytes | None:
        return self._files.get(model)

    def announce(self, model: ModelHash) -> bool:
        """A student to run. True if it is here already and can be run now."""
        if model in self._files:
            self._wanted = None
            return True
        self._wanted = model
        return False

    def next_fetch(self) -> ModelHash | None:
        """The student to ask for now, if one is wanted and nothing is on its way."""
        if self._wanted is None or self.fetching is not None:
            return None
        self.fetching = self._wanted
        return self.fetching

    def forget_fetch(self) -> None:
        """The connection is gone, and with it whatever was on its way."""
        self.fetching = None

    def arrived(self, model: ModelHash, weights: bytes) -> None:
        """Raises ``ProtocolError`` for a file that was not asked for or is not what it claims."""
        if model != self.fetching:
            raise ProtocolError(f"student {model} arrived unasked")
        self.fetching = None
        if model_hash(weights) != model:
            raise ProtocolError(f"student {model} arrived with other content than its hash says")
        if self._wanted == model:
            self._wanted = None
        self._files[model] = weights
        self._trim()

    def run(self, model: ModelHash) -> None:
        self._files.move_to_end(model)
        self.running = model

    def _trim(self) -> None:
        for model in list(self._files):
            if len(self._files) <= self._capacity:
                return
            if model != self.running:
                del self._files[model]
