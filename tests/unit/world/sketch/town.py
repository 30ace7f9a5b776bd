"""A small town with two cameras: one sees fog come, the other has smaller pictures."""

from __future__ import annotations

from typing import Any

from ecco_emu.scenario import schema
from ecco_emu.scenario.loading import from_mapping


def scenario(**changes: Any) -> schema.Scenario:
    def district(name: str, y: int, weather: list[dict[str, str]]) -> dict[str, object]:
        return {"name": name, "center": ["0m", f"{y}m"], "radius": "50m", "weather": weather}

    return from_mapping(
        {
            "version": 1,
            "name": "two-eyes",
            "seed": 3,
            "trainer": {"backend": "curve"},
            "world": {
                "town": {
                    "size": "160m",
                    "cars": 30,
                    "trucks": 6,
                    "pedestrians": 40,
                    "districts": [
                        district("north", 50, [{"at": "0s", "is": "day"}, {"at": "10s", "is": "fog"}]),
                        district("south", -50, [{"at": "0s", "is": "night"}]),
                    ],
                }
            },
            "cameras": [
                {"id": "cam1", "at": ["5m", "30m"], "source": {"look_at": ["0m", "58m"]}},
                {
                    "id": "cam2",
                    "at": ["5m", "-30m"],
                    "source": {"look_at": ["0m", "-58m"], "size": [160, 96], "fps": 5},
                },
            ],
            **changes,
        }
    )
