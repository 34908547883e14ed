"""The trained head of the prompt classifier: attention pooling over token states, in numpy."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

import numpy as np
from numpy.typing import NDArray

from safety.errors import WeightsError
from safety.prompt.encoder import TOKEN_WIDTH
from safety.prompt.taxonomy import CATEGORIES

WEIGHTS_FILE = "prompt_classifier.safetensors"
FORMAT = "imprimatur-prompt-head/1"

Floats = NDArray[np.float32]

_TENSORS = ("in.weight", "in.bias", "query.weight", "hidden.weight", "hidden.bias", "out.weight", "out.bias")


@dataclass(frozen=True, slots=True)
class HeadOutput:
    """`unsafe`: calibrated probability, shape (n,); `categories`: given that it is unsafe, shape (n, 10)."""

    unsafe: NDArray[np.float64]
    categories: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Numbers chosen on the calibration half of dev: Platt scaling, and the two thresholds."""

    slope: float
    offset: float
    threshold: float
    flag_threshold: float


class PromptHead:
    """An ensemble of equal members; each pools the token states with learned queries (Lin et al. 2017,
    "A structured self-attentive sentence embedding"), joins the mean-pooled unit vector, and has one hidden
    layer. Immutable; safe to share between threads."""

    def __init__(self, tensors: dict[str, Floats], calibration: Calibration, encoder_digest: str, digest: str) -> None:
        self._tensors = tensors
        self.calibration = calibration
        self.encoder_digest = encoder_digest
        self.digest = digest

    @classmethod
    def shipped(cls) -> PromptHead:
        """The head that ships with the product. Raises `WeightsError`."""
        return cls.from_file(files("safety").joinpath("prompt", "weights", WEIGHTS_FILE))

    @classmethod
    def from_file(cls, path: Traversable) -> PromptHead:
        """Head from a safetensors file. Raises `WeightsError` if it is missing or of another format."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            content = path.read_bytes()
            tensors = {name: array.astype(np.float32) for name, array in load(content).items()}
            metadata = _metadata(content)
        except (OSError, SafetensorError, ValueError, KeyError) as error:
            raise WeightsError(f"{path}: no readable safetensors file: {error}") from error
        if metadata.get("format") != FORMAT or set(tensors) != set(_TENSORS):
            raise WeightsError(f"{path}: expected weights of format {FORMAT}; train them again with this version")
        if metadata.get("categories") != ",".join(CATEGORIES):
            raise WeightsError(f"{path}: trained for other categories ({metadata.get('categories')}); train again")
        calibration = Calibration(
            **{name: float(metadata[name]) for name in ("slope", "offset", "threshold", "flag_threshold")}
        )
        return cls(tensors, calibration, metadata["encoder_sha256"], hashlib.sha256(content).hexdigest())

    def __call__(self, states: Sequence[Floats]) -> HeadOutput:
        """Output for each text's token states, float32 of shape (tokens, 384)."""
        logits = np.stack([self._logits(state) for state in states]).astype(np.float64)
        unsafe = _sigmoid(self.calibration.slope * logits[:, 0] + self.calibration.offset)
        return HeadOutput(unsafe, _sigmoid(logits[:, 1:]))

    def _logits(self, states: Floats) -> Floats:
        """Logits averaged over the members, shape (1 + categories,): unsafe first."""
        t = self._tensors
        mean = states.mean(axis=0)
        mean = mean / max(float(np.linalg.norm(mean)), 1e-6)
        values = _silu(np.einsum("td,mhd->mth", states, t["in.weight"]) + t["in.bias"][:, None])
        scores = np.einsum("mth,mqh->mtq", values, t["query.weight"])
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        members, tokens, width = values.shape
        queries = weights.shape[2]
        parted = values.reshape(members, tokens, queries, width // queries)
        pooled = np.einsum("mtq,mtqw->mqw", weights, parted).reshape(members, width)
        joined = np.concatenate([pooled, np.tile(mean * np.float32(TOKEN_WIDTH**0.5), (members, 1))], axis=1)
        hidden = _silu(np.einsum("mi,moi->mo", joined, t["hidden.weight"]) + t["hidden.bias"])
        logits: Floats = (np.einsum("mi,moi->mo", hidden, t["out.weight"]) + t["out.bias"]).mean(axis=0)
        return logits


def _metadata(content: bytes) -> dict[str, str]:
    """The metadata of a safetensors file: a length in 8 bytes, then a JSON header."""
    length = int.from_bytes(content[:8], "little")
    metadata: dict[str, str] = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    return metadata


def _silu(x: Floats) -> Floats:
    return np.asarray(x / (1.0 + np.exp(-np.maximum(x, np.float32(-80.0)))), dtype=np.float32)


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1.0 / (1.0 + np.exp(-np.clip(x, -60.0, 60.0)))
