"""One connection as a qlog trace (draft-ietf-quic-qlog-main-schema 0.3, JSON-SEQ), which qvis can draw.

Sans-IO: every record goes to a ``sink`` as bytes, complete, in one call, and in order of time. A trace that
ends after any record is readable. JSON-SEQ begins every record with the character RS and ends it with a
newline (RFC 7464).

Frames have the names of the nearest QUIC frames. A channel is the stream of its number, and a video message
is stream ``VIDEO_STREAM`` + its id. VIDEO_DROP is RESET_STREAM, and WINDOW is MAX_STREAM_DATA. Times are
milliseconds since the connection began; that moment is ``reference_time`` in emulated time, so the traces of
one run have a common clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from ecco_emu.transport import wire
from ecco_emu.transport.telemetry import DropReason, Metrics

VERSION = "0.3"
VIDEO_STREAM = 100
"""Above all channel numbers, so that no video shares a stream with a channel."""
_encode = msgspec.json.Encoder().encode


def record(value: dict[str, Any]) -> bytes:
    """``value`` as one JSON-SEQ record."""
    return b"\x1e" + _encode(value) + b"\n"


class QlogTrace:
    """A ``Telemetry`` that writes at most ``limit_bytes``. A trace that reaches the limit ends with a record
    that says so."""

    def __init__(
        self,
        sink: Callable[[bytes], None],
        *,
        title: str,
        side: Literal["client", "server"],
        limit_bytes: int,
    ) -> None:
        self._sink = sink
        self._title = title
        self._side = side
        self._left_bytes = limit_bytes
        self._origin_s = 0.0
        self._started = False
        self._state = ""
        self._cuts = 0

    def started(self, connection_id: bytes, now: float) -> None:
        # A second call means that the server restarted during the handshake. qlog allows one start per trace.
        if self._started:
            self._event(now, "connectivity:connection_id_updated", {"src_new": connection_id.hex()})
            return
        self._started = True
        self._origin_s = now
        fields = {
            "ODCID": connection_id.hex(),
            "group_id": connection_id.hex(),
            "protocol_type": ["ecco"],
            "time_format": "relative",
            "reference_time": _ms(now),
        }
        point = {"name": "ecco-emu", "type": self._side}
        trace = {"title": self._title, "vantage_point": point, "common_fields": fields}
        self._write(
            {"qlog_version": VERSION, "qlog_format": "JSON-SEQ", "title": self._title, "trace": trace}
        )
        self._event(now, "connectivity:connection_started", {"src_cid": connection_id.hex()})

    def packet_sent(self, number: int, datagram: bytes, now: float) -> None:
        frames = wire.parse_data(datagram)
        self._event(now, "transport:packet_sent", _packet(number, len(datagram), frames))

    def packet_received(self, number: int, size: int, frames: Sequence[wire.WireFrame], now: float) -> None:
        self._event(now, "transport:packet_received", _packet(number, size, frames))

    def packet_dropped(self, size: int, reason: DropReason, now: float) -> None:
        data = {"raw": {"length": size}, "trigger": _TRIGGERS[reason]}
        self._event(now, "transport:packet_dropped", data)

    def packet_lost(self, number: int, size: int, now: float) -> None:
        data = {"header": _header(number), "raw": {"length": size}}
        self._event(now, "recovery:packet_lost", data)

    def metrics(self, metrics: Metrics, now: float) -> None:
        data: dict[str, Any] = {
            "smoothed_rtt": _ms(metrics.smoothed_rtt_s),
            "min_rtt": _ms(metrics.min_rtt_s),
            "latest_rtt": _ms(metrics.latest_rtt_s),
            "rtt_variance": _ms(metrics.rtt_variation_s),
            "congestion_window": int(metrics.window),
            "bytes_in_flight": metrics.in_flight,
            "pacing_rate": int(metrics.pacing_bytes_per_s * 8),
            "pto_count": metrics.probes,
        }
        # An unknown ssthresh is infinite, which JSON cannot express.
        if metrics.ssthresh < 2**62:
            data["ssthresh"] = int(metrics.ssthresh)
        self._event(now, "recovery:metrics_updated", data)
        self._tell_state(metrics, now)

    def closed(self, reason: str, now: float) -> None:
        self._event(now, "connectivity:connection_closed", {"reason": reason})

    def _tell_state(self, metrics: Metrics, now: float) -> None:
        """Records a change of the congestion state. It is "recovery" at the one record after a cut: this
        transport has no recovery period that lasts, as QUIC has (RFC 9002 section 7.3.2)."""
        if metrics.cuts > self._cuts:
            state = "recovery"
        else:
            state = "slow_start" if metrics.slow_start else "congestion_avoidance"
        self._cuts = metrics.cuts
        if state != self._state:
            data = {"old": self._state, "new": state} if self._state else {"new": state}
            self._state = state
            self._event(now, "recovery:congestion_state_updated", data)

    def _event(self, now: float, name: str, data: dict[str, Any]) -> None:
        if self._left_bytes > 0:
            self._write({"time": _ms(now - self._origin_s), "name": name, "data": data})

    def _write(self, value: dict[str, Any]) -> None:
        line = record(value)
        # The last record must always fit.
        if len(line) + _END_BYTES > self._left_bytes:
            data = {"message": "the trace is full: later events were left out"}
            line = record({"time": value.get("time", 0.0), "name": "generic:warning", "data": data})
            self._left_bytes = 0
        self._left_bytes -= len(line)
        self._sink(line)


_END_BYTES = 160
"""Reserved for the record that says that the trace is full."""
_MANY_FRAMES = 16
"""Only packets with more frames than this are searched for padding."""
_TRIGGERS: dict[DropReason, str] = {
    "forged": "payload_decrypt_error",
    "malformed": "header_parse_error",
    "duplicate": "duplicate",
}


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 3)


def _header(number: int) -> dict[str, Any]:
    return {"packet_type": "1RTT", "packet_number": number}


def _packet(number: int, size: int, frames: Sequence[wire.WireFrame]) -> dict[str, Any]:
    return {
        "header": _header(number),
        "raw": {"length": size},
        "frames": _frames(frames),
    }


def _frames(frames: Sequence[wire.WireFrame]) -> list[dict[str, Any]]:
    """The frames of a packet. All PINGs but one are shown as padding: a path MTU probe has hundreds."""
    pings = sum(isinstance(frame, wire.Ping) for frame in frames) if len(frames) > _MANY_FRAMES else 0
    if pings <= 1:
        return [_frame(frame) for frame in frames]
    others = [_frame(frame) for frame in frames if not isinstance(frame, wire.Ping)]
    return [*others, {"frame_type": "ping"}, {"frame_type": "padding", "payload_length": pings - 1}]


def _frame(frame: wire.WireFrame) -> dict[str, Any]:
    match frame:
        case wire.Stream(channel, offset, data):
            return {"frame_type": "stream", "stream_id": channel, "offset": offset, "length": len(data)}
        case wire.Video(message, total, offset, data):
            return {
                "frame_type": "stream",
                "stream_id": VIDEO_STREAM + message,
                "offset": offset,
                "length": len(data),
                "fin": offset + len(data) == total,
            }
        case wire.Ack(delay_us, ranges):
            acked = [(start, end - 1) for start, end in ranges]
            return {"frame_type": "ack", "ack_delay": delay_us / 1e3, "acked_ranges": acked}
        case wire.Window(channel, limit):
            return {"frame_type": "max_stream_data", "stream_id": channel, "maximum": limit}
        case wire.VideoDrop(message):
            return {"frame_type": "reset_stream", "stream_id": VIDEO_STREAM + message, "error_code": 0}
        case wire.Close(code, reason):
            return {"frame_type": "connection_close", "raw_error_code": code, "reason": reason}
        case wire.PathChallenge(token):
            return {"frame_type": "path_challenge", "data": f"{token:016x}"}
        case wire.PathResponse(token):
            return {"frame_type": "path_response", "data": f"{token:016x}"}
        case wire.HandshakeDone():
            return {"frame_type": "handshake_done"}
        case wire.Ping():
            return {"frame_type": "ping"}
        # QUIC has no frames like the next two, so that qvis shows our names.
        case wire.ShareFrame():
            return {"frame_type": "share"}
        case wire.Idle():
            return {"frame_type": "idle"}
