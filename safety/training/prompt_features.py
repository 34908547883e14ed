"""States of texts after the encoder's shared layers: computed once, as these layers are not trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from safety.prompt.canonical import encodable
from safety.prompt.encoder import MiniLmEncoder, batches, token_batch
from safety.prompt.network import LowerNetwork

TRAINING_TOKENS = 64
"""Texts are cut here; few reach it."""


@dataclass(frozen=True, slots=True)
class Features:
    """Token states of texts, half precision, one after the other; `offsets` has one entry more than texts."""

    states: NDArray[np.float16]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def lengths(self) -> NDArray[np.int64]:
        """Word pieces of each text."""
        return np.diff(self.offsets)

    def batch(self, rows: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """States (n, tokens, 384), zero-padded, and their mask; None if there is no padding."""
        lengths = self.offsets[rows + 1] - self.offsets[rows]
        states = np.zeros((len(rows), int(lengths.max()), self.states.shape[1]), dtype=np.float32)
        for position, row in enumerate(rows):
            states[position, : lengths[position]] = self.states[self.offsets[row] : self.offsets[row + 1]]
        if (lengths == lengths[0]).all():
            return torch.from_numpy(states), None
        return torch.from_numpy(states), torch.from_numpy(np.arange(states.shape[1]) < lengths[:, None])


def compute_features(encoder: MiniLmEncoder, texts: Sequence[str]) -> Features:
    """Features of `texts`, each cut to `TRAINING_TOKENS` word pieces."""
    lower = LowerNetwork(encoder).eval()
    pieces = [text[:TRAINING_TOKENS] for text in encoder.tokenize([encodable(text) for text in texts])]
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in pieces])]).astype(np.int64)
    states = np.empty((offsets[-1], 384), dtype=np.float16)
    with torch.inference_mode():
        for positions in batches(pieces):
            batch = token_batch([pieces[position] for position in positions])
            found = lower(batch.ids, batch.mask).numpy()
            for row, position in enumerate(positions):
                states[offsets[position] : offsets[position + 1]] = found[row, : len(pieces[position])]
    return Features(states, offsets)


def cached_features(encoder: MiniLmEncoder, texts: Sequence[str], cache: Path | None) -> Features:
    """As `compute_features`, from `cache` (an .npz file) if it holds as many texts, else written to it."""
    if cache is not None and cache.is_file():
        stored = np.load(cache)
        if len(stored["offsets"]) == len(texts) + 1:
            return Features(stored["states"], stored["offsets"])
    features = compute_features(encoder, texts)
    if cache is not None:
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.savez(cache, states=features.states, offsets=features.offsets)
    return features
