from __future__ import annotations

import hashlib
import re

from hypothesis import given
from hypothesis import strategies as st

from ecco_emu.core.ids import model_hash, natural


def test_a_students_address_is_the_start_of_its_sha256():
    assert model_hash(b"") == "e3b0c44298fc1c14"
    assert model_hash(b"weights") == hashlib.sha256(b"weights").hexdigest()[:16]


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_addresses_are_sixteen_hex_digits_and_tell_files_apart(one, other):
    assert re.fullmatch(r"[0-9a-f]{16}", model_hash(one))
    assert (model_hash(one) == model_hash(other)) == (one == other)


def test_names_are_ordered_by_their_numbers():
    assert sorted(["job10", "job2", "a1b10", "a1b9", "", "7", "job"], key=natural) == [
        "", "7", "a1b9", "a1b10", "job", "job2", "job10",
    ]  # fmt: skip


@given(st.lists(st.text(max_size=12)))
def test_any_names_have_an_order(names):
    assert len(sorted(names, key=natural)) == len(names)
