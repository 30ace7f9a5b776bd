"""Sets of integers kept as sorted, disjoint, half-open ranges: packet numbers and byte offsets."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator


class RangeSet:
    """A set of ``[start, end)`` ranges. Ranges that touch are merged.

    >>> held = RangeSet(); held.add(0, 5); held.add(9, 12); held.add(5, 7); list(held)
    [(0, 7), (9, 12)]
    """

    __slots__ = ("_ends", "_starts", "total")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self.total = 0
        """How many integers are in the set."""

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._starts, self._ends, strict=True)

    def __len__(self) -> int:
        """The number of ranges."""
        return len(self._starts)

    def __contains__(self, value: int) -> bool:
        index = bisect_right(self._starts, value) - 1
        return index >= 0 and value < self._ends[index]

    @property
    def first(self) -> tuple[int, int]:
        return self._starts[0], self._ends[0]

    def newest(self, count: int) -> list[tuple[int, int]]:
        """The highest ranges, highest first."""
        return list(zip(self._starts[: -count - 1 : -1], self._ends[: -count - 1 : -1], strict=True))

    def add(self, start: int, end: int) -> None:
        if start >= end:
            return
        starts, ends = self._starts, self._ends
        # Packets and bytes mostly arrive in order. The first two cases then avoid searching.
        if not ends or start > ends[-1]:
            starts.append(start)
            ends.append(end)
            self.total += end - start
            return
        if start >= starts[-1]:
            if end > ends[-1]:
                self.total += end - ends[-1]
                ends[-1] = end
            return
        # The existing ranges from ``low`` up to ``high`` overlap the new one or touch it, and are merged.
        low = bisect_left(ends, start)
        high = bisect_right(starts, end)
        if low < high:
            start = min(start, starts[low])
            end = max(end, ends[high - 1])
            self.total -= sum(ends[low:high]) - sum(starts[low:high])
        self.total += end - start
        starts[low:high] = [start]
        ends[low:high] = [end]

    def remove(self, start: int, end: int) -> None:
        if start >= end:
            return
        starts, ends = self._starts, self._ends
        # The existing ranges from ``low`` up to ``high`` overlap the removed one. Of the outermost two, an
        # end may remain.
        low = bisect_right(ends, start)
        high = bisect_left(starts, end)
        if low >= high:
            return
        new_starts: list[int] = []
        new_ends: list[int] = []
        self.total -= sum(ends[low:high]) - sum(starts[low:high])
        if starts[low] < start:
            new_starts.append(starts[low])
            new_ends.append(start)
        if ends[high - 1] > end:
            new_starts.append(end)
            new_ends.append(ends[high - 1])
        self.total += sum(new_ends) - sum(new_starts)
        starts[low:high] = new_starts
        ends[low:high] = new_ends

    def pop_first(self, limit: int) -> tuple[int, int]:
        """Removes up to ``limit`` integers from the lowest range, and returns them as a range."""
        start, end = self._starts[0], self._ends[0]
        if end - start > limit:
            end = start + limit
            self._starts[0] = end
        else:
            del self._starts[0], self._ends[0]
        self.total -= end - start
        return start, end

    def forget_oldest(self) -> int:
        """Removes the lowest range and returns its end."""
        end = self._ends[0]
        self.total -= end - self._starts[0]
        del self._starts[0], self._ends[0]
        return end
