"""Room for a lab's file descriptors. Most shells begin with a limit of 1024, and allow far more."""

from __future__ import annotations

import contextlib
import os
import resource

from netns.errors import CapabilityError


def make_room(for_more: int) -> None:
    """Makes sure that this process can open ``for_more`` descriptors more than it has now. Its soft limit is
    raised where that is needed, for the relay process too, which inherits it.

    Raises: ``CapabilityError``, which says how many are needed, if the hard limit is lower.
    """
    needed = len(os.listdir("/proc/self/fd")) + for_more
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if needed <= soft:
        return
    if needed > hard:
        raise CapabilityError(
            f"too few open files are allowed: {needed} are needed, and the hard limit is {hard}. Raise it: "
            f"`ulimit -Hn {needed}` as root, LimitNOFILE={needed} in a systemd unit, or "
            f"--ulimit nofile={needed} for a container"
        )
    # To the hard limit, not just to the number that is needed: nothing is gained by a second close limit.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
