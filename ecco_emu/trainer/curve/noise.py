"""Random numbers by name, many at a time: whoever asks, and in whatever order, gets the same ones.

A generator for every object of every frame would take longer than all the rest. So a name is a number of 64
bits, and its random number is a hash of it (SplitMix64's finaliser, Steele et al. 2014).
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from ecco_emu.core.random_streams import stream

Keys = npt.NDArray[np.uint64]
Values = npt.NDArray[np.float64]

_ODD = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S32 = (np.uint64(bits) for bits in (30, 27, 31, 32))
_LOW = np.uint64(0xFFFFFFFF)


@functools.lru_cache(maxsize=65_536)
def key(seed: int, *names: str | int) -> np.uint64:
    """The key that belongs to these names under this seed."""
    drawn: np.uint64 = stream(seed, "curve", *names).integers(2**64, dtype=np.uint64)
    return drawn


def keys(base: Keys, *numbers: npt.NDArray[np.integer]) -> Keys:
    """Keys of whole numbers under other keys; the arrays are broadcast."""
    for number in numbers:
        base = _mixed(base + (number.astype(np.uint64) + np.uint64(1)) * _ODD)
    return base


def uniform(names: Keys) -> Values:
    """Uniform between 0 and 1, both left out."""
    high: Values = (names >> _S32).astype(np.float64)
    return (high + 0.5) * 2.0**-32


def normal(names: Keys) -> Values:
    """Standard normal (Box and Muller), one from each key."""
    low: Values = (names & _LOW).astype(np.float64)
    return np.sqrt(-2.0 * np.log(uniform(names))) * np.cos((2.0 * np.pi * 2.0**-32) * low)


def _mixed(names: Keys) -> Keys:
    names = (names ^ (names >> _S30)) * _FIRST
    names = (names ^ (names >> _S27)) * _SECOND
    return names ^ (names >> _S31)
