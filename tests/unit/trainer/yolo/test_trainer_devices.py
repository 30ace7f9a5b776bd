"""What differs on hosts with GPUs. CUDA is stood in for."""

from __future__ import annotations

import pytest
import torch
import torch.distributed
from torch import nn

from ecco_emu.core.errors import HostError
from ecco_emu.core.ids import model_hash
from ecco_emu.trainer.yolo import devices, library, pictures, ranks, session, student, training_worker
from ecco_emu.trainer.yolo.detect import detect
from tests.unit.trainer.yolo.test_trainer_session import SIZE, steps


def have_gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: count > 0)
    monkeypatch.setattr("torch.cuda.device_count", lambda: count)


@pytest.mark.parametrize(
    ("gpus", "expected", "backend"),
    [
        (0, ["cpu", "cpu", "cpu"], "gloo"),
        (1, ["cuda:0", "cuda:0", "cuda:0"], "gloo"),
        (2, ["cuda:0", "cuda:1", "cuda:0"], "gloo"),
        (4, ["cuda:0", "cuda:1", "cuda:2"], "nccl"),
    ],
)
def test_ranks_share_the_gpus_there_are(
    monkeypatch: pytest.MonkeyPatch, gpus: int, expected: list[str], backend: str
) -> None:
    """NCCL refuses two ranks on one GPU, so ranks that share one exchange their gradients by gloo."""
    have_gpus(monkeypatch, gpus)
    joined: list[str] = []
    current: list[str] = []
    monkeypatch.setattr("torch.cuda.set_device", lambda device: current.append(str(device)))
    monkeypatch.setattr("torch.distributed.init_process_group", lambda backend, **_: joined.append(backend))
    for rank in range(3):
        ranks._join(rank, 3, 1)
    assert [str(devices.device_of(rank)) for rank in range(3)] == expected
    assert joined == [backend] * 3
    assert current == (expected if gpus else [])


@pytest.mark.parametrize("order", [torch.channels_last, torch.contiguous_format])
def test_students_and_pictures_lie_in_memory_as_their_device_likes_it(
    monkeypatch: pytest.MonkeyPatch, order: torch.memory_format
) -> None:
    """In training, in renewing the statistics and in inference. One tensor in the other order, a picture's or
    a kernel's, and the convolution is done in that one."""
    for module in (pictures, session, library):
        monkeypatch.setattr(module, "memory_format", lambda device: order)
    seen: list[bool] = []

    def look(module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        kernel = next(module.parameters())  # of the first layer, whose kernels are 3x3
        seen.extend(each.is_contiguous(memory_format=order) for each in (inputs[0], kernel))

    weights = student.to_bytes(student.build(seed=2), SIZE)
    trained = session.TrainingSession(student.load(weights).model, SIZE, learning_rate=0.001, seed=1)
    trained.model.register_forward_pre_hook(look)
    (step,) = steps(1, batch=2)
    trained.train_micro([step], step.pictures())
    assert seen == [True] * 4

    kept = library.Library(torch.device("cpu"))
    kept.add(model_hash(weights), weights)
    ready = kept.ready(model_hash(weights)).model
    ready.register_forward_pre_hook(look)
    detect(ready, [image for image, _ in step.pictures()], SIZE)
    assert seen == [True] * 6


def test_the_end_of_the_gpus_memory_is_the_hosts_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def train(self) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(training_worker, "_server", Full())
    with pytest.raises(HostError, match=r"memory does not suffice.*trainer\.batch \(CUDA out of memory"):
        training_worker.call("train")
