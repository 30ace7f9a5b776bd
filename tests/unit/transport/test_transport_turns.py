"""How often the adapter wakes up: whole milliseconds for timers, polling for busy sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest
import uvloop

from ecco_emu.transport.adapter.driver import whole_ticks
from ecco_emu.transport.adapter.port import Busy
from ecco_emu.transport.adapter.socket_port import SocketPort


@pytest.mark.parametrize(
    ("wall_s", "delay_s", "ticks"),
    [
        (5.0, 0.0004, 1),
        (5.0007, 0.0002, 1),
        (5.0007, 0.0004, 2),  # due at 5.0011; the loop counts from 5.000
        (5.0007, 0.0250, 26),
        (5.0003, 0.0, 1),
    ],
)
def test_a_timer_is_due_with_the_first_tick_that_is_not_early(
    wall_s: float, delay_s: float, ticks: int
) -> None:
    assert whole_ticks(delay_s, wall_s) == pytest.approx(ticks / 1000)


def test_eight_turns_in_8_ms_are_busy() -> None:
    busy = Busy()
    assert [busy.turn(1, 1.0 + 0.001 * turn) for turn in range(9)] == [False] * 7 + [True, False]


def test_a_turn_every_2_ms_is_not() -> None:
    busy = Busy()
    assert not any(busy.turn(1, 1.0 + 0.002 * turn) for turn in range(100))


def test_turns_that_bring_many_datagrams_are_not_worth_sparing() -> None:
    busy = Busy()
    assert not any(busy.turn(9, 1.0 + 0.001 * turn) for turn in range(100))


class RecordingLoop(uvloop.Loop):
    """Records which sockets it was asked to watch."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def add_reader(self, *arguments: object) -> None:
        self.calls.append("add")
        super().add_reader(*arguments)

    def remove_reader(self, *arguments: object) -> None:
        self.calls.append("remove")
        super().remove_reader(*arguments)


def test_a_busy_socket_is_polled_and_one_that_calms_down_waited_for_again() -> None:
    with asyncio.Runner(loop_factory=RecordingLoop) as runner:
        runner.run(_calms_down())


async def _calms_down() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, RecordingLoop)
    got: list[bytes] = []
    with udp() as one, udp() as other:
        port = SocketPort(other, lambda datagram, _: got.append(datagram))
        port._busy = Busy(turns=1)
        for number in range(1, 4):
            one.sendto(b"datagram", other.getsockname())
            await until(lambda: len(loop.calls) == 1 + 2 * number)  # noqa: B023 - awaited at once
            assert loop.calls == ["add"] + ["remove", "add"] * number
            assert len(got) == number
        port.close()


def test_closing_while_polling_ends_it() -> None:
    with asyncio.Runner(loop_factory=RecordingLoop) as runner:
        runner.run(_closed_while_polling())


async def _closed_while_polling() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, RecordingLoop)
    got: list[bytes] = []
    with udp() as one, udp() as other:
        port = SocketPort(other, lambda datagram, _: got.append(datagram))
        port._busy = Busy(turns=1)
        port.on_batch = lambda: port.close() if len(got) == 4 else None
        one.sendto(b"first", other.getsockname())
        await until(lambda: len(got) == 1)
        for _ in range(3):
            one.sendto(b"more", other.getsockname())
        await until(lambda: len(got) == 4)
        calls = len(loop.calls)
        await asyncio.sleep(0.01)
        assert len(loop.calls) == calls
        assert loop.calls[-1] == "remove"


def udp() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    made.bind(("127.0.0.1", 0))
    return made


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5.0):
        while not condition():  # noqa: ASYNC110 - no event reports it
            await asyncio.sleep(0.001)
