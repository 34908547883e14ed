"""Pictures that callers hand in: to tensors, to the model's square, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from generator.emblem.codec import NATIVE_SIDE_PIXELS

SEAM_PIXELS = 6.0
FILL_LEVELS = 7
SPREAD_TO_SIDE = 2.6  # of an evenly filled square: the side over the root mean square distance from its centre


def to_pixels(images: Any, channels: int = 3) -> Tensor:
    """Pixels (N, channels, H, W) in [0, 1] of a PIL image, an array (H, W[, C]) or (N, H, W, C) (uint8, or float in
    [0, 1]), a tensor (N, C, H, W) in [0, 1], or a list of those of one size.

    Raises ValueError for anything else, and for images of different sizes.
    """
    if isinstance(images, Tensor):
        pixels = images if images.ndim == 4 else images[None]
    elif isinstance(images, list | tuple):
        parts = [to_pixels(image, channels) for image in images]
        if len({part.shape[2:] for part in parts}) != 1:
            raise ValueError("the images differ in size; expected one size in a batch")
        pixels = torch.cat(parts)
    else:
        array = images
        if isinstance(images, Image.Image):
            array = np.asarray(images.convert("RGB" if channels == 3 else "L"))
        if not isinstance(array, np.ndarray) or array.ndim not in (2, 3, 4):
            raise ValueError(f"an image is {type(images).__name__}; expected a PIL image, an array or a tensor")
        scaled = array.astype(np.float32) / (255 if array.dtype == np.uint8 else 1)
        if scaled.ndim == 2:
            scaled = scaled[..., None]
        pixels = torch.from_numpy(scaled if scaled.ndim == 4 else scaled[None]).permute(0, 3, 1, 2)
    if pixels.shape[1] != channels:
        pixels = pixels.mean(1, keepdim=True) if channels == 1 else pixels[:, :1].expand(-1, channels, -1, -1)
    return pixels.float().contiguous()


def repeated(pixels: Tensor, count: int) -> Tensor:
    """One picture for each of `count` images: given singly, or one each. Raises ValueError for another number."""
    if len(pixels) not in (1, count) and count % len(pixels):
        raise ValueError(f"{len(pixels)} images for {count} results; give one, or one for each")
    return pixels.repeat_interleave(count // len(pixels), 0)


@dataclass(frozen=True)
class Square:
    """How a picture of height and width in pixels was padded to a square of `side`."""

    height: int
    width: int

    @property
    def side(self) -> int:
        """The square's side in pixels."""
        return max(self.height, self.width)

    @property
    def corner(self) -> tuple[int, int]:
        """Row and column in the square where the picture begins."""
        return (self.side - self.height) // 2, (self.side - self.width) // 2

    def pad(self, pixels: Tensor) -> Tensor:
        """The picture in the middle of the square, its edge pixels repeated outwards."""
        top, left = self.corner
        around = (left, self.side - self.width - left, top, self.side - self.height - top)
        return functional.pad(pixels, around, mode="replicate")

    def cut(self, square: Tensor) -> Tensor:
        """The picture's part of a square of any size, resampled to the picture's size."""
        large = resized(square, self.side, self.side)
        top, left = self.corner
        return large[..., top : top + self.height, left : left + self.width]


def resized(pixels: Tensor, height: int, width: int) -> Tensor:
    """Pixels at another size, averaged when it is smaller."""
    if pixels.shape[-2:] == (height, width):
        return pixels
    return functional.interpolate(pixels, (height, width), mode="bilinear", antialias=True, align_corners=False)


def native(pixels: Tensor) -> tuple[Tensor, Square]:
    """Pixels (N, 3, 128, 128) in [-1, 1] of pictures in [0, 1], padded to a square, and how they were padded."""
    square = Square(pixels.shape[-2], pixels.shape[-1])
    return resized(square.pad(pixels), NATIVE_SIDE_PIXELS, NATIVE_SIDE_PIXELS) * 2 - 1, square


def fill(pixels: Tensor, mask: Tensor) -> Tensor:
    """Pixels with the masked part (mask 1, shape (N, 1, H, W)) filled smoothly from what surrounds it."""
    known, weight = [pixels * (1 - mask)], [1 - mask]
    for _ in range(FILL_LEVELS):
        known.append(functional.avg_pool2d(known[-1], 2))
        weight.append(functional.avg_pool2d(weight[-1], 2))
    filled = known[-1] / weight[-1].clamp(min=1e-4)
    for values, share in zip(reversed(known[:-1]), reversed(weight[:-1]), strict=True):
        coarse = functional.interpolate(filled, values.shape[-2:], mode="bilinear", align_corners=False)
        filled = values + (1 - share) * coarse
    return filled


def salient_box(pixels: Tensor) -> Tensor:
    """Centre x, y and side (N, 3), as shares of the canvas, of what stands out in pictures (N, 3, S, S) from a smooth
    continuation of their borders: mean and spread of where the difference lies."""
    side = pixels.shape[-1]
    inner = torch.zeros_like(pixels[:, :1])
    edge = side // 16
    inner[..., edge:-edge, edge:-edge] = 1
    differs = (pixels - fill(pixels, inner)).square().sum(1).flatten(1)
    weights = differs / differs.sum(1, keepdim=True).clamp(min=1e-6)
    axis = (torch.arange(side, device=pixels.device) + 0.5) / side
    x, y = axis.repeat(side), axis.repeat_interleave(side)
    centre = torch.stack([(weights * x).sum(1), (weights * y).sum(1)], 1).clamp(0.2, 0.8)
    away = (x - centre[:, :1]).square() + (y - centre[:, 1:]).square()
    wide = (SPREAD_TO_SIDE * (weights * away).sum(1).sqrt()).clamp(0.3, 0.9)
    return torch.cat([centre, wide[:, None]], 1)


def seam(mask: Tensor) -> Tensor:
    """Opacity (N, 1, H, W) in [0, 1] for what replaces the masked part: 0 outside the mask, rising to 1 within a few
    pixels inside it."""
    import cv2

    masks: Any = (mask[:, 0] > 0.5).byte().cpu().numpy()
    depths = [cv2.distanceTransform(np.pad(part, 1, constant_values=1), cv2.DIST_L2, 5)[1:-1, 1:-1] for part in masks]
    depth = torch.from_numpy(np.stack(depths)).to(mask)[:, None]
    width = min(SEAM_PIXELS, max(mask.shape[-2:]) / 64)
    return (depth / width).clamp(0, 1) * (mask > 0.5)


def mask_box(mask: Tensor) -> Tensor:
    """Centre x, y and side (3,), as shares of the canvas, of a square inside the bounding box of a mask (1, H, W)."""
    rows, columns = (mask[0] > 0.5).any(1).nonzero()[:, 0], (mask[0] > 0.5).any(0).nonzero()[:, 0]
    if not len(rows):
        return torch.tensor([0.5, 0.5, 0.8])  # thinner than a pixel of the model's: nothing will be seen of it
    height, width = mask.shape[-2:]
    top, bottom, left, right = rows[0] / height, (rows[-1] + 1) / height, columns[0] / width, (columns[-1] + 1) / width
    side = torch.minimum(bottom - top, right - left) * 0.9
    return torch.stack([(left + right) / 2, (top + bottom) / 2, side]).float()
