import os
import stat
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from ecco_emu.core.errors import HostError, ScenarioError
from ecco_emu.record.rundir import RunDirectory, write_atomically, write_where_told

NOON = datetime(2026, 11, 23, 12, 0, 5, tzinfo=UTC)


def test_a_directory_is_named_by_utc_and_scenario(tmp_path: Path) -> None:
    east = NOON.astimezone(timezone(timedelta(hours=3)))
    run = RunDirectory.create(tmp_path / "runs", "quickstart", east)
    assert run.path == tmp_path / "runs" / "20261123T120005Z-quickstart"
    assert list(run.path.iterdir()) == []


def test_runs_of_one_second_have_directories_of_their_own(tmp_path: Path) -> None:
    made = [RunDirectory.create(tmp_path, "x", NOON).path.name for _ in range(3)]
    assert made == [f"20261123T120005Z-x{number}" for number in ("", "-2", "-3")]


@pytest.mark.parametrize("name", ["", "../up", "a/b", "-x", "x" * 65, "a\n"])
def test_a_name_that_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ScenarioError, match="cannot name a run"):
        RunDirectory.create(tmp_path, name, NOON)


def test_a_base_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(ScenarioError, match="runs exists and is no folder"):
        RunDirectory.create(tmp_path / "runs", "x", NOON)


def test_where_nothing_can_be_made_the_host_is_blamed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError, match="--out"):
        RunDirectory.create(tmp_path / "file" / "runs", "x", NOON)


def test_folders_appear_when_asked_for(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, "x", NOON)
    assert run.models.is_dir()
    assert run.qlog == run.qlog
    assert sorted(path.name for path in run.path.iterdir()) == ["models", "qlog"]


def test_files_are_replaced_whole_and_readable_by_all(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, "x", NOON)
    run.write_summary({"status": "ok"})
    run.write_summary({"status": "failed", "mean_map": 0.5})
    assert run.summary() == {"status": "failed", "mean_map": 0.5}
    assert [path.name for path in run.path.iterdir()] == ["summary.json"]
    assert stat.S_IMODE(run.summary_path.stat().st_mode) & 0o400


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    target = tmp_path / "taken"
    target.mkdir()
    with pytest.raises(HostError, match="cannot write"):
        write_atomically(target, b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_path_that_a_person_gave_is_written_through_links(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "new").symlink_to("made")
    for name in ("link", "new"):
        write_where_told(tmp_path / name, b"new")
        assert (tmp_path / name).is_symlink()
    assert [(tmp_path / name).read_bytes() for name in ("target", "made")] == [b"new", b"new"]


def test_a_pipe_or_device_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_where_told(pipe, b"page")
        assert os.read(reader, 10) == b"page"
    finally:
        os.close(reader)
    assert pipe.is_fifo()
    (tmp_path / "null").symlink_to(os.devnull)
    write_where_told(tmp_path / "null", b"page")
    assert Path(os.devnull).is_char_device()


def test_a_path_that_cannot_be_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    for path, said in ((tmp_path, "a folder"), (tmp_path / "no" / "x", "no folder")):
        with pytest.raises(ScenarioError, match=said):
            write_where_told(path, b"")
    with pytest.raises(HostError, match="cannot write"):
        write_where_told(tmp_path / "a", b"")
    with pytest.raises(HostError, match="No space left"):
        write_where_told(Path("/dev/full"), b"page")


def test_opening_needs_a_run(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="does not exist"):
        RunDirectory.open(tmp_path / "none")
    with pytest.raises(ScenarioError, match="not a run directory"):
        RunDirectory.open(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    run = RunDirectory.open(tmp_path)
    assert (run.manifest(), run.summary(), list(run.events())) == ({}, {}, [])


def test_a_broken_manifest_is_named(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ScenarioError, match=r"manifest\.json"):
        RunDirectory.open(tmp_path).manifest()
