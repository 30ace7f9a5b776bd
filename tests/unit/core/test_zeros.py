"""Zeros at the end of a file."""

from __future__ import annotations

import pytest

from ecco_emu.core.zeros import without_last_zeros

BLOCK = 1 << 16


@pytest.mark.parametrize("zeros", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 3 * BLOCK + 7])
@pytest.mark.parametrize("head", [b"", b"a", b"a\0b", b"\0" * BLOCK + b"a", b"a" * BLOCK])
def test_only_the_last_zeros_go(head, zeros):
    assert without_last_zeros(head + bytes(zeros)) == head
