"""Quantities as people write them: ``800kbit``, ``20s``, ``12m``, ``2%``.

Inside the project every quantity is a float in a base unit, which the end of its name tells: ``_bps``,
``_s``, ``_m``. Percentages become fractions. A number without a unit is an error, because a guess could be
wrong by a factor of a thousand.
"""

from __future__ import annotations

import math
import re

_NUMBER = re.compile(r"^\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-z%/]*)\s*$", re.ASCII)

_RATES = {"bit": 1.0, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
_TIMES = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
_LENGTHS = {"cm": 0.01, "m": 1.0, "km": 1000.0}
_FRACTIONS = {"%": 0.01}


class BaseUnit(float):
    """A number that is in its base unit already (bit/s, s, m, a fraction), given where text is expected.

    For values that Python code gives: they need not become text to be read again. YAML cannot make one.
    """


def _parse(text: object, units: dict[str, float], what: str, example: str) -> float:
    if isinstance(text, BaseUnit) and math.isfinite(text):
        return float(text)
    # YAML reads ``yes`` as a bool, and Python counts a bool as an int.
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
    # "1e400gbit" matches the pattern and overflows to infinity only here.
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is too large")
    return value


def parse_rate(text: object) -> float:
    """Bits per second: ``parse_rate("6mbit") == 6e6``. As all below, raises ``ValueError`` on other text."""
    return _parse(text, _RATES, "rate", "6mbit or 800kbit")


def parse_time(text: object) -> float:
    """Seconds."""
    return _parse(text, _TIMES, "time", "20s or 200ms")


def parse_length(text: object) -> float:
    """Metres."""
    return _parse(text, _LENGTHS, "length", "12m")


def parse_fraction(text: object) -> float:
    """A fraction from a percentage: ``parse_fraction("2%") == 0.02``."""
    return _parse(text, _FRACTIONS, "percentage", "0.5%")


def _format(value: float, names: tuple[str, ...], units: dict[str, float]) -> str:
    """The value in the largest of ``names`` (ordered largest first) in which it reads back exactly.

    If it does so in none of them, it is written with all its digits in the base unit.
    """
    fitting = [name for name in names if abs(value) >= units[name]] or list(names[-1:])
    for name in fitting:
        number = f"{value / units[name]:.12g}"
        if float(number) * units[name] == value:
            return number + name
    # Twelve digits were too few. ``repr`` has as many as a float needs to read back exactly.
    base = next((name for name, factor in units.items() if factor == 1.0), None)
    return f"{value!r}{base}" if base else f"{value / units[names[-1]]!r}{names[-1]}"


def format_rate(bps: float) -> str:
    """The shortest exact spelling: ``format_rate(800e3) == "800kbit"``."""
    return _format(bps, ("gbit", "mbit", "kbit", "bit"), _RATES)


def format_time(seconds: float) -> str:
    """In seconds, or below one second in ms or us: ``format_time(0.2) == "200ms"``."""
    return "0s" if seconds == 0 else _format(seconds, ("s", "ms", "us"), _TIMES)


def format_length(metres: float) -> str:
    """In metres: ``format_length(-4.0) == "-4m"``."""
    return "0m" if metres == 0 else _format(metres, ("m", "cm"), _LENGTHS)


def format_fraction(fraction: float) -> str:
    """As a percentage: ``format_fraction(0.005) == "0.5%"``."""
    return _format(fraction, ("%",), _FRACTIONS)
