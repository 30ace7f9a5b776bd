"""Random numbers by name, many at a time: a name has the same ones in whatever order names are asked for.

A generator for every frame would take longer than all the rest. So there is one table of normal numbers, and
a name is hashed to a place in it, from which as many as are needed are read.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from ecco_emu.core.random_streams import stream

Values = npt.NDArray[np.float64]

RUN = 2048
"""Most numbers that may be read from one place on."""
_LENGTH = 1 << 18
_WORD = (1 << 64) - 1


@functools.cache
def normals() -> Values:
    """The table: standard normal numbers."""
    return stream(0, "curve", "normals").standard_normal(_LENGTH + RUN)


@functools.lru_cache(maxsize=65_536)
def key(seed: int, *names: str | int) -> int:
    """The key that belongs to these names under this seed, of 64 bits."""
    return int(stream(seed, "curve", *names).integers(2**64, dtype=np.uint64))


def place(key: int, number: int) -> int:
    """The place in the table that belongs to a whole number under a key (SplitMix64, Steele et al. 2014)."""
    mixed = (key + number * 0x9E3779B97F4A7C15) & _WORD
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _WORD
    return (mixed ^ (mixed >> 31)) % _LENGTH
