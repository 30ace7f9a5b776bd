"""Students' files: whole, named by content, and no larger on the disk than their content."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecco_emu.core.ids import model_hash
from ecco_emu.core.messages import Weights, decode_from_server
from ecco_emu.server.models import MESSAGES, ModelStore


def test_zeros_at_the_end_take_no_room(tmp_path: Path) -> None:
    padded = b"a few numbers".ljust(5_000_000, b"\0")
    store = ModelStore(tmp_path)
    model = store.put(padded)
    assert store.get(model) == padded
    about = (tmp_path / f"{model}.safetensors").stat()
    assert about.st_size == len(padded)
    assert about.st_blocks * 512 < 100_000


@pytest.mark.parametrize("weights", [b"", b"\0\0\0", b"1\0002", b"12"])
def test_a_file_comes_back_as_it_was(tmp_path: Path, weights: bytes) -> None:
    store = ModelStore(tmp_path)
    assert store.get(store.put(weights)) == weights
    assert model_hash(weights) in store


def test_all_who_fetch_a_student_share_its_message(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    models = [store.put(f"student {number}".encode()) for number in range(MESSAGES + 1)]
    first = store.message(models[0])
    assert decode_from_server(first) == Weights(models[0], b"student 0")
    assert store.message(models[0]) is first
    newest = [store.message(model) for model in models][-1]
    assert store.message(models[-1]) is newest
    assert store.message(models[0]) == first
    assert store.message(models[0]) is not first  # few are kept
    with pytest.raises(KeyError):
        store.message(model_hash(b"another"))
