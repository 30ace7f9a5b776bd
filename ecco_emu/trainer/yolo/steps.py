"""One training step and the optimizer that it needs: Ultralytics' loss in a loop of our own.

A step takes one batch a GPU. Each is normalised on its own, batch norm's statistics and the loss alike, and
their gradients are added. That is the rule that Ultralytics trains by on several GPUs, so a step gives the
same weights whether each GPU is real or all are virtual. (torch's SyncBatchNorm, the other way to make them
alike, runs on no CPU, and it would leave the loss, which is divided by the objects of its batch, unlike.)
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from ultralytics.nn.tasks import DetectionModel
from ultralytics.utils.loss import v8DetectionLoss

from ecco_emu.trainer.yolo.pictures import Batch

WEIGHT_DECAY = 5e-4
MAX_GRADIENT_NORM = 10.0
"""Gradients are scaled down to this norm. Both numbers are Ultralytics' own."""


def parameter_groups(model: nn.Module) -> list[dict[str, object]]:
    """AdamW's two groups: convolution weights, which decay, and biases and batch norm, which do not."""
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
    """The optimizer for a model whose constants are frozen already (``freeze_projection``)."""
    return torch.optim.AdamW(parameter_groups(model), lr=learning_rate)


def freeze_projection(model: DetectionModel) -> None:
    """Excludes the projection (``dfl``) in the detector's head from training.

    It turns a distribution over distances into its mean, so it is a constant although torch lists it as a
    parameter.
    """
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(".dfl." not in name)


def renew_statistics(model: nn.Module, batches: Sequence[torch.Tensor], precision: torch.dtype) -> None:
    """Sets batch norm's running statistics to their mean over these batches (B, 3, H, W).

    Running averages follow the weights too slowly for a micro-window: after 20 steps under a new condition a
    detector that has learnt it still normalises for the old one, and finds nothing. Leaves training mode on.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # None means the plain mean over all batches (torch's BatchNorm2d)
    model.train()  # only in training mode does a forward pass update the statistics
    with torch.no_grad():
        for images in batches:
            with _forward_in(images.device, precision):
                model(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def step(
    model: nn.Module,
    loss_of: v8DetectionLoss,
    optimizer: torch.optim.Optimizer,
    batches: Sequence[Batch],
    precision: torch.dtype,
    *,
    ranks: int = 1,
) -> float:
    """One gradient step on one batch a GPU; returns the sum of the images' losses.

    With several ``ranks``, these are the batches of this rank's GPUs. The forward pass runs in ``precision``;
    loss, gradients and weights stay float32. The model must be in training mode.
    """
    optimizer.zero_grad(set_to_none=True)
    loss = 0.0
    for number, batch in enumerate(batches, start=1):
        with _exchange(model, now=number == len(batches)):  # once a step, in the last backward pass
            loss += _add_gradients(model, loss_of, batch, precision, ranks)
    nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM)
    optimizer.step()
    return loss


def _add_gradients(
    model: nn.Module, loss_of: v8DetectionLoss, batch: Batch, precision: torch.dtype, ranks: int
) -> float:
    device = next(model.parameters()).device
    inputs = batch.on(device)
    with _forward_in(device, precision):
        outputs = model(inputs["img"])
    # the loss loses too much in bfloat16
    outputs = {name: _float32(value) for name, value in outputs.items()}
    total = loss_of(outputs, inputs)[0].sum()  # Ultralytics' loss is a sum over images
    # DistributedDataParallel averages gradients over ranks: times their number it adds them, as one rank does
    (total * ranks).backward()
    return float(total.detach())


def _exchange(model: nn.Module, *, now: bool) -> AbstractContextManager[object]:
    """Whether backward passes exchange gradients with the other ranks, if there are any."""
    if now or not isinstance(model, DistributedDataParallel):
        return contextlib.nullcontext()
    return model.no_sync()


def _forward_in(device: torch.device, precision: torch.dtype) -> AbstractContextManager[object]:
    if precision == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, precision)


def _float32(value: torch.Tensor | list[torch.Tensor]) -> torch.Tensor | list[torch.Tensor]:
    return [item.float() for item in value] if isinstance(value, list) else value.float()
