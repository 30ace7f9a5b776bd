"""Errors of the link lab: each says whose fault it was and the way out."""

from __future__ import annotations


class LabError(Exception):
    """Base of every error that ``netns`` raises on purpose."""


class SpecError(LabError):
    """The caller's: a value out of range, an unknown node, too many links."""


class PrivilegeError(LabError):
    """The host's: this process may not make namespaces or network devices."""


class CapabilityError(LabError):
    """The host's or the kernel's: something that the spec needs is not there."""


class LinkVanishedError(LabError):
    """A device of a running lab was removed by somebody else."""


class RelayDiedError(LabError):
    """The relay process ended while the lab was running: its links carry nothing any more."""
