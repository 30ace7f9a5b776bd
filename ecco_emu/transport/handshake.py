"""The handshake: HELLO, CHALLENGE, RESPONSE, and then data.

The server answers a HELLO without keeping state. Its nonce is a keyed hash of the client's address, nonce and
name and of the time (a cookie, as in RFC 9000 section 8.1). A RESPONSE with that nonce proves that the client
receives datagrams at its address, and that the RESPONSE is not a recording. Client datagrams are padded, so
that no answer is larger than its request and the server cannot be used to amplify traffic.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from hmac import compare_digest
from typing import Final

from ecco_emu.core.errors import ProtocolError
from ecco_emu.transport import auth, wire
from ecco_emu.transport.config import TransportConfig

NONCE_BYTES: Final = 16
MAX_NAME_BYTES: Final = 64
REQUEST_BYTES: Final = 160
"""Size of a HELLO and of a RESPONSE."""
_COOKIE_PERIOD_S: Final = 10.0
"""A server nonce is valid in the period in which it was made and in the next one: for 10 to 20 s."""
_MAX_SPENT: Final = 4096
"""Connection ids remembered at most, so that clients with a valid token cannot fill memory."""
_NO_ID: Final = bytes(wire.CONNECTION_ID_BYTES)
_RESPONSES_PER_CHALLENGE: Final = 4
"""Unanswered RESPONSEs after which the client begins again with HELLO."""


def _request(kind: int, seal: auth.Seal, name: str, client_nonce: bytes, server_nonce: bytes) -> bytes:
    label = name.encode()
    body = b"".join(
        (
            wire.HEADER.pack(wire.VERSION, kind, _NO_ID, 0),
            client_nonce,
            server_nonce,
            bytes([len(label)]),
            label,
        )
    )
    return seal.sign(body.ljust(REQUEST_BYTES - wire.TAG_BYTES, b"\0"))


def _parse_request(datagram: bytes) -> tuple[str, bytes, bytes]:
    """Returns name, client nonce and server nonce of a HELLO or RESPONSE. Raises ``ProtocolError``.

    Runs before authentication, because the name decides which key to use.
    """
    if len(datagram) != REQUEST_BYTES:
        raise ProtocolError(f"a handshake datagram has {REQUEST_BYTES} bytes, not {len(datagram)}")
    position = wire.HEADER.size + 2 * NONCE_BYTES
    length = datagram[position]
    if not 0 < length <= MAX_NAME_BYTES:
        raise ProtocolError("a handshake with a name that is empty or too long")
    try:
        name = datagram[position + 1 : position + 1 + length].decode()
    except UnicodeDecodeError as error:
        raise ProtocolError("a handshake with a name that is not UTF-8") from error
    nonces = datagram[wire.HEADER.size : position]
    return name, nonces[:NONCE_BYTES], nonces[NONCE_BYTES:]


class ClientHandshake:
    """The client's side: makes the datagrams, times their repetition, and derives the session.

    Raises ``ValueError`` for a nonce, name or token of the wrong length.
    """

    def __init__(self, config: TransportConfig, *, name: str, token: bytes, nonce: bytes, now: float) -> None:
        if len(nonce) != NONCE_BYTES:
            raise ValueError(f"the nonce has {NONCE_BYTES} bytes")
        if not 0 < len(name.encode()) <= MAX_NAME_BYTES:
            raise ValueError(f"a name has 1 to {MAX_NAME_BYTES} bytes, got {name!r}")
        self._config = config
        self._name = name
        self._token = auth.check_token(token)
        self._nonce = nonce
        self._own, self._server = auth.handshake_seals(token, name)
        self._server_nonce: bytes | None = None
        self._responses = 0
        self._interval_s = config.handshake_retry_s
        self.next_attempt_s = now
        self.deadline_s = now + config.handshake_timeout_s

    def datagram(self, now: float) -> bytes | None:
        """The next HELLO or RESPONSE, or None if none is due."""
        if now < self.next_attempt_s:
            return None
        self.next_attempt_s = now + self._interval_s
        self._interval_s = min(2 * self._interval_s, max(1.0, self._config.handshake_retry_s))
        if self._server_nonce is not None and self._responses >= _RESPONSES_PER_CHALLENGE:
            # A server that has restarted does not know the nonce: ask for a new challenge.
            self._server_nonce = None
        if self._server_nonce is None:
            return _request(wire.HELLO, self._own, self._name, self._nonce, bytes(NONCE_BYTES))
        self._responses += 1
        return _request(wire.RESPONSE, self._own, self._name, self._nonce, self._server_nonce)

    def receive(self, datagram: bytes, now: float) -> auth.Session | None:
        """Returns the session that a CHALLENGE establishes, or None for a repeated one.

        Raises ``ProtocolError`` for a challenge that is forged or meant for another client.
        """
        if len(datagram) != wire.OVERHEAD_BYTES + 2 * NONCE_BYTES or not self._server.verify(datagram):
            raise ProtocolError("a challenge that is not authentic")
        nonces = datagram[wire.HEADER.size : -wire.TAG_BYTES]
        if nonces[:NONCE_BYTES] != self._nonce:
            raise ProtocolError("a challenge for somebody else")
        if nonces[NONCE_BYTES:] == self._server_nonce:
            return None
        self._server_nonce = nonces[NONCE_BYTES:]
        self._responses = 0
        self.next_attempt_s = now
        self._interval_s = self._config.handshake_retry_s
        return auth.session(self._token, self._name, self._nonce, self._server_nonce)


class ServerHandshake:
    """The server's side, for all clients. Its only state are the ids of recent connections.

    ``tokens``: the secret of every name. Raises ``ValueError`` for a token that is too short.
    """

    def __init__(self, tokens: Mapping[str, bytes], *, secret: bytes) -> None:
        for token in tokens.values():
            auth.check_token(token)
        self._tokens = tokens
        self._secret = secret
        self._seals: dict[tuple[str, bytes], tuple[auth.Seal, auth.Seal]] = {}
        self._spent: dict[bytes, float] = {}
        self.rejected = 0
        """Handshake datagrams that were forged, malformed, stale or from unknown names."""

    def receive(self, datagram: bytes, address: bytes, now: float) -> bytes | auth.Session | None:
        """Returns a CHALLENGE to send back, the session of a new connection, or None. Never raises.

        ``address``: the client's, as bytes that are the same for the same address.
        """
        try:
            return self._receive(datagram, address, now)
        except ProtocolError:
            self.rejected += 1
            return None

    def release(self, session: auth.Session) -> None:
        """Forgets a session whose connection found no room, so that the client's next RESPONSE may
        succeed."""
        self._spent.pop(session.connection_id, None)

    def _receive(self, datagram: bytes, address: bytes, now: float) -> bytes | auth.Session | None:
        kind = wire.parse_header(datagram).type
        name, client_nonce, server_nonce = _parse_request(datagram)
        token = self._tokens.get(name)
        if token is None:
            raise ProtocolError("an unknown name")
        client, server = self._seals_of(name, token)
        if not client.verify(datagram):
            raise ProtocolError("a handshake that is not authentic")
        period = int(now // _COOKIE_PERIOD_S)
        # The answer is a function of the request and the time, so that repeated HELLOs cost no memory.
        if kind == wire.HELLO:
            header = wire.HEADER.pack(wire.VERSION, wire.CHALLENGE, _NO_ID, 0)
            cookie = self._cookie(address, name, client_nonce, period)
            return server.sign(header + client_nonce + cookie)
        if kind != wire.RESPONSE:
            raise ProtocolError("not a client's handshake datagram")
        if not any(
            compare_digest(server_nonce, self._cookie(address, name, client_nonce, at))
            for at in (period, period - 1)
        ):
            raise ProtocolError("a stale or foreign server nonce")
        return self._spend(auth.session(token, name, client_nonce, server_nonce), now)

    def _seals_of(self, name: str, token: bytes) -> tuple[auth.Seal, auth.Seal]:
        key = (name, token)
        seals = self._seals.get(key)
        if seals is None:
            seals = self._seals[key] = auth.handshake_seals(token, name)
        return seals

    def _cookie(self, address: bytes, name: str, client_nonce: bytes, period: int) -> bytes:
        mac = hashlib.blake2b(key=self._secret, person=b"cookie", digest_size=NONCE_BYTES)
        for part in (address, name.encode(), client_nonce, str(period).encode()):
            mac.update(len(part).to_bytes(4, "big"))
            mac.update(part)
        return mac.digest()

    def _spend(self, session: auth.Session, now: float) -> auth.Session | None:
        """Returns the session the first time. A second RESPONSE for it is a repeat or a replay: None."""
        if session.connection_id in self._spent:
            return None
        # Ids older than two periods may be forgotten: their server nonces are no longer valid.
        if len(self._spent) >= _MAX_SPENT:
            fresh = now - 2 * _COOKIE_PERIOD_S
            self._spent = {key: at for key, at in self._spent.items() if at > fresh}
            if len(self._spent) >= _MAX_SPENT:
                raise ProtocolError("too many handshakes")
        self._spent[session.connection_id] = now
        return session
