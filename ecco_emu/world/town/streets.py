"""The grid of streets, and the kinds and sizes of the movers on it. Pure."""

from __future__ import annotations

from typing import Literal

Kind = Literal["car", "truck", "pedestrian"]
KINDS: tuple[Kind, ...] = ("car", "truck", "pedestrian")
"""The kinds of movers, by the number that stands for each in arrays. Vehicles come first."""
PEDESTRIAN = KINDS.index("pedestrian")
"""The first number that is no vehicle's."""

PITCH_M = 60.0
"""Distance between parallel roads."""
ROAD_HALF_M = 4.0
LANE_M = 2.0
"""Centre of a lane from the centre of its road."""
PAVEMENT_M = 2.6
"""Width of a pavement, outside the road's edge."""
CORRIDOR_HALF_M = ROAD_HALF_M + PAVEMENT_M
"""Nothing is built nearer to the centre of a road than this."""
EDGE_M = 12.0
"""From the outermost road's centre to the edge of town, at least."""

SIZES: dict[Kind, tuple[float, float, float]] = {
    "car": (4.3, 1.85, 1.55),
    "truck": (7.6, 2.4, 3.2),
    "pedestrian": (0.62, 0.66, 1.8),
}
"""Length (along the heading), width and height in metres."""

PALETTES: dict[Kind, int] = {"car": 9, "truck": 6, "pedestrian": 10}
"""The number of looks that each kind has."""


def road_lines(size_m: float) -> tuple[float, ...]:
    """The middle lines of the roads in a town of this size, metres, the same for both directions."""
    reach = size_m / 2 - EDGE_M
    if reach < PITCH_M:  # too small for the grid: the middle and the two edges, so that there are blocks
        return (-reach, 0.0, reach)
    count = int(reach // PITCH_M)
    return tuple(PITCH_M * k for k in range(-count, count + 1))
