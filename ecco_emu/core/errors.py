"""Errors that say whose fault it was: the scenario's, the host's, the peer's or ours.

Every error that may reach a person carries the exit code that the command line ends with (2 bad input, 3 this
host cannot do it) and says in its message what the person can do about it. One that should never have come so
far is a fault of ours, and has the code for those (70). None has 1, which says that an expectation failed.
"""

from __future__ import annotations


class EccoError(Exception):
    """Base of every error this package raises on purpose."""

    exit_code = 70


class ScenarioError(EccoError):
    """The scenario (or an argument) is wrong; the person who wrote it can correct it."""

    exit_code = 2


class HostError(EccoError):
    """This host cannot do the thing that was asked for: privileges, a qdisc or a library are missing."""

    exit_code = 3


class PeerError(EccoError):
    """The other end of a connection sent something that it must not send. Never fatal to this end."""


class ProtocolError(PeerError):
    """A datagram or message from the network does not parse. It is counted and dropped."""
