"""Who is told of a group's change, and how often."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from ecco_emu.control.grouping import Metadata
from ecco_emu.core.events import Assigned
from ecco_emu.core.ids import CameraId
from ecco_emu.server.cameras import ConnectedCameras
from ecco_emu.server.jobs import CameraRequest, Job
from tests.unit.server.bench import CAM1, NEAR, START, Bench


async def test_cameras_that_come_together_are_told_once_all_have_come(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each newcomer begins at once. The others hear of all newcomers together: one message each, not n."""
    job = await bench.group(CAM1)
    told: list[tuple[CameraId, int]] = []

    def assign(self: ConnectedCameras, job: Job, cameras: Iterable[CameraId] | None = None) -> None:
        told.extend((camera, len(job.members)) for camera in (job.cameras if cameras is None else cameras))

    monkeypatch.setattr(ConnectedCameras, "assign", assign)
    newcomers = [CameraId(f"new{number}") for number in range(3)]
    for camera in newcomers:
        bench.trainer.accuracy[job.id, camera] = 0.5
        bench.server.admission.waiting[camera] = CameraRequest(camera, Metadata(0.0, NEAR), START, 0.0)
    before = len(bench.record.of(Assigned))
    await bench.server.admission.weigh_waiting()
    assert job.cameras == [CAM1, *newcomers]
    assert told[:3] == [("new0", 2), ("new1", 3), ("new2", 4)]
    assert told[3:] == [(CAM1, 4), ("new0", 4), ("new1", 4)]
    [assigned] = bench.record.of(Assigned)[before:]
    assert assigned.members == job.cameras
