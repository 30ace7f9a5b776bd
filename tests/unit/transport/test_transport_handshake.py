"""The handshake: which clients get a connection, which do not, and the server's cost in memory."""

from __future__ import annotations

import pytest

from ecco_emu.core.errors import ProtocolError
from ecco_emu.transport import wire
from ecco_emu.transport.auth import Seal, Session
from ecco_emu.transport.config import TransportConfig
from ecco_emu.transport.handshake import ClientHandshake, ServerHandshake

TOKEN = b"a secret of tests"


def client(name: str = "cam1", token: bytes = TOKEN, nonce: bytes = b"n" * 16) -> ClientHandshake:
    return ClientHandshake(TransportConfig(), name=name, token=token, nonce=nonce, now=0.0)


def server() -> ServerHandshake:
    return ServerHandshake({"cam1": TOKEN, "cam2": b"another secret"}, secret=b"s" * 32)


def hello(handshake: ClientHandshake, now: float = 0.0) -> bytes:
    datagram = handshake.datagram(now)
    assert datagram is not None
    return datagram


def test_both_sides_agree() -> None:
    camera, listening = client(), server()
    challenge = listening.receive(hello(camera), b"addr", 0.0)
    assert isinstance(challenge, bytes)
    mine = camera.receive(challenge, 0.02)
    theirs = listening.receive(hello(camera, 0.02), b"addr", 0.03)
    assert mine == theirs
    assert isinstance(theirs, Session)
    assert theirs.name == "cam1"
    assert theirs.client_key != theirs.server_key


def test_no_answer_is_larger_than_its_question() -> None:
    question = hello(client())
    answer = server().receive(question, b"addr", 0.0)
    assert isinstance(answer, bytes)
    assert len(answer) <= len(question)


@pytest.mark.parametrize(
    ("name", "token"), [("cam1", b"wrong secret"), ("cam9", TOKEN), ("cam2", TOKEN)], ids=str
)
def test_strangers_get_no_answer(name: str, token: bytes) -> None:
    listening = server()
    assert listening.receive(hello(client(name, token)), b"addr", 0.0) is None
    assert listening.rejected == 1


def test_a_response_counts_only_from_the_challenged_address_and_only_for_a_while() -> None:
    camera, listening = client(), server()
    challenge = listening.receive(hello(camera), b"addr", 5.0)
    assert isinstance(challenge, bytes)
    camera.receive(challenge, 5.0)
    response = hello(camera, 5.0)
    assert listening.receive(response, b"elsewhere", 5.1) is None
    assert listening.receive(response, b"addr", 35.0) is None
    assert isinstance(listening.receive(response, b"addr", 12.0), Session)


def test_a_replayed_response_makes_nothing() -> None:
    camera, listening = client(), server()
    challenge = listening.receive(hello(camera), b"addr", 0.0)
    assert isinstance(challenge, bytes)
    camera.receive(challenge, 0.0)
    response = hello(camera, 0.0)
    assert isinstance(listening.receive(response, b"addr", 0.1), Session)
    assert listening.receive(response, b"addr", 0.2) is None


def test_a_client_takes_no_challenge_from_strangers_or_for_others() -> None:
    camera, other, listening = client(), client(nonce=b"o" * 16), server()
    challenge = listening.receive(hello(other), b"addr", 0.0)
    assert isinstance(challenge, bytes)
    with pytest.raises(ProtocolError, match="somebody else"):
        camera.receive(challenge, 0.0)
    forged = Seal(b"k" * 32).sign(challenge[: -wire.TAG_BYTES])
    with pytest.raises(ProtocolError, match="not authentic"):
        camera.receive(forged, 0.0)
    reflected = hello(camera)
    with pytest.raises(ProtocolError, match="not authentic"):
        camera.receive(reflected, 0.0)


def test_attempts_back_off() -> None:
    camera = client()
    attempts = []
    for now_ms in range(0, 5000, 10):
        if camera.datagram(now_ms / 1000) is not None:
            attempts.append(now_ms / 1000)
    assert attempts == [0.0, 0.25, 0.75, 1.75, 2.75, 3.75, 4.75]


def test_a_restarted_server_is_asked_again() -> None:
    camera, before, after = client(), server(), ServerHandshake({"cam1": TOKEN}, secret=b"t" * 32)
    challenge = before.receive(hello(camera), b"addr", 0.0)
    assert isinstance(challenge, bytes)
    camera.receive(challenge, 0.0)
    now, agreed = 0.0, None
    while agreed is None and now < 9.0:
        now += 0.05
        datagram = camera.datagram(now)
        answer = after.receive(datagram, b"addr", now) if datagram else None
        if isinstance(answer, bytes):
            camera.receive(answer, now)
        elif answer is not None:
            agreed = answer
    assert agreed is not None


@pytest.mark.parametrize("size", [0, 10, 26, 159, 161])
def test_other_sizes_are_rejected(size: int) -> None:
    listening = server()
    assert listening.receive(b"\x01\x01" + bytes(size), b"addr", 0.0) is None
    assert listening.rejected == 1


def test_short_tokens_and_long_names_are_refused() -> None:
    with pytest.raises(ValueError, match="token"):
        client(token=b"short")
    with pytest.raises(ValueError, match="name"):
        client(name="x" * 65)
