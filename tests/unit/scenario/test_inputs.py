"""Files as other systems and tools write them: encodings, merges, numbers of any length, odd characters."""

from __future__ import annotations

import codecs

import pytest

from ecco_emu.scenario import loading, profiles
from ecco_emu.scenario.document import parse
from ecco_emu.scenario.problems import Place, Problem, path_text

from .conftest import SMALL, lines


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_byte_order_mark_is_no_part_of_a_scenario(tmp_path, encoding, newline):
    path = tmp_path / "x.yaml"
    path.write_bytes(f"\ufeff{SMALL}".replace("\n", newline).encode(encoding))
    assert loading.load(path).scenario.name == "small"
    path.write_bytes(f"\ufeff{SMALL}sed: 1\n".replace("\n", newline).encode(encoding))
    assert lines(path) == ["12:1: sed: unknown key 'sed'; did you mean 'seed'?"]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (SMALL.encode() + "# caf\xe9".encode("latin-1"), "12:6: is not UTF-8 text here"),
        (codecs.BOM_UTF8 + b"name: \xff", "1:7: is not UTF-8 text here"),
        ("é: ".encode() + b"\xff", "1:4: is not UTF-8 text here"),  # characters count, not bytes
        (codecs.BOM_UTF16_LE + "a: 1\nb: ".encode("utf-16-le") + b"\x00\xd8", "2:4: is not UTF-16 text here"),
        ("name: x".encode("utf-16-le"), "1:2: the character '\\x00' is not allowed in YAML"),
        (codecs.BOM_UTF16_LE + b"a", "1:1: is not UTF-16 text here"),
    ],
)
def test_text_that_cannot_be_decoded_is_named_by_its_place(tmp_path, raw, expected):
    path = tmp_path / "x.yaml"
    path.write_bytes(raw)
    assert lines(path) == [expected]


def test_a_sampling_table_may_have_a_mark_too(tmp_path):
    path = tmp_path / "t.yaml"
    path.write_bytes(f"\ufeff{profiles.table_path('static-small').read_text()}".encode("utf-16-le"))
    assert profiles.sampling_table(str(path)) == profiles.sampling_table("static-small")


def data(text):
    document = parse(text, "x")
    assert document.problems == []
    return document.data


def test_merges_chain():
    text = "a: &a {x: 1, y: 1}\nb: &b {<<: *a, y: 2}\nc: &c {<<: *b, z: 3}\nd: {<<: *c, x: 4}\n"
    assert data(text)["c"] == {"x": 1, "y": 2, "z": 3}
    assert data(text)["d"] == {"x": 4, "y": 2, "z": 3}


def test_of_several_merged_mappings_the_first_wins_with_all_that_it_merges():
    text = "a: &a {x: 1}\nb: &b {<<: *a, y: 1}\nc: &c {x: 2, y: 2, z: 2}\nd: {<<: [*b, *c]}\n"
    assert data(text)["d"] == {"x": 1, "y": 1, "z": 2}


def test_a_scenario_with_chained_merges_loads(write):
    text = SMALL.replace("[10m, 10m]}}\n", "[10m, 10m]}, uplink: &slow {rate: 1mbit}}\n", 1)
    text += """\
  - {id: cam3, at: [9m, 2m], source: {look_at: [10m, 10m]}, uplink: &far {<<: *slow, delay: 40ms}}
  - {id: cam4, at: [13m, 2m], source: {look_at: [10m, 10m]}, uplink: {<<: *far, loss: 1%}}
"""
    scenario = loading.load(write(text)).scenario
    last = scenario.uplink_of(scenario.cameras[3])
    assert (last.rate, last.delay, last.loss) == (1e6, 0.04, 0.01)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &a {<<: *a, x: 1}", "merges more than 40 mappings into each other"),
        ("a: {<<: 3}", "'<<' merges mappings only"),
        ("a: {<<: [3, {}]}", "'<<' merges mappings only"),
        # 2 ** 30 merges in 30 lines
        (
            "m0: &m0 {x: 1}\n"
            + "".join(f"m{n}: &m{n} {{<<: [*m{n - 1}, *m{n - 1}]}}\n" for n in range(1, 31)),
            "has more than 100000 values, aliases expanded",
        ),
    ],
)
def test_merges_that_cannot_be(text, message):
    assert [problem.message for problem in parse(text, "x").problems] == [message]


@pytest.mark.parametrize(
    "number", ["9" * 400, "9" * 5000, "0x" + "f" * 5000, "-" + "9" * 400, "1e99999", "9" * 30]
)
@pytest.mark.parametrize(
    "key", ["seed", "clock.dilation", "trainer.gpu_speed", "windows.length", "name", "windows"]
)
def test_a_number_of_any_length_is_refused_at_its_place(write, key, number):
    found = lines(write(SMALL), overrides=[f"{key}={number}"])
    assert found
    assert all(len(line) < 800 for line in found if not line.startswith("--set"))


def test_messages_stay_on_a_line_of_their_own_and_short():
    problem = Problem(Place("x"), "a", "one\ntwo" + "x" * 100_000)
    assert "\n" not in str(problem)
    assert len(str(problem)) < 1100
    assert path_text(("a\nb", "k" * 200, "\ud800")) == f"a\\nb.{'k' * 59}….\\ud800"
