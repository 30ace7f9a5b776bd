"""Faults from outside: what a live run answers on its socket."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import msgspec
import pytest
import uvloop

from ecco_emu.core.errors import EccoError, HostError, ScenarioError
from ecco_emu.emulation.live import remote, runs


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Path]:
    """A live run's directory, deeper than a socket's path may be long."""
    directory = tmp_path / ("d" * 120)
    directory.mkdir()
    with runs.announced(directory, name="x", policy="naive", duration_s=20):
        yield directory


class Injector:
    """Takes any fault that is not on cam9."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.told: list[str] = []

    async def inject(self, text: str) -> int:
        if "cam9" in text:
            raise ScenarioError("'cam9' is no link")
        if "broken" in text:
            raise HostError("the network broke")
        self.faults.append(text)
        return 4

    def now(self) -> float:
        return 12.5

    def listening(self, directory: Path) -> AbstractAsyncContextManager[None]:
        return remote.listening(directory, self.inject, self.now, self.told.append)


async def test_a_fault_is_injected_and_answered(run: Path) -> None:
    injector = Injector()
    async with injector.listening(run):
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
    async with injector.listening(run):
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
    async with injector.listening(run):
        for _ in range(20):
            with remote._socket(run) as (sock, address):
                await asyncio.get_running_loop().sock_connect(sock, address)
        assert (await remote.request(run, "cam2 up")).fault == 4


async def test_a_file_system_without_sockets_costs_the_run_nothing_but_this(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Socket(socket.socket):
        def bind(self, _: object) -> None:
            raise PermissionError(1, "Operation not permitted")

    injector = Injector()
    with monkeypatch.context() as patched:
        patched.setattr(socket, "socket", Socket)
        async with injector.listening(run):
            assert not (run / runs.SOCKET).exists()
    [told] = injector.told
    assert "inject will not reach this run" in told
    assert "Operation not permitted" in told


STOPPED = """
import os, signal, socket, sys
os.chdir(sys.argv[1])
listening = socket.socket(socket.AF_UNIX)
listening.bind("control.sock")
listening.listen()
os.kill(os.getpid(), signal.SIGSTOP)
"""


async def test_a_stopped_run_is_not_waited_for(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its kernel takes the connection all the same."""
    monkeypatch.setattr(remote, "_PATIENCE_S", 0.05)
    process = await asyncio.to_thread(subprocess.Popen, [sys.executable, "-c", STOPPED, run])
    try:
        await asyncio.to_thread(os.waitid, os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        with pytest.raises(HostError, match=rf"did not answer.*is stopped \(`kill -CONT {os.getpid()}`"):
            await remote.request(run, "cam2 up")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


async def test_the_socket_of_a_dead_run_is_cleaned_up(run: Path) -> None:
    async with Injector().listening(run):
        dead = run.with_name("dead")
        dead.mkdir()
        (dead / runs.FILE).write_bytes((run / runs.FILE).read_bytes())  # without the lock
        (dead / runs.SOCKET).touch()
        assert runs.clean(run.parent, dry_run=False).removed == [dead / runs.SOCKET, dead / runs.FILE]
        assert list(dead.iterdir()) == []
        assert (run / runs.SOCKET).exists()
