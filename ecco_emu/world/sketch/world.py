"""A scenario's town without pictures: frames are sketches, their labels come from the town's geometry.

Everything is computed in this process in microseconds, and nothing imports a renderer. Cameras, traffic,
weather and conditions are those of the rendered town (``world.town.world``), labels nearly so
(``world.town.outlook`` says what differs).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import lru_cache

from ecco_emu.core.frames import Frame, Image
from ecco_emu.core.ids import CameraId
from ecco_emu.scenario import schema
from ecco_emu.tasks.detection import Labels
from ecco_emu.world.sketch.picture import Stamp, View, sketch, stamp_of
from ecco_emu.world.town.cameras import TownCameras
from ecco_emu.world.town.layout import lay_out
from ecco_emu.world.town.looks import haze_per_m
from ecco_emu.world.town.outlook import Outlook, outlook, tracks_of
from ecco_emu.world.town.weather import Conditions

_KEPT_LABELS = 64
"""Frames of a camera whose labels are kept, on average: several ask for the labels of one frame."""


class SketchWorld(TownCameras):
    """Implements ``World``. Any frame's labels can be asked for, also without the frame."""

    def __init__(self, scenario: schema.Scenario) -> None:
        super().__init__(scenario)
        self._layout = lay_out(scenario.world.town, scenario.seed)
        self._tracks = tracks_of(self._layout)
        self._ids = tuple(self._cameras)
        self._numbers = {camera: number for number, camera in enumerate(self._ids)}
        self._outlooks: dict[CameraId, Outlook] = {}
        # of this world alone, which the cache must not outlive
        self._labels = lru_cache(_KEPT_LABELS * len(self._ids))(self._look)

    async def start(self) -> None:
        """Finds out what each camera can see: some 30 ms a camera."""
        for camera in self._ids:
            self._outlook(camera)
            await asyncio.sleep(0)  # many cameras take a while, in which a run can be interrupted

    async def close(self) -> None:
        """Nothing has to be given back."""

    async def frame(self, camera: CameraId, index: int) -> Frame:
        source = self._cameras[camera].source
        stamp = Stamp(self._numbers[camera], index)
        return Frame(camera, index, index / source.fps, sketch(source.size, stamp))

    def labels(self, camera: CameraId, index: int) -> Labels:
        return self._labels(camera, index)

    def view(self, image: Image) -> View:
        """What would be seen in a sketch of this world, whatever its size.

        Raises ``ValueError`` for any other picture.
        """
        stamp = stamp_of(image)
        if stamp.camera >= len(self._ids):
            raise ValueError(f"a sketch of camera number {stamp.camera}, of {len(self._ids)} cameras")
        camera = self._ids[stamp.camera]
        source = self._cameras[camera].source
        labels = self.labels(camera, stamp.index)
        height, width = image.shape[:2]
        if (width, height) != source.size:
            labels = labels.scaled(width / source.size[0], height / source.size[1])
        t = stamp.index / source.fps
        return View(camera, stamp.index, t, _parts(self._cameras[camera].conditions(t)), labels)

    def _look(self, camera: CameraId, index: int) -> Labels:
        seen = self._cameras[camera]
        t = index / seen.source.fps
        return self._outlook(camera).labels(t, haze_per_m(seen.conditions(t)))

    def _outlook(self, camera: CameraId) -> Outlook:
        known = self._outlooks.get(camera)
        if known is None:
            seen = self._cameras[camera]
            known = self._outlooks[camera] = outlook(self._layout, self._tracks, seen.view, seen.source.size)
        return known


def _parts(conditions: Conditions) -> Mapping[str, float]:
    """The conditions by name with their parts."""
    if conditions.blend >= 1.0 or conditions.weather == conditions.previous:
        return {conditions.weather: 1.0}
    return {conditions.weather: conditions.blend, conditions.previous: 1.0 - conditions.blend}
