"""Records in a file: written at once, read again, continued after a crash."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from ecco_emu.core.errors import ScenarioError
from ecco_emu.study.records import Writer, load, missing


@dataclass(frozen=True)
class Outcome:
    place: str
    value: float | None = None


class Counted(msgspec.Struct, frozen=True):
    count: int


def written(path: Path, *some: Outcome) -> Path:
    with Writer[Outcome](path) as writer:
        for one in some:
            writer.write(one)
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    some = [Outcome("here", 1.5), Outcome("there")]
    assert load(written(tmp_path / "new" / "results.jsonl", *some), Outcome) == some


def test_a_record_is_on_disk_before_the_file_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with Writer[Outcome](path) as writer:
        writer.write(Outcome("here"))
        assert load(path, Outcome) == [Outcome("here")]


def test_any_type_that_msgspec_knows_can_be_a_record(tmp_path: Path) -> None:
    with Writer[Counted](tmp_path / "results.jsonl") as writer:
        writer.write(Counted(3))
    assert load(tmp_path / "results.jsonl", Counted) == [Counted(3)]


def test_a_file_of_an_older_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text('{"place": "here", "gone": [1, 2]}\n')
    assert load(path, Outcome) == [Outcome("here")]


def test_a_line_cut_off_by_a_crash_is_forgotten_and_the_file_goes_on(tmp_path: Path) -> None:
    path = written(tmp_path / "results.jsonl", Outcome("a"), Outcome("b"))
    path.write_bytes(path.read_bytes()[:-5])
    assert load(path, Outcome) == [Outcome("a")]
    written(path, Outcome("c"))
    assert load(path, Outcome) == [Outcome("a"), Outcome("c")]


@pytest.mark.parametrize("content", ["{}\n", "not json\n", '{"place": 3}\nmore\n'])
def test_other_files_are_refused_by_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(content)
    with pytest.raises(ScenarioError, match=r"results\.jsonl:1: not a result"):
        load(path, Outcome)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="cannot read"):
        load(tmp_path / "nothing.jsonl", Outcome)


def test_missing_is_what_no_record_settles_in_the_order_wanted() -> None:
    known = [Outcome("b", 1.0), Outcome("c")]
    settles = {"b": "b", "c": None}  # c failed
    assert missing(["c", "b", "a"], known, lambda one: settles[one.place]) == ["c", "a"]
