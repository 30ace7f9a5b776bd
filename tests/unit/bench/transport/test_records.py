"""Results on disk, and over repetitions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ecco_emu.bench.transport import matrix, plots, records, tables
from ecco_emu.bench.transport.experiment import Cell, Change, Experiment, Way
from ecco_emu.bench.transport.measures import Cost, Response, Result
from ecco_emu.bench.transport.records import Record, difference, missing
from ecco_emu.control.shares import AlphaMapping
from ecco_emu.study.records import Writer, load
from ecco_emu.study.tables import markdown

CELL = Cell((5, 3, 2), 1e6, 0.1, (0.02,) * 3)
RESULT = Result((0.5, 0.3, 0.2), (5e5, 3e5, 2e5), 0.01, 0.99, 0.001, 0.05, 0.09, 0.1, 12)


EARLIER = (
    '{"experiment":{"group":"shares","label":"a cell","cell":{"weights":[5,3,2],"rate_bps":1000000.0,'
    '"queue_s":0.1,"rtts_s":[0.02,0.02,0.02],"loss":0.0,"uplinks_bps":null,"mapping":"linear",'
    '"alpha_sum":3.0,"seed":0,"warmup_s":20.0,"measure_s":60.0},"change":null},"way":"simulated",'
    '"result":{"share":[0.5,0.3,0.2],"goodput_bps":[500000.0,300000.0,200000.0],"share_error":0.01,'
    '"utilisation":0.99,"loss":0.001,"queue_mean_s":0.05,"queue_p95_s":0.09,"queue_max_s":0.1,"cuts":12,'
    '"lag_p99_s":null},"response":null,"cost":null,"unsupported":null,"took_s":0.0}\n'
)
"""A line as the first version wrote it: the names of its fields are the format of files."""


def record(
    *, seed: int = 0, way: Way = "simulated", mapping: AlphaMapping = "linear", result: Result = RESULT
) -> Record:
    cell = replace(CELL, seed=seed, mapping=mapping)
    return Record(Experiment("shares", "a cell", cell), way, result=result)


def written(path: Path, *some: Record) -> Path:
    with Writer[Record](path) as writer:
        for one in some:
            writer.write(one)
    return path


CHANGED = Record(
    Experiment("convergence", "weights", CELL, Change(20.0, weights=(2, 3, 5))),
    "real",
    response=Response("weights", None, 0.0, (-1.0, 0.0, 1.0), ((1e6,) * 3, (2e6,) * 3, (3e6,) * 3)),
)
COST = Record(Experiment("cost", "a link", CELL), "real", cost=Cost("ecco-emu", 1e7, 0.5, 2e7, 0.2, 40.0))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    some = [record(), CHANGED, COST, record(way="real")]
    assert load(written(tmp_path / "new" / "results.jsonl", *some), Record) == some


def test_a_later_run_measures_only_what_is_missing(tmp_path: Path) -> None:
    path = written(tmp_path / "results.jsonl", record(seed=0), record(seed=1, way="real"))
    wanted = [record(seed=seed).experiment for seed in range(3)]
    assert missing(wanted, "simulated", load(path, Record)) == wanted[1:]
    assert missing(wanted, "real", load(path, Record)) == [wanted[0], wanted[2]]


def test_another_mapping_or_length_is_another_experiment() -> None:
    root = record(mapping="root").experiment
    longer = replace(root, cell=replace(CELL, measure_s=90.0))
    assert missing([root, longer], "simulated", [record()]) == [root, longer]


def test_what_was_unsupported_is_tried_again() -> None:
    failed = replace(record(), result=None, unsupported="no such mapping")
    assert missing([failed.experiment], "simulated", [failed]) == [failed.experiment]


def test_median_and_spread_over_repetitions() -> None:
    some = [record(seed=n, result=replace(RESULT, share_error=e)) for n, e in enumerate((0.02, 0.09, 0.04))]
    found = records.table(some, "shares", records.of_result("share_error"))
    spread = found["a cell"]["simulated", "linear"]
    assert (spread.median, spread.least, spread.most, spread.runs) == (0.04, 0.02, 0.09, 3)


def test_the_difference_between_simulated_and_real_is_of_cells_measured_both_ways() -> None:
    real = record(way="real", result=replace(RESULT, share=(0.5, 0.27, 0.23)))
    assert difference([record()], "linear") is None
    found = difference([record(), real, record(mapping="root")], "linear")
    assert found is not None
    assert (found.cells, found.median, found.most) == (1, pytest.approx(0.15), pytest.approx(0.15))


def test_tables_as_markdown() -> None:
    some = [record(), record(seed=1, result=replace(RESULT, share_error=0.2)), CHANGED, COST]
    text = markdown(tables.all_tables(some))
    assert "| a cell | 10.5 (1 to 20.0) |" in text
    assert "0 of 1 cells within 5 %" in text
    assert "| weights | real, linear | never | ≤ 10 | 0 |" in text
    assert "| a link | 10.0 | 50.0 | 20.0 | 40.0 | 20.0 | – | – |" in text


def test_what_is_unsupported_is_said() -> None:
    one = replace(COST, cost=None, unsupported="aioquic is not installed")
    assert "UNSUPPORTED here: a link: aioquic is not installed" in markdown(tables.all_tables([one]))


def test_a_file_of_an_earlier_version_is_continued(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(EARLIER)
    [found] = load(path, Record)
    assert missing([found.experiment], "simulated", [found]) == []
    assert found == record()


def test_nothing_measured_is_no_table_and_no_picture() -> None:
    assert tables.all_tables([]) == []
    assert plots.pictures([]) == {}


def test_the_map_of_shares_is_of_simulated_cells_alone() -> None:
    assert plots.pictures([replace(one, way="real") for one in whole_matrix()]) == {}


def test_pictures_are_well_formed() -> None:
    from xml.dom import minidom

    drawn = plots.pictures([*whole_matrix(), CHANGED])
    assert set(drawn) == {"transport-shares", "transport-convergence"}
    for picture in drawn.values():
        assert minidom.parseString(picture).documentElement.tagName == "svg"


def whole_matrix() -> list[Record]:
    """With ``linear``; shares hold except where 1 Mbit/s, the shortest queue and losses meet."""
    found = []
    for point in matrix.full():
        bad = point.rate_bps == 1e6 and point.queue_s == 0.02 and point.loss > 0
        result = replace(RESULT, share_error=0.3) if bad else RESULT
        experiment = Experiment("shares", point.label, point.cell("linear", 0))
        found.append(Record(experiment, "simulated", result))
    return found


def test_a_whole_matrix_becomes_one_tile_for_each_rate_and_queue() -> None:
    assert plots.pictures(whole_matrix())["transport-shares"].count("<rect") == 1 + 12 * 15


def test_of_a_whole_matrix_what_does_not_hold_is_listed_and_the_rest_counted_by_axis() -> None:
    by_axis, cells = tables.all_tables(whole_matrix())[1:]
    rows = {name: held for name, *held in by_axis.rows}
    assert rows["any"] == ["1032 of 1080", "1", "30.0"]
    assert rows["1 Mbit/s"] == ["168 of 216", "1", "30.0"]
    assert rows["3 Mbit/s"] == ["216 of 216", "1", "1"]
    assert rows["loss 0 %"] == ["360 of 360", "1", "1"]
    assert len(cells.rows) == 48
    assert all("1 Mbit/s, queue 20 ms" in label for label, _ in cells.rows)
    assert "1032 cells that were simulated only and hold with linear are not listed" in cells.notes
