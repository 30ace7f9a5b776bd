"""The peer's address, and how it may change (after RFC 9000 section 9).

When an authentic packet, newer than all before it, comes from another address, that address becomes a
*candidate* and no more, because an attacker can send a captured packet from anywhere. Data still go to the
known address until the candidate has answered a challenge from that very address.

Every such packet triggers one challenge. The challenge is smaller than twice the smallest such packet, so an
attacker cannot use it to amplify traffic, and a lost challenge is replaced without a timer. Tokens need not
be secret: an answer is authenticated like any other packet, and counts only if it comes from the candidate.
"""

from __future__ import annotations

from typing import Any

Address = Any
"""A peer's address as ``recvfrom`` returns it. The transport only compares and stores it."""


class Paths:
    """The address in use, and at most one candidate."""

    __slots__ = ("_candidate", "_due", "_token", "current", "may_move")

    def __init__(self) -> None:
        self.current: Address = None
        self.may_move = True
        """False at the client, which stays with the server address it was given."""
        self._candidate: Address = None
        self._due = False
        self._token = 0

    def on_newest(self, address: Address) -> None:
        """Takes the source address of an authentic packet that is newer than all before it."""
        if address == self.current or address is None or not self.may_move:
            # The peer is still where it was, so a packet from the candidate was a captured one.
            self._candidate = None
            self._due = False
            return
        if address != self._candidate:
            self._candidate = address
            self._token += 1  # an answer to an earlier candidate's challenge must not validate this one
        self._due = True

    def challenge(self) -> tuple[int, Address] | None:
        """Returns the token and the address of a challenge to send, once for every packet that triggered
        it."""
        if not self._due:
            return None
        self._due = False
        return self._token, self._candidate

    def on_response(self, token: int, address: Address) -> bool:
        """Takes an authentic answer from ``address``. Returns whether that becomes the peer's address."""
        if self._candidate is None or token != self._token or address != self._candidate:
            return False
        self.current, self._candidate, self._due = address, None, False
        return True
