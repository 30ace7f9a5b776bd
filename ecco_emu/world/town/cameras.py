"""A town's cameras: their places, viewpoints and weather. All of a town as a world but its pictures."""

from __future__ import annotations

from dataclasses import dataclass

from ecco_emu.core.ids import CameraId
from ecco_emu.scenario import schema
from ecco_emu.scenario.sections.cameras import SourceSection
from ecco_emu.scenario.sections.world import DistrictSection
from ecco_emu.world.source import ConditionChange
from ecco_emu.world.town.views import Viewpoint, view_of
from ecco_emu.world.town.weather import Conditions, conditions_at, district_of


@dataclass(frozen=True, slots=True)
class TownCamera:
    """One camera and the district that it stands in."""

    source: SourceSection
    view: Viewpoint
    district: DistrictSection

    def conditions(self, t: float) -> Conditions:
        """The weather before the camera at emulated second ``t``."""
        return conditions_at(self.district, t)


class TownCameras:
    """The part of ``world.source.World`` that needs no pictures: it follows from the scenario alone."""

    def __init__(self, scenario: schema.Scenario) -> None:
        districts = scenario.world.town.districts
        self._cameras = {
            CameraId(camera.id): TownCamera(camera.source, view_of(camera), district_of(districts, camera.at))
            for camera in scenario.cameras
        }

    def position(self, camera: CameraId, t: float) -> tuple[float, float]:
        return self._cameras[camera].view.at

    def condition(self, camera: CameraId, t: float) -> str:
        """The weather of the camera's district."""
        return self._cameras[camera].conditions(t).weather

    def condition_changes(self, camera: CameraId) -> list[ConditionChange]:
        """The district's weather changes; the district's name is the place."""
        district = self._cameras[camera].district
        return [ConditionChange(change.at, district.name, change.is_) for change in district.weather]

    def settled(self, camera: CameraId, t: float) -> bool:
        return self._cameras[camera].conditions(t).blend >= 1.0
