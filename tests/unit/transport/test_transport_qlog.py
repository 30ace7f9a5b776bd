"""qlog traces: literal events, and the structure that qvis needs."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from itertools import pairwise
from pathlib import Path
from typing import Any

from ecco_emu.record.qlog import QlogFolder, _TraceFile
from ecco_emu.transport import wire
from ecco_emu.transport.auth import session
from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.connection import Connection
from ecco_emu.transport.qlog import QlogTrace
from ecco_emu.transport.telemetry import Metrics

SESSION = session(b"a secret of tests", "cam", b"c" * 16, b"s" * 16)
METRICS = Metrics(0.05, 0.04, 0.06, 0.01, 12000.0, float("inf"), 2400, 1e6, 0, 0, True)


def parsed(data: bytes) -> list[dict[str, Any]]:
    """Every record; each is framed as RFC 7464 requires."""
    texts = data.split(b"\x1e")
    assert texts[0] == b""
    assert all(text.endswith(b"\n") for text in texts[1:])
    return [json.loads(text) for text in texts[1:]]


class Collected:
    """A trace in memory."""

    def __init__(self, limit_bytes: int = 10_000_000) -> None:
        self.data = bytearray()
        self.trace = QlogTrace(self.data.__iadd__, title="cam", side="server", limit_bytes=limit_bytes)

    @property
    def records(self) -> list[dict[str, Any]]:
        return parsed(bytes(self.data))

    def named(self, name: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record.get("name") == name]


def packet(number: int, *frames: bytes) -> bytes:
    header = wire.HEADER.pack(wire.VERSION, wire.DATA, SESSION.connection_id, number)
    return header + b"".join(frames) + bytes(wire.TAG_BYTES)


def test_the_header_says_what_it_is_a_trace_of() -> None:
    log = Collected()
    log.trace.started(b"\x01" * 8, 2.5)
    header, first = log.records
    assert header["qlog_version"] == "0.3"
    assert header["qlog_format"] == "JSON-SEQ"
    assert header["trace"]["vantage_point"] == {"name": "ecco-emu", "type": "server"}
    assert header["trace"]["common_fields"]["ODCID"] == "01" * 8
    assert header["trace"]["common_fields"]["time_format"] == "relative"
    assert header["trace"]["common_fields"]["reference_time"] == 2500.0
    assert first == {"time": 0.0, "name": "connectivity:connection_started", "data": {"src_cid": "01" * 8}}


def test_a_handshake_that_began_anew_has_one_header() -> None:
    log = Collected()
    log.trace.started(b"\x01" * 8, 2.0)
    log.trace.started(b"\x02" * 8, 3.0)
    assert sum("qlog_version" in record for record in log.records) == 1
    assert log.records[-1] == {
        "time": 1000.0,
        "name": "connectivity:connection_id_updated",
        "data": {"src_new": "02" * 8},
    }


def test_packets_with_every_frame() -> None:
    log = Collected()
    log.trace.started(bytes(8), 1.0)
    frames = [
        wire.encode_ack([(5, 8), (0, 2)], 1500),
        wire.stream_header(1, 40, 3) + b"abc",
        wire.video_header(7, 10, 8, 2) + b"yz",
        wire.encode_window(1, 999),
        wire.encode_video_drop(6),
        wire.PING_FRAME,
        wire.DONE_FRAME,
        wire.encode_close(1, "no"),
    ]
    log.trace.packet_sent(3, packet(3, *frames), 1.25)
    assert log.records[-1] == {
        "time": 250.0,
        "name": "transport:packet_sent",
        "data": {
            "header": {"packet_type": "1RTT", "packet_number": 3},
            "raw": {"length": len(packet(3, *frames))},
            "frames": [
                {"frame_type": "ack", "ack_delay": 1.5, "acked_ranges": [[5, 7], [0, 1]]},
                {"frame_type": "stream", "stream_id": 1, "offset": 40, "length": 3},
                {"frame_type": "stream", "stream_id": 107, "offset": 8, "length": 2, "fin": True},
                {"frame_type": "max_stream_data", "stream_id": 1, "maximum": 999},
                {"frame_type": "reset_stream", "stream_id": 106, "error_code": 0},
                {"frame_type": "ping"},
                {"frame_type": "handshake_done"},
                {"frame_type": "connection_close", "raw_error_code": 1, "reason": "no"},
            ],
        },
    }


def test_metrics_and_congestion_states() -> None:
    log = Collected()
    log.trace.started(bytes(8), 0.0)
    log.trace.metrics(METRICS, 0.1)
    log.trace.metrics(METRICS, 0.2)
    log.trace.metrics(METRICS._replace(cuts=1, slow_start=False, ssthresh=6000.0), 0.3)
    log.trace.metrics(METRICS._replace(cuts=1, slow_start=False), 0.4)
    updates = log.named("recovery:metrics_updated")
    assert updates[0]["data"] == {
        "smoothed_rtt": 50.0,
        "min_rtt": 40.0,
        "latest_rtt": 60.0,
        "rtt_variance": 10.0,
        "congestion_window": 12000,
        "bytes_in_flight": 2400,
        "pacing_rate": 8_000_000,
        "pto_count": 0,
    }
    assert updates[2]["data"]["ssthresh"] == 6000
    states = [record["data"] for record in log.named("recovery:congestion_state_updated")]
    assert states == [
        {"new": "slow_start"},
        {"old": "slow_start", "new": "recovery"},
        {"old": "recovery", "new": "congestion_avoidance"},
    ]


def test_a_full_trace_says_so_and_stays_within_its_limit() -> None:
    log = Collected(limit_bytes=2000)
    log.trace.started(bytes(8), 0.0)
    for number in range(100):
        log.trace.packet_sent(number, packet(number, wire.PING_FRAME), number / 10)
    log.trace.closed("done", 20.0)
    assert len(log.data) <= 2000
    assert log.records[-1]["name"] == "generic:warning"
    assert "full" in log.records[-1]["data"]["message"]


def connections(log: Collected) -> tuple[Connection, Connection]:
    token = b"a secret of tests"
    config = TransportConfig()
    client = Connection.connect(config, name="cam", token=token, nonce=b"c" * 16, now=0.0)
    server = Connection.accept(config, SESSION, 0.0, log.trace)
    client._take_session(SESSION, 0.0)
    return client, server


def test_a_connections_life_is_on_record_in_order() -> None:
    """A server sends twelve packets to a client that misses two of them, then closes."""
    log = Collected()
    client, server = connections(log)
    for datagram in server.datagrams_to_send(0.0):
        client.receive(datagram, 0.02)
    server.send(1, bytes(12_000), 0.02)
    now = 0.02
    for _ in range(60):
        now = round(now + 0.02, 2)
        for datagram in server.datagrams_to_send(now):
            if wire.parse_header(datagram).packet_number in (4, 5):
                continue  # these two packets are lost
            client.receive(datagram, now + 0.01)
        for datagram in client.datagrams_to_send(now + 0.01):
            server.receive(datagram, now + 0.02)
        server.receive(b"\x01\x04" + server.connection_id + bytes(40), now + 0.02)
        server.on_timer(now + 0.02)
        now = round(now + 0.02, 2)
    server.close(now, "done")
    server.datagrams_to_send(now)
    times = [record["time"] for record in log.records[1:]]
    assert all(earlier <= later for earlier, later in pairwise(times))
    sent = log.named("transport:packet_sent")
    assert len(sent) == server.stats.packets_sent
    assert [event["data"]["header"]["packet_number"] for event in sent] == list(range(len(sent)))
    assert len(log.named("transport:packet_received")) == server.stats.packets_received
    lost = log.named("recovery:packet_lost")
    assert len(lost) == server.stats.packets_lost == 2
    dropped = log.named("transport:packet_dropped")
    assert len(dropped) == server.stats.forged == 60
    assert dropped[0]["data"] == {"raw": {"length": 50}, "trigger": "payload_decrypt_error"}
    assert log.named("recovery:metrics_updated")[-1]["data"]["bytes_in_flight"] == 0
    assert log.named("connectivity:connection_closed")[0]["data"] == {"reason": "done"}
    assert sent[-1]["data"]["frames"] == [
        {"frame_type": "connection_close", "raw_error_code": 0, "reason": "done"}
    ]


def test_the_folder_writes_one_file_per_connection_and_side(tmp_path: Path) -> None:
    with QlogFolder(tmp_path) as folder:
        for side in ("client", "server", "client"):
            trace = folder.trace("cam1", side)  # type: ignore[arg-type]
            assert trace is not None
            trace.started(bytes(8), 0.0)
            for number in range(2000):
                trace.packet_sent(number, packet(number, wire.PING_FRAME), number / 100)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["cam1-client-1.sqlog.gz", "cam1-client-2.sqlog.gz", "cam1-server-1.sqlog.gz"]
    for path in tmp_path.iterdir():
        records = parsed(gzip.decompress(path.read_bytes()))
        assert len(records) == 2002
        assert records[-1]["data"]["header"]["packet_number"] == 1999
    assert folder.left_out == 0


def test_traces_take_a_tenth_of_the_room(tmp_path: Path) -> None:
    with QlogFolder(tmp_path) as folder:
        trace = folder.trace("cam1", "client")
        assert trace is not None
        trace.started(bytes(8), 0.0)
        for number in range(2000):
            trace.packet_sent(number, packet(number, wire.PING_FRAME), number / 100)
    [path] = tmp_path.iterdir()
    assert path.stat().st_size < len(gzip.decompress(path.read_bytes())) / 10


def test_a_killed_process_leaves_every_batch_that_was_written() -> None:
    handed: list[bytes] = []
    file = io.BytesIO()
    traced = _TraceFile(lambda _, batch: handed.append(batch), file)
    for record in (b"\x1e{}\n", b'\x1e{"time":1}\n'):
        traced.add(record)
        traced.hand_over()
        traced.write(handed[-1])
    left = zlib.decompressobj(wbits=31).decompress(file.getvalue())
    assert parsed(left) == [{}, {"time": 1}]


def test_the_folder_stays_within_its_limit_and_tells(tmp_path: Path) -> None:
    with QlogFolder(tmp_path, folder_bytes=200_000) as folder:
        trace = folder.trace("cam1", "client")
        assert trace is not None
        trace.started(bytes(8), 0.0)
        for number in range(5000):
            trace.packet_sent(number, packet(number, wire.PING_FRAME), 0.0)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 200_000
    assert folder.left_out > 0
    folder.close()


def test_where_nothing_can_be_written_there_is_no_trace(tmp_path: Path) -> None:
    with QlogFolder(tmp_path / "missing") as folder:
        assert folder.trace("cam1", "client") is None
        assert folder.left_out == 1
