"""Trace files: reading them, refusing them by file and line, and the ones in profiles/links."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netns import SpecError, Trace, TracePoint
from netns.traces import outage_rate_bps, parse_csv, parse_mahimahi

LINKS = Path(__file__).parents[3] / "profiles" / "links"


def test_mahimahi_is_averaged_over_intervals():
    trace = parse_mahimahi("0\n50\n50\n\n150\n200\n", "x")
    frame_bits = 1514 * 8
    assert trace == Trace((TracePoint(0.0, 30 * frame_bits), TracePoint(0.1, 20 * frame_bits)), 0.2)
    assert trace.mean_rate_bps == pytest.approx(5 * frame_bits / 0.2)


def test_a_mahimahi_outage_is_one_point():
    trace = parse_mahimahi("100\n1000\n", "x")
    assert [(point.time_s, point.rate_bps == 0) for point in trace.points] == [
        (0.0, True),
        (pytest.approx(0.1), False),
        (pytest.approx(0.2), True),
        (pytest.approx(0.9), False),
    ]


@given(st.lists(st.integers(0, 5000), min_size=1).map(sorted).filter(lambda times: times[-1] > 0))
def test_no_opportunity_is_lost(times):
    trace = parse_mahimahi("\n".join(map(str, times)), "x")
    assert trace.mean_rate_bps * trace.duration_s == pytest.approx(len(times) * 1514 * 8)
    assert trace.duration_s == times[-1] / 1000
    assert [point.time_s for point in trace.points] == sorted({point.time_s for point in trace.points})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "t.up: there is no time in it"),
        ("0\n0\n", "t.up:2: a trace must last"),
        ("5\n4\n", "t.up:2: 4 ms comes after 5 ms"),
        ("5\n\nsix\n", "t.up:3: 'six' is not a whole number"),
        ("-1\n", "t.up:1: '-1' is not a whole number"),
        ("1.5\n", "t.up:1: '1.5' is not a whole number"),
        ("²\n", "t.up:1: '²' is not a whole number"),
        ("90000000\n", "t.up:1: 90000000 ms is over a day"),
    ],
)
def test_bad_mahimahi_is_refused_by_file_and_line(text, message):
    with pytest.raises(SpecError, match=message):
        parse_mahimahi(text, "t.up")


def test_csv():
    trace = parse_csv("time_s,rate_bps,loss\n0,1e6,0.1\n\n2.5,0,0\n4,1,1\n".replace("4,1,1", "4,8000,1"), "x")
    assert trace == Trace((TracePoint(0.0, 1e6, None, 0.1), TracePoint(2.5, 0.0, None, 0.0)), 4.0)
    assert trace.mean_rate_bps == pytest.approx(625e3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "t.csv:1: the header"),
        ("time_s\n0\n1\n", "t.csv:1: the header"),
        ("rate_bps,time_s\n", "t.csv:1: the header"),
        ("time_s,speed\n", "t.csv:1: the header must be time_s and some of rate_bps, delay_s, loss"),
        ("time_s,loss,loss\n", "t.csv:1: a column is there twice"),
        ("time_s,loss\n0,0\n", "t.csv:2: a trace needs two rows"),
        ("time_s,loss\n1,0\n2,0\n", "t.csv:2: the first row must be at time 0"),
        ("time_s,loss\n0,0\n0,0\n", "t.csv:3: time 0 s does not come after"),
        ("time_s,loss\n0,0\n1\n", "t.csv:3: 1 values under 2 columns"),
        ("time_s,loss\n0,much\n", "t.csv:2: loss: 'much' is not a number"),
        ("time_s,loss\n0,1.5\n", "t.csv:2: loss=1.5 is outside 0 to 1"),
        ("time_s,rate_bps\n0,nan\n", "t.csv:2: rate_bps=nan is outside"),
        ("time_s,rate_bps\n0,100\n", "t.csv:2: rate_bps=100 is outside 8000 to"),
    ],
)
def test_bad_csv_is_refused_by_file_and_line(text, message):
    with pytest.raises(SpecError, match=message):
        parse_csv(text, "t.csv")


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(SpecError, match=r"nothing\.csv: cannot be read"):
        Trace.load(tmp_path / "nothing.csv")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(SpecError, match="binary: cannot be read"):
        Trace.load(tmp_path / "binary")


@given(st.floats(0.001, 3600))
def test_an_outage_owes_nothing_at_its_end(length_s):
    rate_bps = outage_rate_bps(length_s, 1500)
    assert rate_bps >= 8000 * (1 - 1e-9)
    frames = rate_bps * length_s / (1514 * 8)
    assert frames == pytest.approx(round(frames))


@pytest.mark.parametrize(
    ("name", "duration_s", "mean_bps"),
    [("lte.mahimahi", 60, 3e6), ("wifi.csv", 60, 10e6), ("commuter.csv", 300, 4e6)],
)
def test_what_ships_is_what_the_script_makes(name, duration_s, mean_bps):
    trace = Trace.load(LINKS / name)
    assert trace.duration_s == duration_s
    assert mean_bps / 2 < trace.mean_rate_bps < mean_bps * 2
    made = runpy.run_path(str(LINKS / "generate.py"))[name.partition(".")[0]]()
    assert made == (LINKS / name).read_text()


STEPS = Trace((TracePoint(0.0, 1e6), TracePoint(2.0, 3e6, 0.01)), 4.0)


def test_what_a_trace_has_carried():
    assert [STEPS.bits_until(at) for at in (0.0, 1.0, 2.0, 3.0, 4.0)] == [0.0, 1e6, 2e6, 5e6, 8e6]
    assert STEPS.bits_until(9.0) == 2 * 8e6 + 1e6
    assert STEPS.bits_until(9.0, loop=False) == 8e6 + 5 * 3e6
    assert STEPS.mean_rate_bps == 2e6


def test_a_stretched_trace_carries_the_same_in_more_time():
    slow = STEPS.stretched(2.0)
    assert slow.points == (TracePoint(0.0, 5e5), TracePoint(4.0, 1.5e6, 0.02))
    assert slow.duration_s == 8.0
    for at in (0.5, 2.5, 4.0, 6.5):
        assert slow.bits_until(2 * at) == STEPS.bits_until(at)


def test_a_trace_says_whether_it_changes_more_than_the_rate():
    assert STEPS.impairs
    assert not Trace((TracePoint(0.0, 1e6),), 1.0).impairs
