from __future__ import annotations

import os
import subprocess
import sys

from ecco_emu.core.random_streams import stream


def draws(*key):
    return stream(*key).integers(0, 2**62, size=8).tolist()


def test_the_same_names_draw_the_same():
    assert draws(7, "town", "cars") == draws(7, "town", "cars")


def test_every_part_of_the_key_matters():
    keys = [
        (7,),
        (8,),
        (7, "town"),
        (7, "town", "cars"),
        (7, "cars", "town"),
        (7, "town", 1),
        (7, "town", "1"),
    ]
    assert len({tuple(draws(*key)) for key in keys}) == len(keys)


def test_names_that_join_to_the_same_text_differ():
    assert draws(7, "ab", "c") != draws(7, "a", "bc")


def test_drawing_from_one_never_shifts_another():
    first = stream(7, "a")
    expected = draws(7, "b")
    first.random(1000)
    assert draws(7, "b") == expected


def test_another_process_draws_the_same():
    """Python's own ``hash`` of text differs between processes; the streams must not."""
    code = "from ecco_emu.core.random_streams import stream; print(stream(7, 'town', 3).integers(10**9))"
    env = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": os.pathsep.join(sys.path)}
    out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert int(out.stdout) == stream(7, "town", 3).integers(10**9)
