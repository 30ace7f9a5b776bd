from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecco_emu.core import units


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (units.parse_rate, "6mbit", 6e6),
        (units.parse_rate, " 800 kbit ", 800e3),
        (units.parse_rate, "1.5Gbit", 1.5e9),
        (units.parse_rate, "9600bit", 9600.0),
        (units.parse_time, "20s", 20.0),
        (units.parse_time, "200ms", 0.2),
        (units.parse_time, "50us", 50e-6),
        (units.parse_time, "2min", 120.0),
        (units.parse_time, "1h", 3600.0),
        (units.parse_length, "-4m", -4.0),
        (units.parse_length, "1.2km", 1200.0),
        (units.parse_length, "50cm", 0.5),
        (units.parse_fraction, "2%", 0.02),
        (units.parse_fraction, "0%", 0.0),
    ],
)
def test_quantities_are_read(parse, text, value):
    assert parse(text) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("value", [10, 10.5, "10", " 10 "])
def test_a_missing_unit_is_named(value):
    with pytest.raises(ValueError, match="has no unit; write the time as 20s"):
        units.parse_time(value)


@pytest.mark.parametrize("value", [True, None, [], {}])
def test_what_is_no_text_is_refused(value):
    with pytest.raises(ValueError, match="written with a unit"):
        units.parse_rate(value)


@pytest.mark.parametrize("value", ["", "s", "1 0s", "1..0s", "nan s", "infs", "1e400s", "5 s s", "٣s"])
def test_nonsense_is_refused(value):
    with pytest.raises(ValueError, match=r"\S"):
        units.parse_time(value)


def test_a_unit_of_another_quantity_is_refused():
    with pytest.raises(ValueError, match=r"unknown unit 'mbit'.*us, ms, s, min, h"):
        units.parse_time("6mbit")


def test_formats_are_short():
    assert units.format_rate(800e3) == "800kbit"
    assert units.format_rate(6e6) == "6mbit"
    assert units.format_rate(0) == "0bit"
    assert units.format_time(0.2) == "200ms"
    assert units.format_time(0) == "0s"
    assert units.format_time(units.parse_time("333us")) == "333us"
    assert units.format_time(90.0) == "90s"
    assert units.format_length(0.25) == "25cm"
    assert units.format_length(-4.0) == "-4m"
    assert units.format_fraction(0.005) == "0.5%"


@pytest.mark.parametrize(
    ("form", "parse"),
    [
        (units.format_rate, units.parse_rate),
        (units.format_time, units.parse_time),
        (units.format_length, units.parse_length),
        (units.format_fraction, units.parse_fraction),
    ],
)
@given(value=st.floats(0, 1e11, allow_nan=False))
def test_what_is_written_reads_back(form, parse, value):
    read = parse(form(value))
    assert math.isclose(read, value, rel_tol=1e-15, abs_tol=1e-300)
    assert parse is units.parse_fraction or read == value


@given(st.text(max_size=20))
def test_any_text_is_read_or_refused_with_a_value_error(text):
    with contextlib.suppress(ValueError):
        assert math.isfinite(units.parse_rate(text))
