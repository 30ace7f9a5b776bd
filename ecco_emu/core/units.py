"""Quantities as people write them: ``800kbit``, ``20s``, ``12m``, ``200KB``, ``2%``.

Internally everything is a float in the base unit named by the identifier: ``_bps``, ``_s``, ``_m``,
bytes, and fractions for percentages. A missing unit is an error, because 10 what?
"""

from __future__ import annotations

import math
import re

_NUMBER = re.compile(r"^\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-z%/]*)\s*$", re.ASCII)

_RATES = {"bit": 1.0, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
_TIMES = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
_LENGTHS = {"cm": 0.01, "m": 1.0, "km": 1000.0}
_SIZES = {"b": 1.0, "kb": 1e3, "mb": 1e6, "kib": 1024.0, "mib": 1024.0**2}


def _parse(text: object, units: dict[str, float], what: str, example: str) -> float:
    if isinstance(text, bool) or not isinstance(text, (str, int, float)):
        raise ValueError(f"{what} is written with a unit, for example {example}")
    match = _NUMBER.match(str(text))
    if match is None:
        raise ValueError(f"{text!r} is not a {what}; write it as {example}")
    number, unit = float(match[1]), match[2].lower()
    if not unit:
        raise ValueError(f"{text!r} has no unit; write the {what} as {example}")
    if unit not in units:
        known = ", ".join(units)
        raise ValueError(f"unknown unit {match[2]!r} in {text!r}; a {what} takes one of: {known}")
    value = number * units[unit]
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is too large")
    return value


def parse_rate(text: object) -> float:
    """Bits per second. ``parse_rate("6mbit") == 6e6``."""
    return _parse(text, _RATES, "rate", "6mbit or 800kbit")


def parse_time(text: object) -> float:
    """Seconds."""
    return _parse(text, _TIMES, "time", "20s or 200ms")


def parse_length(text: object) -> float:
    """Metres."""
    return _parse(text, _LENGTHS, "length", "12m")


def parse_size(text: object) -> float:
    """Bytes."""
    return _parse(text, _SIZES, "size", "200KB")


def parse_fraction(text: object) -> float:
    """A fraction from a percentage: ``parse_fraction("2%") == 0.02``."""
    return _parse(text, {"%": 0.01}, "percentage", "0.5%")


def format_rate(bps: float) -> str:
    """The shortest exact spelling: ``format_rate(800e3) == "800kbit"``."""
    for unit, factor in (("gbit", 1e9), ("mbit", 1e6), ("kbit", 1e3)):
        if abs(bps) >= factor:
            return f"{bps / factor:.12g}{unit}"
    return f"{bps:.12g}bit"


def format_time(seconds: float) -> str:
    if seconds == 0 or abs(seconds) >= 1:
        return f"{seconds:.12g}s"
    return f"{seconds * 1e3:.12g}ms"


def format_length(metres: float) -> str:
    return f"{metres:.12g}m"


def format_fraction(fraction: float) -> str:
    """As a percentage: ``format_fraction(0.005) == "0.5%"``."""
    return f"{fraction * 100:.12g}%"
