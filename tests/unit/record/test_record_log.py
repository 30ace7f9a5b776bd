import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecco_emu.core import events as ev
from ecco_emu.core.errors import ScenarioError
from ecco_emu.record.log import EventLog, decode_line, encode_line, read
from tests.unit.record.synthetic import story

RIGHT = ev.Condition(t=1.5, camera="cam1", district="hill", weather="fog")


def ticking(*walls: float) -> Callable[[], float]:
    return iter(walls).__next__


def written(path: Path, *lines: bytes) -> Path:
    path.write_bytes(b"".join(lines))
    return path


def test_a_line_has_time_wall_and_kind_before_the_rest(tmp_path: Path) -> None:
    with EventLog(tmp_path / "events.jsonl", ticking(100.0, 106.25)) as log:
        log.append(RIGHT)
        line = log.path.read_text()
    assert line == (
        '{"t":1.5,"wall":6.25,"kind":"condition","camera":"cam1","district":"hill","weather":"fog"}\n'
    )


def test_what_was_written_is_read_back_while_the_log_is_open(tmp_path: Path) -> None:
    events = story()
    with EventLog(tmp_path / "events.jsonl", lambda: 3.0) as log:
        for event in events:
            log.append(event)
        assert [event for event, _ in read(log.path)] == events


@given(cut=st.integers(min_value=0, max_value=200))
def test_a_torn_last_line_costs_only_itself(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    whole = encode_line(RIGHT, 1.0)
    torn = whole[: min(cut, len(whole) - 2)]
    path = written(tmp_path_factory.mktemp("log") / "e.jsonl", whole, whole, torn)
    assert list(read(path)) == [(RIGHT, 1.0), (RIGHT, 1.0)]


@pytest.mark.parametrize("tail", [b"\0" * 4096, b'{"t":1.' + b"\0" * 100 + b"\n", b"\0\n\0\n", b"\0\n{"])
def test_blocks_that_a_power_cut_left_cost_only_themselves(tmp_path: Path, tail: bytes) -> None:
    whole = encode_line(RIGHT, 1.0)
    path = written(tmp_path / "e.jsonl", whole, whole, tail)
    assert list(read(path)) == [(RIGHT, 1.0), (RIGHT, 1.0)]


def test_zero_bytes_before_more_events_are_named(tmp_path: Path) -> None:
    whole = encode_line(RIGHT, 1.0)
    with pytest.raises(ScenarioError, match=r"e\.jsonl:2: not an event"):
        list(read(written(tmp_path / "e.jsonl", whole, b"\0" * 9 + b"\n", whole)))


def test_garbage_in_the_middle_is_named_by_file_and_line(tmp_path: Path) -> None:
    whole = encode_line(RIGHT, 1.0)
    path = written(tmp_path / "e.jsonl", whole, b"\x00\xff garbage\n", whole)
    with pytest.raises(ScenarioError, match=r"e\.jsonl:2: not an event"):
        list(read(path))


@pytest.mark.parametrize(
    "line",
    [
        b"[]\n",
        b'{"t":1}\n',
        b'{"t":1,"kind":"condition","camera":"c"}\n',
        b'{"t":"x","wall":0,"kind":"run_ended","status":"ok"}\n',
    ],
)
def test_a_line_of_the_wrong_shape_is_refused(tmp_path: Path, line: bytes) -> None:
    with pytest.raises(ScenarioError, match=":1: not an event"):
        list(read(written(tmp_path / "e.jsonl", line)))


def test_kinds_and_fields_of_later_versions_are_passed_over(tmp_path: Path) -> None:
    later = b'{"t":2.0,"wall":1.0,"kind":"teleported","camera":"cam1"}\n'
    extended = json.dumps(json.loads(encode_line(RIGHT, 1.0)) | {"mood": "gloomy"}).encode() + b"\n"
    assert list(read(written(tmp_path / "e.jsonl", later, extended))) == [(RIGHT, 1.0)]


def test_numbers_that_are_none_come_back_as_nan() -> None:
    event = ev.MicroWindow(
        t=2.0, window=0, index=0, start=0.0, job="a", losses=[1.0, math.nan], train_wall_s=math.inf
    )
    back, _ = decode_line(encode_line(event, 0.0))
    assert isinstance(back, ev.MicroWindow)
    assert back.losses[0] == 1.0
    assert math.isnan(back.losses[1])
    assert math.isnan(back.train_wall_s)
    assert back.map_before is None


def test_a_log_never_continues_another_runs(tmp_path: Path) -> None:
    path = written(tmp_path / "e.jsonl", b"")
    with pytest.raises(ScenarioError, match="one run"):
        EventLog(path, lambda: 0.0)


def test_a_missing_log_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="cannot read"):
        list(read(tmp_path / "none.jsonl"))


def test_logs_of_earlier_releases_are_read(tmp_path: Path) -> None:
    """Lines as version 0.1.0 wrote them, without the fields that came since."""
    path = tmp_path / "events.jsonl"
    path.write_text(
        '{"t":0.0,"wall":0.1,"kind":"run_started","name":"x","policy":"ecco","engine":"relay","dilation":2.0,'
        '"seed":1,"trainer":"yolo","gpus":1,"window_s":8.0,"micro_s":2.0,"windows":2,"cameras":["a"],'
        '"bottleneck_bps":null}\n'
        '{"t":3.0,"wall":6.0,"kind":"drift","camera":"a","detector":"adwin","statistic":0.3}\n'
        '{"t":6.0,"wall":9.0,"kind":"micro_window","window":0,"index":2,"start":4.0,"job":"job1","steps":2,'
        '"images":32,"losses":[1.0],"map_before":null,"map_after":0.2,"train_wall_s":3.0,"late":false}\n'
        '{"t":8.0,"wall":16.0,"kind":"job_left","job":"job1","camera":"a","drop":0.2}\n'
    )
    begun, drift, micro, left = (event for event, _ in read(path))
    assert isinstance(begun, ev.RunStarted)
    assert (begun.response_threshold, begun.response_measurements) == (0.4, 2)
    assert isinstance(drift, ev.DriftNoticed)
    assert drift.since is None
    assert isinstance(micro, ev.MicroWindow)
    assert (micro.budget, micro.train_wall_s) == (0.0, 3.0)
    assert isinstance(left, ev.JobLeft)
    assert (left.reason, left.drop) == ("drop", 0.2)
