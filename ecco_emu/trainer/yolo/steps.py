"""One training step, and the optimizer it needs: Ultralytics' loss in a loop of our own.

The loss keeps Ultralytics' convention: summed over the batch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from torch import nn
from ultralytics.nn.tasks import DetectionModel
from ultralytics.utils.loss import v8DetectionLoss

from ecco_emu.trainer.yolo.pictures import Batch

WEIGHT_DECAY = 5e-4
MAX_GRADIENT_NORM = 10.0


def parameter_groups(model: nn.Module) -> list[dict[str, object]]:
    """Weights, which decay, apart from biases and batch norm, which do not."""
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                bare = name == "bias" or isinstance(module, nn.BatchNorm2d)
                (plain if bare else decayed).append(parameter)
    return [
        {"params": decayed, "weight_decay": WEIGHT_DECAY},
        {"params": plain, "weight_decay": 0.0},
    ]


def adamw(model: nn.Module, learning_rate: float) -> torch.optim.AdamW:
    return torch.optim.AdamW(parameter_groups(model), lr=learning_rate)


def freeze_projection(model: DetectionModel) -> None:
    """The head's projection from a distribution to its mean is a constant, not a weight."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(".dfl." not in name)


def renew_statistics(model: nn.Module, batches: Sequence[torch.Tensor], precision: torch.dtype) -> None:
    """Sets batch norm's running statistics to their mean over these pictures; leaves training mode on.

    Running averages follow the weights too slowly for a micro-window: after 20 steps in new weather
    a detector that has learnt it still normalises for the old, and finds nothing.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch takes None for the plain mean
    model.train()
    with torch.no_grad():
        for images in batches:
            with _forward_in(images.device, precision):
                model(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def default_precision(device: torch.device) -> torch.dtype:
    """bfloat16 where the processor computes in it, which is 1.4 times faster; float32 elsewhere."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    # no public question for it yet; a torch without this one answers "no"
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return torch.bfloat16 if supported else torch.float32


def step(
    model: nn.Module,
    loss_of: v8DetectionLoss,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    precision: torch.dtype,
    *,
    ranks: int = 1,
) -> float:
    """One gradient step; returns the mean loss per image. The model must be in training mode.

    The forward pass runs in ``precision``; loss, gradients and weights stay float32. With several
    ``ranks`` the wrapped model averages gradients, so each rank's loss counts ``ranks`` times.
    """
    device = next(model.parameters()).device
    inputs = batch.on(device)
    with _forward_in(device, precision):
        outputs = model(inputs["img"])
    outputs = {name: _float32(value) for name, value in outputs.items()}
    total = loss_of(outputs, inputs)[0].sum()
    optimizer.zero_grad(set_to_none=True)
    (total * ranks).backward()
    nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM)
    optimizer.step()
    return float(total.detach()) / len(inputs["img"])


def _forward_in(device: torch.device, precision: torch.dtype) -> AbstractContextManager[object]:
    if precision == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, precision)


def _float32(value: torch.Tensor | list[torch.Tensor]) -> torch.Tensor | list[torch.Tensor]:
    return [item.float() for item in value] if isinstance(value, list) else value.float()
