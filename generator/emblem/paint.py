"""The plan picture: decoded appearances placed on a background by a layout, before any diffusion."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

COPIES = 4  # boxes of the first thing
BOXES = COPIES + 1  # and one of the second, which stands behind
BOX_VALUES = 5  # x, y, side, angle, flip
MINIFIED_SIDE = 0.4  # below this share of the canvas an appearance is averaged before it is sampled


def paint(backgrounds: Tensor, pictures: Tensor, boxes: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Paint RGB (N, 3, H, W) in [-1, 1]; and how far things cover it, (N, 1, H, W) in [0, 1].

    `backgrounds` (N, 3, H, W) in [0, 1]; `pictures` (N, BOXES, 4, 64, 64) premultiplied RGBA; `boxes`
    (N, BOXES, 5): centre x and y and side as shares of the canvas, angle in radians, flip -1 or 1; `present`
    (N, BOXES) 1 where there is a box. The last box is painted first.
    """
    canvas, uncovered = backgrounds, torch.ones_like(backgrounds[:, :1])
    for index in reversed(range(boxes.shape[1])):
        if not bool(present[:, index].any()):
            continue
        layer = place(pictures[:, index], boxes[:, index], canvas.shape[-2:]) * present[:, index, None, None, None]
        canvas = canvas * (1 - layer[:, 3:]) + layer[:, :3]
        uncovered = uncovered * (1 - layer[:, 3:])
    return canvas.clamp(0, 1) * 2 - 1, 1 - uncovered


def place(pictures: Tensor, boxes: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """Resample pictures (N, C, S, S) into boxes (N, 5) of an otherwise empty canvas (N, C, *size)."""
    x, y, side, angle, flip = boxes.unbind(1)
    cos, sin = torch.cos(angle) / side, torch.sin(angle) / side
    linear = torch.stack([torch.stack([flip * cos, flip * sin], 1), torch.stack([-sin, cos], 1)], 1)
    shift = linear @ torch.stack([1 - 2 * x, 1 - 2 * y], 1)[..., None]
    grid = functional.affine_grid(
        torch.cat([linear, shift], 2), [len(pictures), 1, int(size[0]), int(size[1])], align_corners=False
    )
    fine = functional.grid_sample(pictures, grid, align_corners=False)
    small = functional.grid_sample(functional.avg_pool2d(pictures, 2), grid, align_corners=False)
    return torch.where((side < MINIFIED_SIDE)[:, None, None, None], small, fine)
