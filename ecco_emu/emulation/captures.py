"""The run directory's pcap/: the packets of a run, one pcapng file for each camera and one for the server.

A file shows the packets that a capture on that host would show: those that have arrived, and those that leave
for the link. So the server's has the video that came through the bottleneck, and a packet in a camera's file
that is not in the server's was lost between them. Times are emulated seconds since the run's start.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import netns
from ecco_emu.emulation.lab_errors import lab_errors
from ecco_emu.host.clock import RunClock

SNAP_BYTES = 128
"""Of each packet: Ethernet, IP and UDP headers, and the transport's own beginning."""
FILE_BYTES = 64 << 20
"""The largest size of one file: some 390 000 packets. Later ones are counted, in the file too."""


class Captures:
    """The captures of a run; ``left_out`` counts packets, once they have stopped."""

    def __init__(self, running: Sequence[netns.Capture], *, simulated: bool) -> None:
        self._running = running
        self._simulated = simulated

    @property
    def left_out(self) -> int:
        return sum(capture.dropped for capture in self._running)

    async def stop(self) -> None:
        """Writes the packets that have come, and closes the files."""

        def stop_all() -> None:
            for capture in self._running:
                capture.stop()

        # A capture of simulated packets belongs to the event loop's thread, and does not block it.
        if self._simulated:
            stop_all()
        else:
            await asyncio.to_thread(stop_all)


async def begin_captures(lab: netns.Lab, folder: Path, nodes: Sequence[str], clock: RunClock) -> Captures:
    """Captures the packets of these nodes into ``folder``, until the lab ends or the captures are stopped.

    Packets before the clock's start get time 0. Raises ``HostError`` where a file cannot be written.
    """
    simulated = lab.engine == "simulated"
    # The kernel's times are of the clock that people set; the run's clock is monotonic. Simulated packets
    # have times of the clock that the run's is read off.
    ahead_ns = 0 if simulated else time.time_ns() - time.monotonic_ns()

    def emulated_ns(at_ns: int) -> int:
        return max(0, round(clock.emulated((at_ns - ahead_ns) / 1e9) * 1e9))

    comment = (
        "ecco-emu: times are emulated seconds since the start of the run; one emulated second lasted "
        f"{clock.dilation:g} s. The first {SNAP_BYTES} bytes of each packet are kept."
    )
    with lab_errors("the packets cannot be captured"):
        return Captures(
            [
                await lab.capture(
                    node,
                    folder / f"{node}.pcapng",
                    snap_bytes=SNAP_BYTES,
                    max_bytes=FILE_BYTES,
                    comment=comment,
                    file_time=emulated_ns,
                )
                for node in nodes
            ],
            simulated=simulated,
        )
