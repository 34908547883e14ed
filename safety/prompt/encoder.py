"""The sentence encoder all-MiniLM-L6-v2, whose lower layers the prompt classifier shares with whoever loaded it.

Reimers and Gurevych, "Sentence-BERT" (2019); Wang et al., "MiniLM" (2020). Its weights belong to the composition root.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from safety.errors import EncoderError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TOKEN_WIDTH = 384
LAYERS = 6
SHARED_LAYERS = 3
"""Layers that stay as published; those above them are adapted for the classifier."""

MAX_TOKENS = 128
"""Windows are shorter; word pieces after these are not read."""

PADDED_TOKENS_MAX = 1024
"""Word pieces with padding per batch: what was fastest on two cores (512 to 4096 were tried)."""


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Word pieces of some texts: `ids` (n, tokens), and `mask` of the same shape, None if nothing is padding."""

    ids: Tensor
    mask: Tensor | None


class MiniLmEncoder:
    """A transformers model and tokenizer that the caller loaded and checked.

    `digest` is the SHA-256 (hex) of the weights. Immutable; safe to share between threads.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, digest: str) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._digest = digest

    @property
    def digest(self) -> str:
        return self._digest

    @property
    def model(self) -> PreTrainedModel:
        """The whole model."""
        return self._model

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Word pieces of each text with [CLS] and [SEP], at most `MAX_TOKENS`. Raises `EncoderError`."""
        if not texts:
            return []
        try:
            pieces = self._tokenizer(list(texts), truncation=True, max_length=MAX_TOKENS)["input_ids"]
        except (TypeError, ValueError, RuntimeError) as error:
            raise EncoderError(f"the tokenizer failed on {len(texts)} text(s): {error}") from error
        if len(pieces) != len(texts) or not all(pieces):
            raise EncoderError(f"the tokenizer gave {len(pieces)} results for {len(texts)} texts")
        return [list(text) for text in pieces]

    def vocabulary(self) -> dict[str, int]:
        """Word pieces and their numbers."""
        return dict(self._tokenizer.get_vocab())

    def embeddings(self) -> nn.Module:
        """The embedding layer: (n, tokens) word pieces to (n, tokens, 384). Raises `EncoderError`."""
        return self._module("embeddings")

    def layer(self, number: int) -> nn.Module:
        """Transformer layer `number`, from 0. Raises `EncoderError` if this is no six-layer encoder of width 384."""
        return self._module(f"encoder.layer.{number}")

    def _module(self, name: str) -> nn.Module:
        try:
            return self._model.get_submodule(name)
        except AttributeError as error:
            raise EncoderError(f"the sentence encoder has no {name}; expected all-MiniLM-L6-v2") from error


def batches(pieces: Sequence[Sequence[int]], padded_tokens_max: int = PADDED_TOKENS_MAX) -> list[list[int]]:
    """Positions of `pieces` in batches of like length, each of at most `padded_tokens_max` with padding."""
    found: list[list[int]] = []
    for position in sorted(range(len(pieces)), key=lambda position: len(pieces[position])):
        if not found or (len(found[-1]) + 1) * len(pieces[position]) > padded_tokens_max:
            found.append([])
        found[-1].append(position)
    return found


def token_batch(pieces: Sequence[Sequence[int]]) -> TokenBatch:
    """`pieces` of some texts, padded with zeros."""
    import torch

    longest = max(map(len, pieces))
    ids = torch.zeros(len(pieces), longest, dtype=torch.long)
    for row, text in enumerate(pieces):
        ids[row, : len(text)] = torch.tensor(text)
    lengths = torch.tensor([len(text) for text in pieces])
    if bool((lengths == longest).all()):
        return TokenBatch(ids, None)
    return TokenBatch(ids, torch.arange(longest) < lengths[:, None])
