"""What the transport costs: CPU per data packet, and a hundred cameras on one core.

python tests/benchmarks/bench_transport_cpu.py [--seconds 10] [--flows 100] [--rate 300000] [--profile]

Both ends run in this process, over loopback, on one core; CPU is this process's, system time included. The
first part sends 20 MB as fast as congestion control lets it, five times; a data packet is one that the
sender sent. The second sends one-second video segments on every flow and probes the event loop
every 5 ms; it runs with the real-time priority that a run gives its event loop, where it may. Another
checkout is measured by putting it first on PYTHONPATH.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import os
import pstats
import socket
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import uvloop

from ecco_emu.transport import ConnectionClosed, Listener, Peer, TransportConfig, connect

TOKEN = b"a secret of benchmarks"
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
PROBE_S = 0.005
BULK_BYTES = 20_000_000


class WallClock:
    def now(self) -> float:
        return time.monotonic()

    def wall_duration(self, emulated_s: float) -> float:
        return emulated_s


def make_socket(stack: ExitStack) -> socket.socket:
    sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sock.setblocking(False)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, 4 << 20)
    sock.bind(("127.0.0.1", 0))
    return sock


async def dial(listener_address: Any, name: str, config: TransportConfig, stack: ExitStack) -> Peer:
    sock = make_socket(stack)
    return await connect(sock, listener_address, name=name, token=TOKEN, config=config, clock=WallClock())


async def bulk() -> dict[str, float]:
    """One transfer of ``BULK_BYTES``: µs of CPU per data packet, and Mbit/s."""
    with ExitStack() as stack:
        sock = make_socket(stack)
        config = TransportConfig(alpha=10)
        listener = Listener(sock, {"cam": TOKEN}, config, WallClock())
        camera = await dial(sock.getsockname(), "cam", config, stack)
        server = await listener.accept()
        sent, cpu_s, wall_s = camera.stats.packets_sent, time.process_time(), time.monotonic()
        camera.send(1, bytes(BULK_BYTES))
        await server.receive()
        await camera.drain(1)
        cpu_s, wall_s = time.process_time() - cpu_s, time.monotonic() - wall_s
        packets = camera.stats.packets_sent - sent
        await camera.close()
        await listener.close()
    return {"us_per_packet": cpu_s / packets * 1e6, "mbit_s": BULK_BYTES * 8 / wall_s / 1e6}


async def many(flows: int, rate_bps: float, seconds: float) -> dict[str, float]:
    """Segments of one second on every flow, begun at different moments."""
    lags: list[float] = []
    received = late = 0
    with ExitStack() as stack:
        names = [f"cam{index}" for index in range(flows)]
        sock = make_socket(stack)
        config = TransportConfig(alpha=2)
        listener = Listener(sock, dict.fromkeys(names, TOKEN), config, WallClock())
        cameras = [await dial(sock.getsockname(), name, config, stack) for name in names]
        servers = [await listener.accept() for _ in names]
        segment = bytes(int(rate_bps / 8))

        async def send(index: int, peer: Peer) -> None:
            due = time.monotonic() + index / flows
            while True:
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                peer.send_video(segment, time.monotonic() + 1.0)
                due += 1.0

        async def receive(peer: Peer) -> None:
            nonlocal received
            while True:
                delivery = await peer.receive()
                received += len(delivery.data)

        async def probe() -> None:
            due = time.monotonic()
            while True:
                due = max(due + PROBE_S, time.monotonic())
                await asyncio.sleep(due - time.monotonic())
                lags.append(time.monotonic() - due)

        tasks = [asyncio.ensure_future(send(index, peer)) for index, peer in enumerate(cameras)]
        tasks += [asyncio.ensure_future(receive(peer)) for peer in servers]
        tasks.append(asyncio.ensure_future(probe()))
        await asyncio.sleep(2.0)
        lags.clear()
        received = 0
        sent, cpu_s, wall_s = packets(cameras), time.process_time(), time.monotonic()
        await asyncio.sleep(seconds)
        cpu_s, wall_s = time.process_time() - cpu_s, time.monotonic() - wall_s
        sent = packets(cameras) - sent
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        late = sum(peer.stats.video_lost + peer.stats.video_late for peer in cameras)
        for peer in cameras:
            await peer.close()
        await listener.close()
    lags.sort()
    return {
        "mbit_s": received * 8 / wall_s / 1e6,
        "core": cpu_s / wall_s,
        "us_per_packet": cpu_s / sent * 1e6,
        "lag_p50_ms": lags[len(lags) // 2] * 1e3,
        "lag_p99_ms": lags[int(len(lags) * 0.99)] * 1e3,
        "lag_max_ms": lags[-1] * 1e3,
        "late_or_lost": late,
    }


def packets(peers: list[Peer]) -> int:
    return sum(peer.stats.packets_sent for peer in peers)


@contextmanager
def real_time() -> Iterator[bool]:
    """The priority of a run's event loop; False: this user may not have it."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except PermissionError:
        yield False
        return
    try:
        yield True
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def run(loop: str, work: Any) -> dict[str, float]:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        result: dict[str, float] = runner.run(work)
        return result


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--flows", type=int, default=100)
    parser.add_argument("--rate", type=float, default=300e3)
    parser.add_argument("--loop", choices=[*LOOPS, "both"], default="both")
    parser.add_argument("--profile", action="store_true", help="where a bulk transfer spends its time")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    loops = list(LOOPS) if options.loop == "both" else [options.loop]
    if options.profile:
        with cProfile.Profile() as profile:
            run(loops[0], bulk())
        pstats.Stats(profile).sort_stats("tottime").print_stats(30)
        return
    results: dict[str, Any] = {}
    for loop in loops:
        bulks = [run(loop, bulk()) for _ in range(5)]
        with real_time() as first:
            crowd = run(loop, many(options.flows, options.rate, options.seconds))
        crowd["real_time"] = float(first)
        results[loop] = {"bulk": bulks, "many": crowd}
        if not options.json:
            print(
                f"{loop}: {spread([one['us_per_packet'] for one in bulks])} µs of CPU per data packet, "
                f"{spread([one['mbit_s'] for one in bulks])} Mbit/s"
            )
            print(
                f"{loop}: {options.flows} flows of {options.rate / 1e3:g} kbit/s: "
                + ", ".join(f"{key} {value:.3g}" for key, value in crowd.items())
            )
    if options.json:
        json.dump(results, sys.stdout, indent=2)


if __name__ == "__main__":
    try:
        main()
    except ConnectionClosed as error:
        sys.exit(f"a connection broke: {error}")
