"""The path for several real GPUs, tried with processes on a CPU (gloo in place of NCCL)."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from ecco_emu.control.evidence import Evidence
from ecco_emu.core.errors import HostError
from ecco_emu.core.ids import CameraId, JobId, model_hash
from ecco_emu.trainer.backend import Settings, TrainResult
from ecco_emu.trainer.yolo import student
from ecco_emu.trainer.yolo.ranks import RankDiedError
from ecco_emu.trainer.yolo.training_worker import TrainingServer
from tests.unit.trainer.trainer_pictures import samples

JOB = JobId("job-1")
A = [Evidence(CameraId("a"))]
STEP = 4 * 128 * 96 / (320 * 192)
"""What a step of two GPUs with two pictures costs."""
WEIGHTS = student.to_bytes(student.build(seed=2), (128, 96))


@contextmanager
def server(ranks: int, gpus: int = 2) -> Iterator[TrainingServer]:
    settings = Settings(gpus=gpus, batch=2, learning_rate=0.001, seed=1, threads=1, virtual_ranks=ranks)
    made = TrainingServer(settings)
    try:
        made.add_model(model_hash(WEIGHTS), WEIGHTS)
        made.add_samples(samples("a", 24))
        made.create_job(JOB, model_hash(WEIGHTS))
        yield made
    finally:
        made.close()


def trained(ranks: int, gpus: int) -> tuple[TrainResult, dict[str, torch.Tensor]]:
    """The second of two micro-windows, and the student after it."""
    with server(ranks, gpus) as made:
        made.train(JOB, A, 2 * STEP * gpus / 2)
        result = made.train(JOB, A, 3 * STEP * gpus / 2)
        return result, student.load(made.export(JOB)[1]).model.state_dict()


def test_real_and_virtual_gpus_train_alike() -> None:
    """One process that stands for two GPUs, and two: the sum of two gradients has no order."""
    virtual, one = trained(ranks=1, gpus=2)
    real, two = trained(ranks=2, gpus=2)
    assert (real.steps, real.images) == (virtual.steps, virtual.images) == (3, 12)
    assert real.losses == pytest.approx(virtual.losses, rel=1e-6)
    for name, value in one.items():
        assert torch.allclose(value, two[name], rtol=1e-5, atol=1e-6), name


def test_three_gpus_on_two_ranks_train_alike() -> None:
    """Three gradients are added in another order, whose rounding AdamW's first steps enlarge."""
    virtual, real = trained(ranks=1, gpus=3)[0], trained(ranks=2, gpus=3)[0]
    assert (real.steps, real.images) == (3, 18)
    assert real.losses == pytest.approx(virtual.losses, rel=1e-3)


def rank_of(made: TrainingServer) -> int:
    (process,) = made._team._processes
    assert process.pid is not None
    return process.pid


def test_a_rank_that_died_idle_is_named() -> None:
    with server(ranks=2) as made:
        made.drop_job(JOB)
        made.create_job(JOB, model_hash(WEIGHTS))  # a job's name can be used again
        assert made.train(JOB, A, STEP).steps == 1
        os.kill(pid := rank_of(made), signal.SIGKILL)
        with pytest.raises(RankDiedError, match=rf"GPU 1 \(pid {pid}\) died with exit code -9") as died:
            made.train(JOB, A, STEP)
        assert isinstance(died.value, HostError)
        with pytest.raises(RankDiedError, match="GPU 1"):
            made.create_job(JobId("job-2"), model_hash(WEIGHTS))


def test_a_rank_that_dies_while_it_trains_is_named() -> None:
    with server(ranks=2) as made:
        os.kill(pid := rank_of(made), signal.SIGSTOP)  # it gets its pictures, and leaves rank 0 waiting
        killing = threading.Timer(1.0, os.kill, (pid, signal.SIGKILL))
        killing.start()
        with pytest.raises(RankDiedError, match="GPU 1"):
            made.train(JOB, A, STEP)
        killing.join()
