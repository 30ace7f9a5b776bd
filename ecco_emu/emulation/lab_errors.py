"""The one place where the link lab's errors become the project's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import netns
from ecco_emu.core.errors import EccoError, HostError, ScenarioError


@contextmanager
def lab_errors(doing: str, *, incapable: type[EccoError] = HostError) -> Iterator[None]:
    """Within the block an error of the lab becomes one that says what was being done, and whose fault it is.

    A value that no link can have is the scenario's. Something that the host or the engine cannot do is
    ``incapable``'s: the host's, unless a link was asked for something for which it was not made.
    """
    try:
        yield
    except netns.SpecError as error:
        raise ScenarioError(f"{doing}: {error}") from error
    except netns.CapabilityError as error:
        raise incapable(f"{doing}: {error}") from error
    except netns.LabError as error:
        raise HostError(f"{doing}: {error}") from error
