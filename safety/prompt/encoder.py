"""The sentence encoder that prompt checks are given; its weights belong to the composition root."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from safety.errors import EncoderError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TOKEN_WIDTH = 384
MAX_TOKENS = 256
"""Longer texts are cut: all-MiniLM-L6-v2 was trained with at most 256 word pieces."""

BATCH_SIZE = 32


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
