"""Starts the relay process and controls it. All calls block, and belong in the lab's thread.

The kernel ends the process when the *thread* that started it ends (PR_SET_PDEATHSIG). So that thread must
live as long as the lab does.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netns.errors import RelayDiedError
from netns.impairment import Impairment, jitter_table

_TIMEOUT_S = 10.0
_REPLY_BYTES = 1 << 20
_STOP_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class LineCounters:
    """The counters of one line: packets ``lost`` on purpose, packets ``dropped`` for want of room or because
    the link was cut, and the bytes that are under way in it."""

    lost: int = 0
    dropped: int = 0
    backlog_bytes: int = 0


class RelayClient:
    """The parent's end of one relay process."""

    def __init__(self) -> None:
        """Starts the process. ``wait_ready`` must be called before anything else is asked of it."""
        # SEQPACKET keeps the bounds of messages: a request is read whole, with its descriptors.
        self._control, child_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(_TIMEOUT_S)
        # A file and not a pipe: the process would block when a pipe that nobody reads is full.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (open as long as the process)
        package_root = str(Path(__file__).resolve().parents[2])
        # -S leaves out site-packages, for a quick start, so PYTHONPATH must say where this package is. -P
        # keeps the current directory from hiding a module of the standard library.
        command = [
            sys.executable,
            "-S",
            "-P",
            "-m",
            "netns.relay.process",
            str(child_end.fileno()),
            str(os.getpid()),
        ]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                pass_fds=(child_end.fileno(),),
                env={**os.environ, "PYTHONPATH": package_root},
            )
        except BaseException:
            self._control.close()
            self._errors.close()
            raise
        finally:
            # Only the child may hold its end, or reading would wait for ever after its death.
            child_end.close()
        self._tables: set[str] = set()
        self.real_time = False
        """True once it runs at real-time priority."""

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def wait_ready(self) -> None:
        """Returns when the process can be used. Raises: ``RelayDiedError`` if it could not start."""
        self.real_time = bool(self._receive()["real_time"])

    def attach(self, link: int, *, node_tap: int, port_tap: int, seeds: tuple[int, int]) -> None:
        """Hands over the two devices of a link. The process relays its frames from now on, at first without
        impairments. Its lines get the numbers ``2 * link`` (egress) and ``2 * link + 1`` (ingress)."""
        self._ask({"op": "attach", "link": link, "seeds": seeds}, [node_tap, port_tap])

    def set(self, line: int, wire: Impairment, limit_bytes: int) -> None:
        """Changes the impairments of a line, for packets that come from now on. The line holds at most
        ``limit_bytes``."""
        burst = wire.burst_loss
        parameters = {
            "delay_s": wire.delay_s,
            "jitter_s": wire.jitter_s,
            "loss": wire.loss,
            "burst": burst and [burst.enter, burst.leave, burst.loss_bad, burst.loss_good],
            "reorder": wire.reorder,
            "duplicate": wire.duplicate,
            "corrupt": wire.corrupt,
            "limit_bytes": limit_bytes,
        }
        # Uniform jitter needs no table: the line computes it. The others are sent once, for all lines.
        table = wire.jitter_distribution if wire.jitter_s and wire.jitter_distribution != "uniform" else None
        if table is not None and table not in self._tables:
            self._ask({"op": "table", "name": table, "values": jitter_table(table).tolist()})
            self._tables.add(table)
        self._ask({"op": "set", "line": line, "table": table, "parameters": parameters})

    def clear(self, lines: Sequence[int]) -> None:
        """Loses all packets that are under way in ``lines``."""
        self._ask({"op": "clear", "lines": lines})

    def counters(self) -> dict[int, LineCounters]:
        """The counters of all lines, by number."""
        return {int(line): LineCounters(*values) for line, values in self._ask({"op": "counters"}).items()}

    def close(self) -> None:
        """Ends the process and waits until it is gone."""
        # The process ends when its socket does. It is killed only if it does not.
        self._control.close()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def _ask(self, request: dict[str, Any], descriptors: list[int] | None = None) -> dict[str, Any]:
        try:
            socket.send_fds(self._control, [json.dumps(request).encode()], descriptors or [])
        except ConnectionError:
            raise self._died() from None
        return self._receive()

    def _receive(self) -> dict[str, Any]:
        try:
            data = self._control.recv(_REPLY_BYTES)
        except ConnectionError:
            data = b""
        except TimeoutError:
            raise RelayDiedError(
                f"the relay process ({self.pid}) has not answered for {_TIMEOUT_S:g} s: "
                "is the host overloaded?"
            ) from None
        if not data:
            raise self._died() from None
        reply: dict[str, Any] = json.loads(data)
        return reply

    def _died(self) -> RelayDiedError:
        # Its socket closes a moment before it has ended, and only then has it an exit code.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_TIMEOUT_S)
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        # The last line of a traceback is the exception.
        how = _ending(self._process.returncode) + (f": {lines[-1]}" if lines else "")
        return RelayDiedError(
            f"the relay process ({self.pid}) {how}. Its links are dead; build the lab anew."
        )


def _ending(code: int | None) -> str:
    if code is None:
        return "closed its socket"
    if code < 0:  # subprocess: minus the number of the signal
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with status {code}"
