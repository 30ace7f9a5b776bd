"""The edge server: it accepts cameras and passes on what they say.

The code that decides is pure and lives in ``control`` and ``policies``; this package carries the decisions
out. ``admission`` is the first half of Algorithm 2 (a request joins a job or founds one), ``regrouping`` the
second (splitting at a window's end), ``windows`` is Algorithm 1, ``groups`` makes the changes they ask for.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from ecco_emu.core.events import Trouble
from ecco_emu.core.ids import ModelHash
from ecco_emu.core.messages import Register, RetrainingRequest, Segment
from ecco_emu.policies.base import Policy
from ecco_emu.scenario import schema
from ecco_emu.server.admission import Admission
from ecco_emu.server.cameras import ConnectedCameras
from ecco_emu.server.groups import Groups
from ecco_emu.server.intake import Intake
from ecco_emu.server.jobs import JobBook
from ecco_emu.server.measuring import Measuring
from ecco_emu.server.models import ModelStore
from ecco_emu.server.ports import ServerPorts
from ecco_emu.server.regrouping import Regrouping
from ecco_emu.server.session import CameraSession, MessageToServer
from ecco_emu.transport.adapter import Peer
from ecco_emu.transport.events import ConnectionClosed


class Accepts(Protocol):
    async def accept(self) -> Peer: ...


class EdgeServer:
    """All state that the server has of cameras, requests and jobs. It knows only what crossed the network."""

    def __init__(
        self,
        scenario: schema.Scenario,
        policy: Policy,
        models: ModelStore,
        ports: ServerPorts,
    ) -> None:
        self.gpus = asyncio.Lock()
        """Held by the task that uses the trainer: requests are weighed between micro-windows, not in them."""
        self._policy = policy
        self._models = models
        self._ports = ports
        self._intake = Intake(ports.codec, ports.teacher, ports.trainer)
        self._cameras = ConnectedCameras(ports.clock)
        self.measuring = Measuring(scenario, self._intake, ports.trainer, ports.clock)
        budget = scenario.trainer.gpus * scenario.windows.micro_per_window
        self.groups = Groups(models, self._cameras, ports, gpu_micro_windows=budget)
        self.admission = Admission(
            scenario, policy, self.groups, self.measuring, self._intake, models, self._cameras, ports
        )
        self.regrouping = Regrouping(
            scenario, policy, self.groups, self.admission, self.measuring, models, self._cameras, ports
        )

    @property
    def jobs(self) -> JobBook:
        return self.groups.jobs

    async def run(self, listener: Accepts) -> None:
        """Serves cameras until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.admission.run(self.gpus), name="server-admission")
            while True:
                peer = await listener.accept()
                tasks.create_task(self._serve(peer), name=f"server-{peer.name}")

    async def _serve(self, peer: Peer) -> None:
        session = CameraSession(
            peer, self._models, self._deliver, self._trouble, self._policy.transmission.weight
        )
        try:
            await session.run()
        except ConnectionClosed:
            pass  # the camera dials again; its job keeps its place meanwhile
        finally:
            self._cameras.closed(session)
            await peer.close()

    async def _deliver(self, session: CameraSession, message: MessageToServer) -> None:
        match message:
            case Register():
                self._cameras.registered(session, ModelHash(message.model))
                job = self.jobs.of(session.camera)
                if job is not None:  # a camera that comes back after an outage may have missed both
                    self._cameras.assign(job, [session.camera])
                    self.groups.offer(job, session.camera)
            case RetrainingRequest():
                self.admission.received(message)
            case Segment():
                await self._intake.take(message)

    def _trouble(self, where: str, text: str) -> None:
        self._ports.emit(Trouble(t=self._ports.clock.now(), where=where, text=text))
