"""The whole command, on three small simulated cells: files, going on from them, output."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from ecco_emu import cli
from ecco_emu.bench.transport import command
from ecco_emu.bench.transport.records import Record
from ecco_emu.bench.transport.run import Options
from ecco_emu.study.records import load

SMALL = Options(only=("fig11",), mappings=("linear",), seeds=1, jobs=2, warmup_s=0.5, measure_s=0.5)


def quiet() -> Console:
    return Console(file=io.StringIO(), width=200)


async def test_an_interrupted_run_goes_on_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    first = await command.run(SMALL, out_file=path, resume=None, console=quiet())
    assert len(first.records) == 3
    assert all(record.result is not None for record in first.records)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]) + lines[2][:30])

    again = await command.run(SMALL, out_file=None, resume=path, console=quiet())
    assert again.path == path
    assert sorted(load(path, Record), key=str) == sorted(again.records, key=str)
    kept = {record.took_s for record in first.records} & {record.took_s for record in again.records}
    assert len(kept) == 2  # the third was measured again

    console = quiet()
    again.show(console)
    assert "capped by their own uplinks" in console.file.getvalue()  # type: ignore[attr-defined]
    assert again.as_data()["results"]
    assert again.draw(tmp_path / "plots") == []  # no matrix and no change: nothing to draw


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--resume", "nothing.jsonl"], "cannot read results"), (["--alpha-sum", "x"], "positive number")],
)
def test_bad_arguments_end_with_code_2(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["ecco-emu", "bench", "transport", "--only", "fig11", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert message in capsys.readouterr().err
