"""Train in several processes of one thread each: every process takes its share of the batch, gradients are averaged.

On a machine that others use too this beats threads: processes wait for each other once a step, not once an operation.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.multiprocessing.spawn import spawn

from generator.training.flow import Batch


def process_count() -> int:
    """How many processes take part: 1 outside `run_in_processes`."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_first() -> bool:
    """Whether this is the process that prints and stores."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


def own_share(batch: Batch) -> Batch:
    """Every n-th example of the batch, for the n processes."""
    count = process_count()
    if count == 1:
        return batch
    first = distributed.get_rank()
    return Batch(**{field.name: getattr(batch, field.name)[first::count] for field in fields(Batch)})


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace gradients by their mean over the processes; in place."""
    if process_count() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= process_count()
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def agreed(value: float) -> float:
    """The first process's value, in all processes."""
    if process_count() == 1:
        return value
    shared: Tensor = torch.tensor([value], dtype=torch.float64)
    distributed.broadcast(shared, 0)
    return float(shared)


def run_in_processes(count: int, work: Callable[..., None], *arguments: Any) -> None:
    """Call `work(*arguments)` in `count` processes that know of each other, with one thread each."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    spawn(_join, (count, port, work, arguments), nprocs=count)


def _join(rank: int, count: int, port: int, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=count)
    try:
        work(*arguments)
    finally:
        distributed.destroy_process_group()
