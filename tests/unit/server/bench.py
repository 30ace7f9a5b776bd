"""A server in virtual time with everything around it replaced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ecco_emu.control.grouping import Metadata
from ecco_emu.core.events import DeadlineMissed
from ecco_emu.core.ids import CameraId, JobId, ModelHash, model_hash
from ecco_emu.core.messages import RetrainingRequest
from ecco_emu.policies.registry import make_policy
from ecco_emu.server.jobs import CameraRequest, Job
from ecco_emu.server.models import ModelStore
from ecco_emu.server.ports import ServerPorts
from ecco_emu.server.server import EdgeServer
from ecco_emu.server.windows import RetrainingLoop
from ecco_emu.video.h264 import H264Codec
from tests.unit.emulation.test_topology import scenario
from tests.unit.server.fakes import EmptyTeacher, JumpingClock, Record, TableTrainer

START = model_hash(b"start")
CAM1, CAM2, CAM3 = CameraId("cam1"), CameraId("cam2"), CameraId("cam3")
NEAR, FAR = (30.0, 0.0), (1000.0, 0.0)


class Bench:
    """A server with everything around it replaced. No camera is connected."""

    def __init__(self, folder: Path, policy: str = "ecco", **changes: Any) -> None:
        self.scenario = scenario(policy={"name": policy}, **changes)
        self.clock = JumpingClock()
        self.trainer = TableTrainer(self.clock)
        self.record = Record()
        self.misses: list[DeadlineMissed] = []
        self.models = ModelStore(folder)
        self.models.put(b"start")
        ports = ServerPorts(
            clock=self.clock,
            trainer=self.trainer,
            teacher=EmptyTeacher(),
            emit=self.record,
            missed_deadline=self.misses.append,
            codec=H264Codec(),
        )
        chosen = make_policy(self.scenario.policy.name, self.scenario.policy_setup)
        self.server = EdgeServer(self.scenario, chosen, self.models, ports)
        self.loop = RetrainingLoop(self.scenario, chosen, self.server, ports)

    async def ask(
        self,
        camera: CameraId,
        at: tuple[float, float],
        model: ModelHash = START,
        since: float | None = None,
    ) -> JobId | None:
        """A camera without a job asks. The job that it is in then; None while its request waits."""
        now = self.clock.now()
        drifted = now if since is None else since
        await self.server.admission.put(CameraRequest(camera, Metadata(now, at), model, drifted))
        job = self.server.jobs.of(camera)
        return None if job is None else job.id

    def job(self, camera: CameraId) -> Job:
        job = self.server.jobs.of(camera)
        assert job is not None
        return job

    async def group(self, *cameras: CameraId, map: float = 0.1) -> Job:
        """One job with these cameras, whose model has this accuracy on each of them."""
        for camera in cameras:
            job = self.server.jobs.of(cameras[0])
            if job is not None:
                self.trainer.accuracy[job.id, camera] = 0.5  # its own student has 0.1
            await self.ask(camera, NEAR)
        job = self.job(cameras[0])
        assert job.cameras == list(cameras)
        for camera in cameras:
            self.trainer.accuracy[job.id, camera] = map
        job.trained = 10
        return job

    async def arrive(self, message: RetrainingRequest) -> None:
        """A request comes from the network, and is decided on."""
        self.server.admission.received(message)
        await self.server.admission.admit_arrived()

    async def end_window(self, start: float = 0.0) -> None:
        await self.server.regrouping.end_window(0, start)
