from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from generator.training.parallel import agreed, average_gradients, is_first, process_count, run_in_processes


def average_in_one_of_several(folder: Path) -> None:
    """Each process holds the gradient `rank + 1`, stores what it sees after averaging."""
    rank = torch.distributed.get_rank()
    parameter = nn.Parameter(torch.zeros(3))
    parameter.grad = torch.full((3,), float(rank + 1))
    average_gradients([parameter])
    torch.save((parameter.grad, agreed(float(rank)), process_count(), is_first()), folder / f"{rank}.pt")


def test_processes_average_gradients_and_agree_on_the_first_ones_values(tmp_path: Path) -> None:
    run_in_processes(2, average_in_one_of_several, tmp_path)

    stored = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]

    for gradient, value, count, _ in stored:
        assert gradient.tolist() == [1.5, 1.5, 1.5]
        assert value == 0.0
        assert count == 2
    assert [first for *_, first in stored] == [True, False]


def test_one_process_alone_changes_nothing() -> None:
    parameter = nn.Parameter(torch.zeros(2))
    parameter.grad = torch.ones(2)

    average_gradients([parameter])

    assert parameter.grad.tolist() == [1.0, 1.0]
    assert agreed(3.5) == 3.5
    assert is_first()
