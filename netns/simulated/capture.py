"""Captures the packets of a simulated node or port, at the lab's times."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from netns.capture import Capture
from netns.engine import CaptureOptions
from netns.simulated.packets import Packet, frame_of


class SimulatedCapture(Capture):
    """A capture that gets each packet as it passes. Its file has whole packets at every moment."""

    def __init__(
        self,
        device: str,
        node: str,
        options: CaptureOptions,
        now: Callable[[], float],
        end: Callable[[], None],
    ) -> None:
        """``end`` is called when no more packets are wanted. Raises: ``LabError`` if the file cannot be
        written."""
        super().__init__(device, node, options)
        self._now, self._end = now, end

    def add(self, packet: Packet, at: float, outgoing: bool) -> None:
        """The packet passes at ``at``."""
        try:
            self._add(frame_of(packet)[: self._snap_bytes], packet[1], round(at * 1e9), outgoing)
            self._file.flush()
        except OSError:
            self._give_up()

    def stop(self) -> None:
        if self._file.closed:
            return
        self._end()
        try:
            with self._file:
                self._add_statistics(round(self._now() * 1e9))
        except OSError:
            self.dropped += 1

    def _give_up(self) -> None:
        """The disk is full: the file can be read up to here, and the capture ends."""
        self.dropped += 1
        self._end()
        with contextlib.suppress(OSError):
            self._file.close()
