"""Strangers, thieves of packets and lying peers, invented by Hypothesis: nothing raises, nothing grows.

``tests/fuzz`` drives the same sessions with a coverage-guided fuzzer.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ecco_emu.transport.events import Closed, MessageReceived
from tests.fuzz import hostile
from tests.property.transport.test_transport_pair import ScriptedPath, pair

ROOT = Path(__file__).parents[3]
FUZZ_S = 20
thorough = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])

turn = st.one_of(
    st.binary(min_size=2, max_size=12),
    st.tuples(st.just(3), st.binary(min_size=6, max_size=60)).map(lambda pair: bytes([pair[0]]) + pair[1]),
    st.sampled_from([b"\x01", b"\x07\x00", b"\x00\x05"]),
    st.tuples(st.just(6), st.binary(min_size=3, max_size=3)).map(lambda pair: bytes([pair[0]]) + pair[1]),
)


@thorough
@given(st.lists(turn, max_size=60), st.booleans())
@example([bytes(400)], False)
def test_a_hostile_peer_with_the_right_key(turns: list[bytes], is_server: bool) -> None:
    hostile.play(bytes([is_server]) + b"".join(turns))


@thorough
@given(
    st.lists(st.integers(0, 5000), max_size=4),
    st.lists(
        st.tuples(st.integers(0, 10_000), st.integers(0, 1), st.binary(max_size=4), st.integers(0, 60)),
        max_size=60,
    ),
)
def test_a_stranger_who_sees_everything_changes_nothing(
    sizes: list[int], attacks: list[tuple[int, int, bytes, int]]
) -> None:
    """Datagrams of a live connection: repeated, reordered, to either side, with bytes changed, cut short."""
    client, server = pair()
    path = ScriptedPath(client, server, [])
    captured: list[bytes] = []
    dispatch = path._dispatch

    def capturing(to: int, datagram: bytes) -> None:
        captured.append(datagram)
        dispatch(to, datagram)

    path._dispatch = capturing  # type: ignore[method-assign]
    for size in sizes:
        client.send(1, bytes(size), path.now)
        server.send(0, bytes(size), path.now)
    path.run(1.0)
    for pick, to, flips, cut in attacks:
        datagram = bytearray(captured[pick % len(captured)])
        for flip in flips:
            datagram[(pick * 31 + flip) % len(datagram)] ^= flip | 1
        path.sides[to].receive(bytes(datagram[: max(0, len(datagram) - cut)]), path.now)
    client.send(0, b"still here", path.now)
    server.send(0, b"so am I", path.now)
    path.run(2.0)
    assert path.deliveries[1][-1] == MessageReceived(0, b"still here")
    assert path.deliveries[0][-1] == MessageReceived(0, b"so am I")
    assert not any(isinstance(item, Closed) for signals in path.signals for item in signals)


@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris is not installed (pip install '.[fuzz]')"
)
def test_coverage_guided_fuzzing_finds_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz.fuzz_transport", f"-max_total_time={FUZZ_S}"]
    done = subprocess.run(
        [*command, f"-artifact_prefix={tmp_path}/", "-max_len=4096"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
