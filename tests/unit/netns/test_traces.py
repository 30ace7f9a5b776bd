"""Trace files: reading them, refusing them by file and line, and the ones in profiles/links."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netns import SpecError, Trace, TracePoint
from netns.traces import parse_csv, parse_mahimahi, steps

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
    (tmp_path / "binary").write_bytes(b"\xff\x80")
    with pytest.raises(SpecError, match="binary: cannot be read"):
        Trace.load(tmp_path / "binary")


def test_the_bounds_of_seconds_are_bounds_of_intervals():
    # 20 packets in each 100 ms but for the silence of the second from 1 s; the file ends at 2.96 s.
    times = [t for t in range(5, 2965, 5) if not 1000 <= t < 2000]
    trace = parse_mahimahi("\n".join(map(str, times)), "x")
    in_frames = [trace.bits_until(s, loop=False) / (8 * 1514) for s in (1.0, 2.0, 2.96)]
    assert in_frames == pytest.approx([199, 199, len(times)])
    assert trace.duration_s == 2.96


def _steps(rates_bps, seconds=0.1, loop=True):
    points = tuple(TracePoint(index * seconds, rate) for index, rate in enumerate(rates_bps))
    return [
        (round(step.time_s, 6), step.point.rate_bps, step.gate)
        for step in steps(Trace(points, len(rates_bps) * seconds), 1514, loop=loop)
    ]


def test_nothing_passes_in_an_outage():
    assert _steps([6e6, 0.0, 4e6]) == [
        (0.0, 6e6, "open"),
        (0.1, 0.0, "held"),
        (0.2, 4e6, "opening"),
        (0.22, 4e6, "open"),
    ]


def test_a_slow_frame_does_not_close_the_fast_stretch_after_it():
    # A frame takes 100 ms at 121,120 bit/s: none may leave in the last 50 ms before 4 Mbit/s.
    assert _steps([121_120.0, 4e6]) == [
        (0.0, 121_120.0, "open"),
        (0.05, 121_120.0, "held"),
        (0.1, 4e6, "opening"),
        (0.12, 4e6, "open"),
    ]
    # Nor may one slip through when the thread is late for an outage.
    assert _steps([121_120.0, 0.0])[:3] == [
        (0.0, 121_120.0, "opening"),
        (0.02, 121_120.0, "open"),
        (0.05, 121_120.0, "held"),
    ]
    # Not before one that is hardly faster, and not where a frame is short.
    assert [gate for _, _, gate in _steps([4e6, 121_120.0, 150e3, 160e3], loop=False)] == ["open"] * 4
    assert [gate for _, _, gate in _steps([3e6, 30e6])] == ["open"] * 2


def test_a_stretch_too_short_for_a_frame_carries_none():
    assert _steps([20e3, 4e6])[0] == (0.0, 20e3, "held")


def test_a_trace_without_rates_leaves_the_gate_alone():
    points = (TracePoint(0.0, delay_s=0.01), TracePoint(0.1, delay_s=0.02))
    assert [step.point for step in steps(Trace(points, 0.2), 1514, loop=True)] == list(points)


BUSY_TRACES = st.lists(st.sampled_from([0.0, 50e3, 121_120.0, 1e6, 8e6]), min_size=2, max_size=20)


@given(BUSY_TRACES.filter(any))
def test_steps_are_in_order_and_end_no_later_than_the_trace(rates_bps):
    found = _steps(rates_bps)
    assert [at for at, _, _ in found] == sorted(at for at, _, _ in found)
    assert found[-1][0] < 0.1 * len(rates_bps)
    held = [(at, gate) for at, _, gate in found if gate == "held"]
    # Whatever is held is opened by the next point that carries anything.
    for at, _ in held:
        after = [(rate, gate) for later, rate, gate in found if later > at]
        assert not after or after[0][0] == 0 or after[0][1] in ("opening", "held")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    ("name", "text", "duration_s"),
    [("t.csv", "time_s,rate_bps\n0,1000000\n10,2000000\n", 10.0), ("t.mahimahi", "0\n10\n20\n", 0.02)],
)
def test_byte_order_marks_are_no_part_of_a_trace(tmp_path, name, text, duration_s, encoding):
    (tmp_path / name).write_bytes(f"\ufeff{text}".encode(encoding))
    assert Trace.load(tmp_path / name).duration_s == duration_s


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.mahimahi", "0\n" + "9" * 5000 + "\n", r"mahimahi:2: '9{39}…' ms is over a day"),
        ("t.mahimahi", "0\n" + "x" * 5000 + "\n", r"mahimahi:2: 'x{39}…' is not a whole number"),
        ("t.csv", "time_s,rate_bps\n0," + "1" * 140_000 + "\n1,1\n", r"csv:2: field larger than"),
        ("t.csv", "time_s,rate_bps\n0," + "1" * 5000 + "\n1,1\n", r"csv:2: rate_bps=inf is outside"),
        (
            "t.csv",
            "time_s,rate_bps\n0," + "x" * 5000 + "\n1,1\n",
            r"csv:2: rate_bps: 'x{39}…' is not a number",
        ),
        ("t.csv", "t" * 140_000 + "\n0,1\n", r"csv:1: field larger than"),
        ("t.csv", 'time_s,rate_bps\n0,"1\n1,1\n', r"csv:2: unexpected end of data"),
    ],
)
def test_a_line_of_any_length_is_refused_by_its_number(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(SpecError, match=message) as error:
        Trace.load(tmp_path / name)
    assert len(str(error.value)) < 400


def test_leading_zeros_count_for_nothing(tmp_path):
    (tmp_path / "t").write_text("0" * 6000 + "\n" + "0" * 5000 + "10\n")
    assert Trace.load(tmp_path / "t").duration_s == 0.01


def test_a_trace_has_each_setting_once():
    points = (TracePoint(0.0, 1e6), TracePoint(1.0, 2e6), TracePoint(2.0, 1e6), TracePoint(3.0, 2e6, 0.1))
    settings = [(point.rate_bps, point.delay_s) for point in Trace(points, 4.0).settings()]
    assert settings == [(1e6, None), (2e6, None), (2e6, 0.1)]


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
