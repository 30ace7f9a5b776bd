"""The errors of the link lab. The type says whose fault it was, and the message says what to do about it."""

from __future__ import annotations

from netns.privileges import way_out


class LabError(Exception):
    """Base of every error that ``netns`` raises on purpose."""


class SpecError(LabError):
    """The caller's fault: a value out of range, an unknown node, too many links."""


class PrivilegeError(LabError):
    """The host's fault: it does not allow this process something, which ``what`` names. The message has the
    way out too."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"{what}: {way_out()}")


class CapabilityError(LabError):
    """The host's fault, or its kernel's: something that the specification needs is not there."""


class LinkVanishedError(LabError):
    """Another program removed a device of a running lab."""


class RelayDiedError(LabError):
    """The relay process ended while the lab was running. Its links carry nothing any more."""
