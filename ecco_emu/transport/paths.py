"""The peer's address, and how it may change (after RFC 9000 section 9).

An authentic packet that is newer than all others and comes from elsewhere only makes that address a
candidate: whoever captured a packet can send it from anywhere. Data goes on to the address that is known
until the candidate has answered a challenge, from itself. A challenge leaves for every such packet and
is smaller than twice the smallest of them, so there is nothing to amplify and no timer to keep. Tokens need
not be secret: answers are sealed like everything else and count only from the candidate itself.
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
        """The client's side stays with the server it asked for."""
        self._candidate: Address = None
        self._due = False
        self._token = 0

    def on_newest(self, address: Address) -> None:
        """An authentic packet, newer than all before it, came from ``address``."""
        if address == self.current or address is None or not self.may_move:
            self._candidate = None  # the peer is where it was
            self._due = False
            return
        if address != self._candidate:
            self._candidate = address
            self._token += 1  # an answer to an earlier candidate's challenge is worth nothing here
        self._due = True

    def challenge(self) -> tuple[int, Address] | None:
        """The token to send, and where to, once for every packet that asked for it."""
        if not self._due:
            return None
        self._due = False
        return self._token, self._candidate

    def on_response(self, token: int, address: Address) -> bool:
        """An authentic answer came from ``address``. True: that is the peer's address from now on."""
        if self._candidate is None or token != self._token or address != self._candidate:
            return False
        self.current, self._candidate, self._due = address, None, False
        return True
