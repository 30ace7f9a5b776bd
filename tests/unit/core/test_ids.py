from __future__ import annotations

import hashlib
import re

from hypothesis import given
from hypothesis import strategies as st

from ecco_emu.core.ids import model_hash


def test_a_students_address_is_the_start_of_its_sha256():
    assert model_hash(b"") == "e3b0c44298fc1c14"
    assert model_hash(b"weights") == hashlib.sha256(b"weights").hexdigest()[:16]


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_addresses_are_sixteen_hex_digits_and_tell_files_apart(one, other):
    assert re.fullmatch(r"[0-9a-f]{16}", model_hash(one))
    assert (model_hash(one) == model_hash(other)) == (one == other)
