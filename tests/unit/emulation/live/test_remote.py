"""Faults from outside: what a live run answers on its socket."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import msgspec
import pytest
import uvloop

from ecco_emu.core.errors import EccoError, HostError, ScenarioError
from ecco_emu.emulation.live import remote, runs


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A live run's directory, deeper than a socket's path may be long."""
    directory = tmp_path / ("d" * 120)
    directory.mkdir()
    started = runs._started(os.getpid())
    assert started is not None
    said = runs.LiveRun(os.getpid(), started, "x", {})
    (directory / runs.FILE).write_bytes(msgspec.json.encode(said))
    return directory


class Injector:
    """Takes any fault that is not on cam9."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    async def inject(self, text: str) -> int:
        if "cam9" in text:
            raise ScenarioError("'cam9' is no link")
        if "broken" in text:
            raise HostError("the network broke")
        self.faults.append(text)
        return 4

    def now(self) -> float:
        return 12.5


async def test_a_fault_is_injected_and_answered(run: Path) -> None:
    injector = Injector()
    async with remote.listening(run, injector.inject, injector.now):
        assert stat.S_IMODE((run / runs.SOCKET).stat().st_mode) == 0o600
        assert await remote.request(run, "cam2 down for=5s") == remote.Answer(fault=4, at=12.5)
        with pytest.raises(ScenarioError, match="'cam9' is no link"):
            await remote.request(run, "cam9 up")
        with pytest.raises(EccoError, match="the network broke"):
            await remote.request(run, "broken up")
    assert injector.faults == ["cam2 down for=5s"]
    assert not (run / runs.SOCKET).exists()


def test_so_it_is_on_the_loop_that_runs_use(run: Path) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for _ in range(3):
            runner.run(test_a_fault_is_injected_and_answered(run))


async def test_a_run_that_does_not_listen_says_so(run: Path, tmp_path: Path) -> None:
    with pytest.raises(HostError, match="takes no faults now"):
        await remote.request(run, "cam2 up")
    with pytest.raises(ScenarioError, match="no live run"):
        await remote.request(tmp_path, "cam2 up")


LONG = b"x" * 2 * remote.MAX_LINE_BYTES + b"\n"


@pytest.mark.parametrize("line", [b"{}\n", b"cam2 down\n", b'{"inject": 3}\n', b"\n", b"\xff\n", LONG])
async def test_what_is_no_request_is_answered_and_does_nothing(run: Path, line: bytes) -> None:
    injector = Injector()
    async with remote.listening(run, injector.inject, injector.now):
        with remote._socket(run) as (sock, address):
            await asyncio.get_running_loop().sock_connect(sock, address)
            reader, writer = await asyncio.open_unix_connection(sock=sock)
            writer.write(line)
            answer = msgspec.json.decode(await reader.readline(), type=remote.Answer)
            writer.close()
        assert answer.error is not None
        assert "one line" in answer.error
    assert injector.faults == []


async def test_who_hangs_up_at_once_harms_nobody(run: Path) -> None:
    injector = Injector()
    async with remote.listening(run, injector.inject, injector.now):
        for _ in range(20):
            with remote._socket(run) as (sock, address):
                await asyncio.get_running_loop().sock_connect(sock, address)
        assert (await remote.request(run, "cam2 up")).fault == 4


async def test_the_socket_of_a_dead_run_is_cleaned_up(tmp_path: Path) -> None:
    dead = tmp_path / "dead"
    dead.mkdir()
    (dead / runs.FILE).write_bytes(msgspec.json.encode(runs.LiveRun(os.getpid(), 1, "dead", {})))
    (dead / runs.SOCKET).touch()
    assert runs.clean(tmp_path, dry_run=False) == [dead / runs.SOCKET, dead / runs.FILE]
    assert list(dead.iterdir()) == []
