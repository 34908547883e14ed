from __future__ import annotations

import math

import pytest
import torch

from generator.emblem.paint import BOXES, paint, place

UPRIGHT = [0.5, 0.5, 0.5, 0.0, 1.0]


def quarter(corner: tuple[int, int]) -> torch.Tensor:
    """An opaque red picture whose one quarter is blue."""
    picture = torch.zeros(1, 4, 64, 64)
    picture[:, 3] = 1.0
    picture[:, 0] = 1.0
    top, left = corner
    rows, columns = slice(32 * top, 32 * top + 32), slice(32 * left, 32 * left + 32)
    picture[:, 0, rows, columns], picture[:, 2, rows, columns] = 0.0, 1.0
    return picture


def blue_at(layer: torch.Tensor) -> list[float]:
    """Centre [x, y] of what is blue, as shares of the canvas."""
    blue = layer[0, 2]
    axis = (torch.arange(128) + 0.5) / 128
    return [float((blue * axis[None]).sum() / blue.sum()), float((blue * axis[:, None]).sum() / blue.sum())]


def test_a_box_stands_where_it_says() -> None:
    layer = place(quarter((0, 0)), torch.tensor([[0.25, 0.75, 0.5, 0.0, 1.0]]), (128, 128))

    assert layer[0, 3].sum() == pytest.approx(64 * 64, rel=0.03)
    assert layer[0, 3, 64:, :64].mean() > 0.97
    assert blue_at(layer) == pytest.approx([0.125, 0.625], abs=0.01)


def test_a_flipped_box_shows_its_mirror_image() -> None:
    flipped = torch.tensor([[*UPRIGHT[:4], -1.0]])

    assert blue_at(place(quarter((0, 0)), flipped, (128, 128)))[0] == pytest.approx(0.625, abs=0.01)


def test_a_box_turns_clockwise() -> None:
    turned = torch.tensor([[0.5, 0.5, 0.5, math.pi / 2, 1.0]])

    assert blue_at(place(quarter((0, 0)), turned, (128, 128))) == pytest.approx([0.625, 0.375], abs=0.01)


def test_placing_agrees_with_the_renderer_of_the_training_scenes() -> None:
    from generator.training.render import _matrix
    from generator.training.scenes import Box

    matrix = _matrix(Box(0, 0.4, 0.6, 0.5, 30.0, True), 128, 64, math.radians(30.0))
    x, y = matrix @ [16, 16, 1]

    layer = place(quarter((0, 0)), torch.tensor([[0.4, 0.6, 0.5, math.radians(30.0), -1.0]]), (128, 128))

    assert blue_at(layer) == pytest.approx([x / 128, y / 128], abs=0.01)


def test_the_first_thing_stands_before_the_second() -> None:
    pictures = torch.stack([quarter((0, 0))[0]] * BOXES)[None]
    pictures[0, -1, 0] = 0.0  # the second thing: blue quarter, else black
    boxes = torch.tensor(UPRIGHT).repeat(1, BOXES, 1)
    present = torch.tensor([[1.0, 0, 0, 0, 1.0]])

    canvas, alpha = paint(torch.ones(1, 3, 128, 128), pictures, boxes, present)

    assert float(alpha.mean()) == pytest.approx(0.25, rel=0.03)
    assert canvas[0, :, 80, 80].tolist() == pytest.approx([1.0, -1.0, -1.0], abs=1e-5)


def test_an_absent_box_leaves_the_background() -> None:
    pictures, boxes = torch.ones(1, BOXES, 4, 64, 64), torch.tensor(UPRIGHT).repeat(1, BOXES, 1)

    canvas, alpha = paint(torch.full((1, 3, 128, 128), 0.25), pictures, boxes, torch.zeros(1, BOXES))

    assert torch.allclose(canvas, torch.tensor(-0.5))
    assert not alpha.any()
