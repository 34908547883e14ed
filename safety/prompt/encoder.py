"""The sentence encoder that prompt checks are given; its weights belong to the composition root."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from safety.errors import EncoderError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TOKEN_WIDTH = 384
LAYERS = 6
SHARED_LAYERS = 3
"""Layers that stay as published; those above them are adapted for the classifier."""


MAX_TOKENS = 256
"""Longer texts are cut: all-MiniLM-L6-v2 was trained with at most 256 word pieces."""

BATCH_SIZE = 32


PADDED_TOKENS_MAX = 4096
"""Word pieces with padding per batch: about what keeps two cores busy without leaving their caches."""


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Word pieces of some texts: `ids` (n, tokens), and `mask` of the same shape, None if nothing is padding."""

    ids: Tensor
    mask: Tensor | None


class SentenceEncoder(Protocol):
    """all-MiniLM-L6-v2, or a stand-in with the same interface.

    `digest` is the SHA-256 (hex) of the weights. `encode_tokens` gives, for each text, the last hidden
    states of its word pieces with [CLS] and [SEP] and without padding: float32, shape (tokens, 384), at
    most `MAX_TOKENS` of them. It must not depend on which texts are encoded together, beyond
    floating-point order.
    """

    @property
    def digest(self) -> str: ...

    def encode_tokens(self, texts: Sequence[str]) -> list[NDArray[np.float32]]: ...


class MiniLmEncoder:
    """`SentenceEncoder` over a transformers model and tokenizer that the caller loaded and checked."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        digest: str,
        *,
        max_tokens: int = MAX_TOKENS,
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._digest = digest
        self._max_tokens = max_tokens

    @property
    def digest(self) -> str:
        return self._digest

    def encode_tokens(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """Token states of `texts`; texts of like length are batched. Raises `EncoderError`."""
        import torch

        order = sorted(range(len(texts)), key=lambda position: len(texts[position]))
        states: dict[int, NDArray[np.float32]] = {}
        try:
            with torch.inference_mode():
                for start in range(0, len(order), BATCH_SIZE):
                    positions = order[start : start + BATCH_SIZE]
                    states.update(self._batch([texts[p] for p in positions], positions))
        except (RuntimeError, ValueError, TypeError) as error:
            raise EncoderError(f"the sentence encoder failed on {len(texts)} text(s): {error}") from error
        return [states[position] for position in range(len(texts))]

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Word pieces of each text with [CLS] and [SEP], at most `MAX_TOKENS`. Raises `EncoderError`."""
        if not texts:
            return []
        try:
            pieces = self._tokenizer(list(texts), truncation=True, max_length=self._max_tokens)["input_ids"]
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

    def _batch(self, texts: list[str], positions: list[int]) -> dict[int, NDArray[np.float32]]:
        tokens = self._tokenizer(
            texts, padding=True, truncation=True, max_length=self._max_tokens, return_tensors="pt"
        ).to(self._model.device)
        hidden = self._model(**tokens).last_hidden_state.float().cpu().numpy()
        counts = tokens["attention_mask"].sum(dim=1).tolist()
        return {p: np.ascontiguousarray(hidden[i, : counts[i]]) for i, p in enumerate(positions)}


def require_token_states(states: Sequence[NDArray[np.float32]], count: int) -> None:
    """Raise `EncoderError` unless `states` are `count` arrays as `SentenceEncoder` promises them."""
    if len(states) != count:
        raise EncoderError(f"the sentence encoder gave {len(states)} results for {count} texts")
    for array in states:
        if array.ndim != 2 or array.shape[1] != TOKEN_WIDTH or array.shape[0] < 1:
            raise EncoderError(f"expected token states of shape (tokens, {TOKEN_WIDTH}), got {array.shape}")


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
