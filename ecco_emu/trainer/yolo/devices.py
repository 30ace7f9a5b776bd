"""The devices that students are trained and run on, and the little that differs between them."""

from __future__ import annotations

import torch

# Equal calls must give equal results, and some of cuDNN's ways to add up gradients have no fixed order.
torch.backends.cudnn.deterministic = True


def real_gpus() -> int:
    """The GPUs that CUDA can use here."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def device_of(rank: int) -> torch.device:
    """The GPU of a rank, which ranks share in turn where there are fewer; the CPU where there is no CUDA."""
    gpus = real_gpus()
    return torch.device("cuda", rank % gpus) if gpus else torch.device("cpu")


def default_precision(device: torch.device) -> torch.dtype:
    """bfloat16 where the device computes in it (on a CPU 1.4 times faster), float32 elsewhere."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    # torch has no public function that tells; one that lacks this private function counts as "no"
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return torch.bfloat16 if supported else torch.float32


def plans_shapes(device: torch.device) -> bool:
    """Whether the first batch of each shape takes many times as long as those after it.

    On a GPU cuDNN then plans every convolution.
    """
    return device.type == "cuda"


def memory_format(device: torch.device) -> torch.memory_format:
    """The order in memory of students and pictures that are on the device.

    A CPU convolves fastest with channels last. On a GPU a shape's plans took six seconds with channels last
    and a tenth of that with channels first, and the steps after them were as fast (docs/notes/trainer.md).
    """
    return torch.contiguous_format if device.type == "cuda" else torch.channels_last
