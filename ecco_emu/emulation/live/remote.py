"""Faults from outside: a live run listens on a socket in its directory, `ecco-emu inject` speaks to it.

One line of JSON each way, then the connection is over. Only the run's own user may connect.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import msgspec

from ecco_emu.core.errors import EccoError, HostError, ScenarioError
from ecco_emu.emulation.live import runs

MAX_LINE_BYTES = 4096
_PATIENCE_S = 5.0
"""Wall time for a client to send its request; a run has twice as long to answer."""


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A fault on one line, as ``scenario.faults.parse_fault`` takes it."""

    inject: str


class Answer(msgspec.Struct, frozen=True):
    """The fault's index and its emulated time, or the error."""

    fault: int | None = None
    at: float | None = None
    error: str | None = None


Inject = Callable[[str], Awaitable[int]]


@asynccontextmanager
async def listening(
    directory: Path, inject: Inject, now: Callable[[], float], told: Callable[[str], None]
) -> AsyncIterator[None]:
    """For the time of the block, others can inject faults into the run in ``directory``.

    A file system may have no sockets (exFAT). The run does without then, and ``told`` is told.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(msgspec.json.encode(await _answer(reader, inject, now)) + b"\n")
            await writer.drain()
        except ConnectionError:
            return  # the client did not wait for its answer; the fault is on record all the same
        finally:
            writer.close()

    with _socket(directory) as (sock, address):
        try:
            sock.bind(address)
            os.chmod(address, 0o600)  # nobody can connect before it listens
        except OSError as error:
            (directory / runs.SOCKET).unlink(missing_ok=True)
            told(f"ecco-emu inject will not reach this run: no socket in {directory} ({error.strerror})")
            yield
            return
        server = await asyncio.start_unix_server(serve, sock=sock, limit=MAX_LINE_BYTES)
        try:
            yield
        finally:
            server.close()
            (directory / runs.SOCKET).unlink(missing_ok=True)


async def _answer(reader: asyncio.StreamReader, inject: Inject, now: Callable[[], float]) -> Answer:
    try:
        line = await asyncio.wait_for(reader.readline(), _PATIENCE_S)
        request = msgspec.json.decode(line, type=Request)
    except (TimeoutError, ValueError):  # a line too long, or one that is no request
        return Answer(error='a request is one line, {"inject": "cam2 down for=5s"}')
    at = now()
    try:
        return Answer(fault=await inject(request.inject), at=at)
    except EccoError as error:
        return Answer(error=str(error))


async def request(directory: Path, fault: str) -> Answer:
    """Injects a fault into the live run in ``directory``. Raises ``ScenarioError`` for a fault or a run that
    does not exist, ``HostError`` if the run may not be spoken to or does not answer."""
    run = runs.find(directory)
    try:
        with _socket(directory) as (sock, address):
            line = await asyncio.wait_for(_ask(sock, address, fault), 2 * _PATIENCE_S)
        answer = msgspec.json.decode(line, type=Answer)
    except TimeoutError as error:  # the kernel takes the connection for a process that does not run
        raise HostError(
            f"the run in {directory} did not answer within {2 * _PATIENCE_S:g} s: its process {run.pid} is "
            f"stopped (`kill -CONT {run.pid}` lets it go on), or its host is overloaded"
        ) from error
    except PermissionError as error:
        raise HostError(f"the run in {directory} belongs to another user: run this with sudo") from error
    except (OSError, msgspec.DecodeError) as error:
        raise HostError(f"the run in {directory} takes no faults now: it begins, or ends") from error
    if answer.error is not None:
        raise ScenarioError(answer.error)
    return answer


async def _ask(sock: socket.socket, address: str, fault: str) -> bytes:
    await asyncio.get_running_loop().sock_connect(sock, address)
    reader, writer = await asyncio.open_unix_connection(sock=sock)
    try:
        writer.write(msgspec.json.encode(Request(fault)) + b"\n")
        return await reader.readline()
    finally:
        writer.close()


@contextmanager
def _socket(directory: Path) -> Iterator[tuple[socket.socket, str]]:
    """A socket, and the address of the run's: with the directory by its descriptor, since a socket's path has
    107 bytes at most."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as sock:
            yield sock, f"/proc/self/fd/{descriptor}/{runs.SOCKET}"
    finally:
        os.close(descriptor)
