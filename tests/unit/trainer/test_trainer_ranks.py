"""The path for several real GPUs, tried with two processes on a CPU (gloo in place of NCCL)."""

from __future__ import annotations

import numpy as np

from ecco_emu.core.ids import CameraId, JobId, model_hash
from ecco_emu.trainer.backend import Settings
from ecco_emu.trainer.yolo import student
from ecco_emu.trainer.yolo.training_worker import TrainingServer
from tests.unit.trainer.trainer_pictures import samples

JOB = JobId("job-1")


def test_two_ranks_train_one_student() -> None:
    settings = Settings(
        gpus=2, batch=2, learning_rate=0.001, eval_frames=4, seed=1, threads=1, virtual_ranks=2
    )
    weights = student.to_bytes(student.build(seed=2), (128, 96))
    server = TrainingServer(settings)
    try:
        server.add_model(model_hash(weights), weights)
        server.add_samples(samples("a", 24))
        server.create_job(JOB, model_hash(weights))
        result = server.train(JOB, [CameraId("a")], 160)
        assert (result.steps, result.images) == (40, 160)
        assert np.mean(result.losses[-10:]) < 0.8 * np.mean(result.losses[:10])
        server.drop_job(JOB)
        server.create_job(JOB, model_hash(weights))  # a job's name can be used again
        assert server.train(JOB, [CameraId("a")], 4).steps == 1
    finally:
        server.close()
