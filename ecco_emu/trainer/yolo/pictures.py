"""From a camera's pictures to a student's input: fitting, augmentation, batches.

Pictures are numpy (height, width, 3) RGB uint8; batches are torch. Boxes are x1, y1, x2, y2 in pixels. A
``size`` is (width, height) in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch

from ecco_emu.core.frames import Image
from ecco_emu.tasks.detection import Labels
from ecco_emu.trainer.backend import LabelledImage
from ecco_emu.trainer.yolo.devices import memory_format

_CPU = torch.device("cpu")
PADDING = 114
"""Grey level around a letterboxed picture, Ultralytics' own."""


@dataclass(frozen=True, slots=True)
class Letterbox:
    """How a picture was placed into a student's input: ``input = picture * scale + offset``."""

    scale: float
    offset_x: float
    offset_y: float
    width: int
    """Of the picture in pixels, as is ``height``."""
    height: int

    @staticmethod
    def of(image: Image, size: tuple[int, int]) -> Letterbox:
        """The largest placement that keeps the picture's proportions, centred."""
        height, width = image.shape[:2]
        scale = min(size[0] / width, size[1] / height)
        return Letterbox(scale, (size[0] - width * scale) / 2, (size[1] - height * scale) / 2, width, height)

    @property
    def exact(self) -> bool:
        """True when the picture is the input already, pixel by pixel."""
        return self.scale == 1.0 and self.offset_x == 0.0 and self.offset_y == 0.0

    def matrix(self) -> npt.NDArray[np.float64]:
        """The placement as an affine map (2, 3) from picture to input."""
        return np.array([[self.scale, 0, self.offset_x], [0, self.scale, self.offset_y]])

    def undo(self, boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Boxes (N, 4) in the student's input, mapped back to the picture's pixels and cut at its edges."""
        offset = np.array([self.offset_x, self.offset_y] * 2, np.float32)
        limit = np.array([self.width, self.height] * 2, np.float32)
        inside: npt.NDArray[np.float32] = np.clip((boxes - offset) / np.float32(self.scale), 0, limit)
        return inside


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far training pictures are varied. ``Augmentation.none()`` varies nothing."""

    flip: float = 0.5
    """Probability of a mirror image."""
    scale: float = 0.25
    """Largest relative change of size."""
    translate: float = 0.1
    """Largest shift, as a fraction of each side."""
    gain: float = 0.25
    """Largest relative change of brightness, of contrast and of saturation."""

    @staticmethod
    def none() -> Augmentation:
        return Augmentation(flip=0.0, scale=0.0, translate=0.0, gain=0.0)


@dataclass(frozen=True, slots=True)
class Batch:
    """A training batch of B images with N objects, in the shapes that Ultralytics' loss expects."""

    images: torch.Tensor
    """(B, 3, H, W) float32 in 0..1, on the CPU and in its order."""
    owners: torch.Tensor
    """(N,) the number of the image that each object is in."""
    classes: torch.Tensor
    """(N, 1) class numbers, as floats."""
    boxes: torch.Tensor
    """(N, 4) centre x, centre y, width, height as fractions of the input."""

    def on(self, device: torch.device) -> dict[str, torch.Tensor]:
        """The batch on a device, under the names that Ultralytics' loss reads."""
        return {
            "img": self.images.to(device, non_blocking=True, memory_format=memory_format(device)),
            "batch_idx": self.owners.to(device),
            "cls": self.classes.to(device),
            "bboxes": self.boxes.to(device),
        }


def fitted(image: Image, size: tuple[int, int]) -> tuple[Image, Letterbox]:
    """The picture letterboxed to ``size``, untouched when it has that size already."""
    fit = Letterbox.of(image, size)
    return (image, fit) if fit.exact else (_warp(image, fit.matrix(), size), fit)


def stack(images: Sequence[Image], device: torch.device = _CPU) -> torch.Tensor:
    """(B, 3, H, W) float32 in 0..1 from pictures of one size, on the device and in its order in memory."""
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    scaled = pixels.to(torch.float32).div_(255)
    return scaled.to(device, memory_format=memory_format(device))


def training_batch(
    pictures: Sequence[LabelledImage],
    size: tuple[int, int],
    augmentation: Augmentation,
    random: np.random.Generator,
) -> Batch:
    """Fits labelled pictures of any sizes to ``size``, varies them and stacks them."""
    varied = [_varied(image, labels, size, augmentation, random) for image, labels in pictures]
    images = stack([image for image, _ in varied])
    if augmentation.gain:
        images = _recoloured(images, augmentation.gain, random)
    counts = [len(labels) for _, labels in varied]
    boxes = np.concatenate([labels.boxes for _, labels in varied]).reshape(-1, 4) / np.array(
        size * 2, np.float32
    )
    centred = np.hstack([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]])
    return Batch(
        images=images,
        owners=torch.from_numpy(np.repeat(np.arange(len(varied)), counts)).float(),
        classes=torch.from_numpy(np.concatenate([labels.classes for _, labels in varied])).float()[:, None],
        boxes=torch.from_numpy(centred).float(),
    )


