"""``cameras``: each one's place, view and uplink."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from ecco_emu.scenario.sections.base import Identifier, Length, Number, Strict, Whole
from ecco_emu.scenario.sections.network import CameraUplinkSection

PictureSize = tuple[Annotated[Whole, Field(ge=64, le=1920)], Annotated[Whole, Field(ge=64, le=1088)]]


class SourceSection(Strict):
    """The picture that a camera takes, and how often it can take one."""

    look_at: tuple[Length, Length]
    """The point on the ground in the middle of the picture."""
    height: Annotated[Length, Field(gt=0.5, le=100)] = 8.0
    """Height of the camera over the ground."""
    fov: Annotated[Number, Field(ge=20, le=120)] = 70.0
    """Horizontal field of view in degrees."""
    fps: Annotated[Number, Field(gt=0, le=60)] = 10.0
    """Rate of the frame clock in frames per second: the most that the camera can sample."""
    size: PictureSize = (320, 192)
    """Width and height in pixels, each a multiple of 32."""
    infer_size: PictureSize | None = None
    """Width and height, multiples of 32, in which the camera's student looks at the pictures; by default
    those that the student was made for. Pictures that are sent for training have a size of their own
    (``table``)."""
    table: str | None = None
    """The camera's sampling table, instead of trainer.table: a name in profiles/tables/ or a path."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if any(side % 32 for side in (*self.size, *(self.infer_size or ()))):
            raise ValueError("width and height must be multiples of 32, the detector's stride")
        return self


class CameraSection(Strict):
    """One camera: its place, its view and its uplink."""

    id: Identifier
    """Its name, which no other camera has; not server, bottleneck, downlink or switch."""
    at: tuple[Length, Length]
    """Where it stands: x to the east, y to the north, from the middle of the town."""
    source: SourceSection
    """Its view."""
    uplink: CameraUplinkSection | None = None
    """Overrides of network.uplink for this camera; keys left out are as in network.uplink."""
