"""How true the lab is and what it costs: the figures of ``ecco-emu bench net``.

``traffic`` sends and receives, ``fidelity`` and ``cost`` measure, ``mininet`` does the same topology with
Mininet where that is installed. A measurement is reported as it came out, beside its target.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value; ``target`` is the most it should be, or None."""

    name: str
    value: float
    unit: str
    target: float | None = None

    @property
    def met(self) -> bool | None:
        return None if self.target is None else self.value <= self.target

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "met": self.met}
