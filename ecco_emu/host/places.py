"""Where a run's coroutines go on: on the caller's own event loop, or on a virtual one in a thread."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class LoopPlace(Protocol):
    """An event loop to which coroutines can be handed from the caller's."""

    @property
    def failure(self) -> BaseException | None:
        """The error by which the loop itself came to an end, if it did."""
        ...

    async def call(self, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Runs the coroutine that ``function`` makes there, and returns its result or raises its error."""
        ...

    async def close(self) -> None:
        """Ends all that is left there."""
        ...


class Here:
    """The caller's own event loop."""

    failure = None

    async def call(self, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return await function()

    async def close(self) -> None:
        return
