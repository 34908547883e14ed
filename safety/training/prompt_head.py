"""The head of the prompt classifier as a torch module, for training; `safety.prompt.head` runs it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from safety.prompt.encoder import TOKEN_WIDTH
from safety.prompt.taxonomy import CATEGORIES

HIDDEN_WIDTH = 256
QUERIES = 8
DROPOUT = 0.3


class TorchPromptHead(nn.Module):
    """One member: logits of shape (n, 1 + categories), unsafe first."""

    def __init__(self) -> None:
        super().__init__()
        self.input = nn.Linear(TOKEN_WIDTH, HIDDEN_WIDTH)
        self.query = nn.Linear(HIDDEN_WIDTH, QUERIES, bias=False)
        self.hidden = nn.Linear(HIDDEN_WIDTH + TOKEN_WIDTH, HIDDEN_WIDTH)
        self.out = nn.Linear(HIDDEN_WIDTH, 1 + len(CATEGORIES))
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """`states`: (n, tokens, 384) with zeros where `mask` (n, tokens) is false."""
        mean = states.sum(dim=1) / mask.sum(dim=1, keepdim=True)
        mean = nn.functional.normalize(mean, dim=1)
        values = self.dropout(nn.functional.silu(self.input(states)))
        weights = self.query(values).masked_fill(~mask[..., None], -torch.inf).softmax(dim=1)
        parted = values.view(*values.shape[:2], QUERIES, HIDDEN_WIDTH // QUERIES)
        pooled = (weights[..., None] * parted).sum(dim=1).flatten(1)
        joined = self.dropout(torch.cat([pooled, mean * TOKEN_WIDTH**0.5], dim=1))
        logits: Tensor = self.out(self.dropout(nn.functional.silu(self.hidden(joined))))
        return logits


def stack_members(members: Sequence[TorchPromptHead]) -> dict[str, NDArray[np.float16]]:
    """The tensors of an ensemble under the names that `safety.prompt.head` reads, in half precision."""
    names = {
        "in.weight": "input.weight",
        "in.bias": "input.bias",
        "query.weight": "query.weight",
        "hidden.weight": "hidden.weight",
        "hidden.bias": "hidden.bias",
        "out.weight": "out.weight",
        "out.bias": "out.bias",
    }
    states = [member.state_dict() for member in members]
    return {
        ours: np.stack([state[theirs].numpy() for state in states]).astype(np.float16) for ours, theirs in names.items()
    }
