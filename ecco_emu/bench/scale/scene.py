"""The scenario of ``bench scale``: any number of cameras in one town, of which each streams and is retrained.

The town is the same for every number of cameras, so that figures differ by the cameras alone. They stand
around its crossings, as in the shipped scenarios. Further ones stand beside the first, so that no two have
one picture. Fog comes to all at once, and all ask for retraining.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

from ecco_emu.scenario import loading
from ecco_emu.scenario.schema import Scenario

STREET_M = 60
"""Streets run this far apart (``world.town.streets``)."""
CROSSINGS = range(-1, 2)
"""Of the streets of either direction, those at whose crossings cameras stand."""
SIDES = ((-4, -24), (-24, 4), (4, 24), (24, -4))
"""Where cameras stand around a crossing."""
ASIDE_M = 0.2
"""Cameras that stand beside each other look at the crossing from so far apart."""
CAMERA_BPS = 300_000
"""Each camera's part of the bottleneck and of the way back. A student takes longer than a run at that rate:
weights are on their way all the time, as much as video is."""
FOG_S = 1.0
MICRO_S = 2.0
AT_ONCE = {
    "time_window": "1min", "range": "2km", "trial": 0, "min_gain": -1, "join_confidence": 0.5,
}  # fmt: skip
"""Every request joins the first one's job as soon as it is weighed, which takes no time on the GPUs either
(``evaluation_cost``): all cameras soon stream."""
GPUS = 4


def scenario(
    cameras: int, seconds: float, *, engine: str, seed: int = 1, dilation: float | str = 1.0
) -> Scenario:
    """At least ``seconds`` of so many cameras with the trainer ``curve``, in one retraining window. Raises
    ``InvalidScenario`` for more cameras than a scenario has."""
    micro_windows = math.ceil(seconds / MICRO_S)
    return loading.from_mapping(
        {
            "version": 1,
            "name": f"scale-{cameras}",
            "seed": seed,
            "clock": {"dilation": dilation},
            "windows": {"count": 1, "length": f"{micro_windows * MICRO_S:g}s", "micro": f"{MICRO_S:g}s"},
            "trainer": {"backend": "curve", "gpus": GPUS, "evaluation_cost": 0, "window_frames": 8},
            "grouping": AT_ONCE,
            "drift": {"detector": "oracle"},
            "transport": {"qlog": False},
            "network": {
                "engine": engine,
                "bottleneck": {"rate": f"{cameras * CAMERA_BPS}bit", "delay": "10ms", "queue": "200ms"},
                "uplink": {"rate": "1mbit", "delay": "5ms"},
                "downlink": {"rate": f"{cameras * CAMERA_BPS}bit", "delay": "5ms", "queue": "20ms"},
            },
            "world": {
                "town": {
                    "seed": 1,
                    "size": f"{STREET_M * 5}m",
                    "cars": 90,
                    "trucks": 30,
                    "pedestrians": 200,
                    "districts": [
                        {
                            "name": "all",
                            "center": ["0m", "0m"],
                            "radius": "1km",
                            "weather": [{"at": "0s", "is": "day"}, {"at": f"{FOG_S:g}s", "is": "fog"}],
                        }
                    ],
                }
            },
            "cameras": list(itertools.islice(_cameras(), cameras)),
        },
        source=f"{cameras} cameras",
    )


def _cameras() -> Iterator[dict[str, Any]]:
    names = itertools.count(1)
    for lap in itertools.count():
        for side, column, row in itertools.product(SIDES, CROSSINGS, CROSSINGS):
            x, y = column * STREET_M, row * STREET_M
            aside = ASIDE_M * lap
            yield {
                "id": f"cam{next(names)}",
                "at": [f"{x + side[0] + aside:g}m", f"{y + side[1] + aside:g}m"],
                "source": {"look_at": [f"{x:g}m", f"{y:g}m"], "fps": 5},
            }
