"""A run with ``backend: curve``: nothing is trained, rendered or coded, all is modelled in this process."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import asdict

from ecco_emu.core.ids import CameraId, model_hash
from ecco_emu.emulation import limits
from ecco_emu.emulation.calibration import Expected, drifting, least_modelled_dilation
from ecco_emu.emulation.workers import Workers
from ecco_emu.scenario import schema
from ecco_emu.trainer.curve.backend import CurveBackend
from ecco_emu.trainer.curve.fit import load_fit
from ecco_emu.trainer.curve.inference import CurveInference
from ecco_emu.trainer.teacher import OracleTeacher
from ecco_emu.world.sketch.codec import SketchCodec
from ecco_emu.world.sketch.world import SketchWorld


async def start_models(scenario: schema.Scenario, student: bytes, stack: AsyncExitStack) -> Workers:
    """The models of a run. Nothing is measured, so a dilation is not this host's: it follows from the
    scenario."""
    fit = load_fit(scenario.trainer.student)
    world = SketchWorld(scenario)
    trainer = CurveBackend(
        scenario.trainer,
        seed=scenario.seed,
        evidence_s=scenario.windows.length,
        view=world.view,
        fit=fit,
    )
    inference = CurveInference(view=world.view, fit=fit, seed=scenario.seed)
    for part in (trainer, inference, world):
        stack.push_async_callback(part.close)
    device = await trainer.start()
    await inference.start()
    await world.start()
    first = model_hash(student)
    await trainer.add_model(first, student)
    await inference.add_model(first, student)
    sizes = {CameraId(camera.id): camera.source.size for camera in scenario.cameras}
    dilation = scenario.dilation
    if dilation == "auto":
        dilation = least_modelled_dilation(scenario, Expected(drifting(scenario, world), len(student)))
        limits.require(scenario, dilation)
    return Workers(
        trainer=trainer,
        inference=inference,
        world=world,
        teacher=OracleTeacher(world.labels, sizes.__getitem__),
        codec=SketchCodec(list(sizes), scenario.seed),
        device=asdict(device),
        dilation=dilation,
        speed=None,
    )
