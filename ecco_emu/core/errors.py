"""Errors that say whose fault it was: the scenario's, the host's, the peer's or ours.

Every error that may reach a person has the command line's exit code (2: bad input, 3: this host cannot; see
docs/reference/command-line.md). Its message says how to get out of the problem.
"""

from __future__ import annotations


class EccoError(Exception):
    """Base of every error this package raises on purpose."""

    exit_code = 1


class ScenarioError(EccoError):
    """The scenario (or an argument) is wrong; the person who wrote it can mend it."""

    exit_code = 2


class HostError(EccoError):
    """This host cannot do what was asked: privileges, a missing qdisc, a missing library."""

    exit_code = 3


class PeerError(EccoError):
    """The other end of a connection sent something it must not send."""


class ProtocolError(PeerError):
    """A datagram or message from the network does not parse. It is counted and dropped."""
