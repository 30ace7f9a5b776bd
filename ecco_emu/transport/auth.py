"""Authentication: every datagram ends in a truncated keyed BLAKE2b (RFC 7693) over all bytes before it.

Peers share a secret token. Handshake datagrams are sealed with keys derived from the token alone. There is
one key per direction, so that a reflected datagram is not authentic. Data datagrams are sealed with keys
derived from the token and both sides' nonces, so that a recording of an earlier connection is not authentic.
Contents are authentic but not encrypted.
"""

from __future__ import annotations

import hashlib
from hmac import compare_digest
from typing import NamedTuple

from ecco_emu.transport.wire import CONNECTION_ID_BYTES, TAG_BYTES

MIN_TOKEN_BYTES = 8


class Seal:
    """Signs and checks datagrams under one key."""

    __slots__ = ("_mac",)

    def __init__(self, key: bytes) -> None:
        # Copying a keyed hash is cheaper than setting one up for every datagram.
        self._mac = hashlib.blake2b(key=key, digest_size=TAG_BYTES)

    def sign(self, body: bytes) -> bytes:
        """``body`` with its tag."""
        mac = self._mac.copy()
        mac.update(body)
        return body + mac.digest()

    def verify(self, datagram: bytes) -> bool:
        """Whether the datagram's tag is right. Takes the same time wherever the tags differ."""
        mac = self._mac.copy()
        mac.update(memoryview(datagram)[:-TAG_BYTES])
        return compare_digest(mac.digest(), datagram[-TAG_BYTES:])


class Session(NamedTuple):
    """The names and keys that both sides hold when the handshake is done."""

    name: str
    """The client's name: the camera's id."""
    connection_id: bytes
    client_key: bytes
    server_key: bytes


def check_token(token: bytes) -> bytes:
    """Returns the token. Raises ``ValueError`` if it is too short to be secret."""
    if len(token) < MIN_TOKEN_BYTES:
        raise ValueError(f"a token needs at least {MIN_TOKEN_BYTES} bytes, got {len(token)}")
    return token


def derive(token: bytes, purpose: bytes, *context: bytes, size: int = 32) -> bytes:
    """A key or an id that only holders of the token can make. ``purpose``: at most 16 bytes."""
    key = hashlib.blake2b(token, person=b"ecco token").digest()
    mac = hashlib.blake2b(key=key, person=purpose, digest_size=size)
    for part in context:
        # The length before each part keeps ("ab", "c") and ("a", "bc") apart.
        mac.update(len(part).to_bytes(4, "big"))
        mac.update(part)
    return mac.digest()


def handshake_seals(token: bytes, name: str) -> tuple[Seal, Seal]:
    """Seals of the client's and of the server's handshake datagrams."""
    label = name.encode()
    return Seal(derive(token, b"hello client", label)), Seal(derive(token, b"hello server", label))


def session(token: bytes, name: str, client_nonce: bytes, server_nonce: bytes) -> Session:
    """Derives the connection id and both keys. Both sides derive the same ones."""
    context = (name.encode(), client_nonce, server_nonce)
    return Session(
        name=name,
        connection_id=derive(token, b"connection id", *context, size=CONNECTION_ID_BYTES),
        client_key=derive(token, b"data client", *context),
        server_key=derive(token, b"data server", *context),
    )
