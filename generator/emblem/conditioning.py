"""Turn prompts into what the denoiser is conditioned on: token features, their mask, one pooled vector, the style."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

MAX_TOKENS = 32


@dataclass(frozen=True, slots=True)
class Conditioning:
    """Token features (N, 32, 384), mask (N, 32) with 1 for a real token, pooled (N, 384) of unit mean square, and the
    style (N, S), one-hot, or zeros where nothing is said of it."""

    tokens: Tensor
    mask: Tensor
    pooled: Tensor
    style: Tensor


@dataclass(frozen=True, slots=True)
class Encoded:
    """Prompts as the sentence encoder reads them; shapes as in `Conditioning`."""

    tokens: Tensor
    mask: Tensor
    pooled: Tensor


def pool(tokens: Tensor, mask: Tensor) -> Tensor:
    """Masked mean over tokens, rescaled to unit mean square. Shapes as in `Conditioning`."""
    weights = mask.to(tokens.dtype)[..., None]
    mean = (tokens * weights).sum(1) / weights.sum(1).clamp(min=1)
    return mean / mean.square().mean(1, keepdim=True).sqrt().clamp(min=1e-6)


@torch.no_grad()
def encode_prompts(tokenizer: Any, text_encoder: Any, prompts: Sequence[str]) -> Encoded:
    """Encode prompts; words past 32 tokens are cut off, padding is zero. Deterministic at equal batch shape."""
    batch = tokenizer(list(prompts), padding="max_length", truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
    mask = batch["attention_mask"].to(text_encoder.device)
    hidden = text_encoder(input_ids=batch["input_ids"].to(text_encoder.device), attention_mask=mask).last_hidden_state
    tokens = hidden * mask[..., None]
    return Encoded(tokens, mask, pool(tokens, mask))
