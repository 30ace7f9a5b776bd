"""``world``: the source of frames and labels."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ecco_emu.scenario.sections.base import Identifier, Length, Strict, Time, Whole

Weather = Literal["day", "night", "rain", "fog"]


class WeatherChangeSection(Strict):
    """The weather from a time on."""

    at: Annotated[Time, Field(ge=0)]
    """When it begins to change; the first is at 0s."""
    is_: Weather = Field(alias="is")
    """``day``, ``night``, ``rain`` or ``fog``."""
    fade: Annotated[Time, Field(ge=0)] = 1.0
    """How long the change takes."""


class DistrictSection(Strict):
    """A part of town with weather and light of its own."""

    name: Identifier
    """The district's name, which no other district has."""
    center: tuple[Length, Length]
    """Its middle: x to the east, y to the north, from the middle of the town."""
    radius: Annotated[Length, Field(gt=0)]
    """How far it reaches from its middle."""
    weather: Annotated[tuple[WeatherChangeSection, ...], Field(min_length=1)]
    """Its weather over time, in order."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        times = [change.at for change in self.weather]
        if times != sorted(set(times)):
            raise ValueError("weather changes must be in order of time, no two at once")
        if times[0] != 0:
            raise ValueError("the first weather must be at 0s")
        return self


class TownSection(Strict):
    """A rendered town: roads, buildings, trees, cars, trucks, pedestrians."""

    seed: Annotated[Whole, Field(ge=0, lt=2**32)] = 1
    """Which town: buildings and traffic follow from it and from the run's seed. The grid of streets is
    fixed."""
    size: Annotated[Length, Field(ge=60, le=2000)] = 300.0
    """Side of the square town, centred on (0 m, 0 m)."""
    cars: Annotated[Whole, Field(ge=0, le=500)] = 60
    """Cars in the whole town."""
    trucks: Annotated[Whole, Field(ge=0, le=200)] = 16
    """Trucks in the whole town."""
    pedestrians: Annotated[Whole, Field(ge=0, le=1000)] = 120
    """Pedestrians in the whole town."""
    districts: Annotated[tuple[DistrictSection, ...], Field(min_length=1)]
    """Parts of the town with a weather of their own."""


class WorldSection(Strict):
    """The source of frames and labels."""

    town: TownSection
    """A rendered town."""