def _varied(
    image: Image, labels: Labels, size: tuple[int, int], how: Augmentation, random: np.random.Generator
) -> tuple[Image, Labels]:
    zoom = 1 + how.scale * random.uniform(-1, 1)
    shift_x, shift_y = (how.translate * random.uniform(-1, 1) * side for side in size)
    mirror = random.random() < how.flip
    matrix = Letterbox.of(image, size).matrix()
    centre = np.array([size[0] / 2, size[1] / 2])
    matrix *= zoom
    matrix[:, 2] += centre * (1 - zoom) + np.array([shift_x, shift_y])
    if mirror:
        matrix[0] *= -1
        matrix[0, 2] += size[0]
    if np.allclose(matrix, [[1, 0, 0], [0, 1, 0]]):  # nothing to do: warping would cost time
        return image, labels
    return _warp(image, matrix, size), moved(labels, matrix, size)


def moved(labels: Labels, matrix: npt.NDArray[np.float64], size: tuple[int, int]) -> Labels:
    """Labels after an axis-aligned affine map (2, 3), cut at the border.

    An object is dropped if less than a quarter of its box is left, or less than 2 px of either side: the
    rest is too little to recognise it by.
    """
    corners = labels.boxes.astype(np.float64).reshape(-1, 2, 2) * np.diag(matrix[:, :2]) + matrix[:, 2]
    low, high = corners.min(axis=1), corners.max(axis=1)  # a mirror image swaps left and right
    whole = np.prod(high - low, axis=1)
    low, high = np.clip(low, 0, size), np.clip(high, 0, size)
    sides = high - low
    keep = (sides.min(axis=1, initial=np.inf) >= 2) & (np.prod(sides, axis=1) >= 0.25 * whole)
    return Labels(np.hstack([low, high]).astype(np.float32)[keep], labels.classes[keep])


def _warp(image: Image, matrix: npt.NDArray[np.float64], size: tuple[int, int]) -> Image:
    shift = matrix.copy()
    # The matrix is for coordinates that count from pixel borders, as boxes do; OpenCV's count from pixel
    # centres. Without this shift boxes would be off by half a pixel times the change of size.
    shift[:, 2] += 0.5 * (np.diag(matrix[:, :2]) - 1)
    border = (PADDING, PADDING, PADDING)
    warped = cv2.warpAffine(image, shift, size, flags=cv2.INTER_LINEAR, borderValue=border)
    return np.asarray(warped, dtype=np.uint8)


def _recoloured(images: torch.Tensor, gain: float, random: np.random.Generator) -> torch.Tensor:
    """Changes brightness, contrast and saturation of every picture by factors in 1 +- ``gain``."""
    factors = 1 + gain * random.uniform(-1, 1, size=(3, len(images)))
    brightness, contrast, saturation = torch.from_numpy(factors).float()[:, :, None, None, None]
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * saturation
    middle = grey.mean(dim=(2, 3), keepdim=True)
    images = (middle + (images - middle) * contrast) * brightness
    return images.clamp_(0, 1).contiguous(memory_format=memory_format(_CPU))
