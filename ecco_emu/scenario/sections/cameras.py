"""``cameras``: where each stands, what it sees, how it is connected."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from ecco_emu.scenario.sections.base import Identifier, Length, Number, Strict, Whole
from ecco_emu.scenario.sections.network import CameraUplinkSection


class SourceSection(Strict):
    """What a camera sees and how it may sample it."""

    look_at: tuple[Length, Length]
    """The point on the ground in the middle of the picture."""
    height: Annotated[Length, Field(gt=0.5, le=100)] = 8.0
    """Of the camera over the ground."""
    fov: Annotated[Number, Field(ge=20, le=120)] = 70.0
    """Horizontal field of view in degrees."""
    fps: Annotated[Number, Field(gt=0, le=60)] = 10.0
    """Frame clock: the most the camera can sample."""
    size: tuple[Annotated[Whole, Field(ge=64, le=1920)], Annotated[Whole, Field(ge=64, le=1088)]] = (
        320,
        192,
    )
    """Width and height in pixels, each a multiple of 32."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.size[0] % 32 or self.size[1] % 32:
            raise ValueError("width and height must be multiples of 32, the detector's stride")
        return self


class CameraSection(Strict):
    """One camera: where it stands, what it sees, how it is connected."""

    id: Identifier
    """Its name, one of its own; not server, bottleneck, downlink or switch."""
    at: tuple[Length, Length]
    """Where it stands: x to the east, y to the north, from the middle of the town."""
    source: SourceSection
    """What it sees."""
    uplink: CameraUplinkSection | None = None
    """Overrides of network.uplink for this camera; keys left out are as there."""
