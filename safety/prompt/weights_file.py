"""The weights of the prompt classifier: one safetensors file with its calibration in the metadata."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING

from safety.errors import WeightsError
from safety.prompt.calibration import Calibration
from safety.prompt.taxonomy import CATEGORIES

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS_FILE = "prompt_classifier.safetensors"
FORMAT = "imprimatur-prompt-classifier/2"


@dataclass(frozen=True, slots=True)
class ClassifierWeights:
    """Trained tensors by name, their calibration, the SHA-256 of the encoder that they adapt, and of the file."""

    tensors: Mapping[str, Tensor]
    calibration: Calibration
    encoder_digest: str
    digest: str


def shipped_weights() -> ClassifierWeights:
    """The weights that ship with the product. Raises `WeightsError`."""
    return read_weights(files("safety").joinpath("prompt", "weights", WEIGHTS_FILE))


def read_weights(path: Traversable) -> ClassifierWeights:
    """Weights from a file. Raises `WeightsError` if it is missing, of another format or for other categories."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        content = path.read_bytes()
        tensors = {name: tensor.float() for name, tensor in load(content).items()}
        metadata = _metadata(content)
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise WeightsError(f"{path}: no readable safetensors file: {error}") from error
    if metadata.get("format") != FORMAT:
        raise WeightsError(f"{path}: expected weights of format {FORMAT}; train them again with this version")
    if metadata.get("categories") != ",".join(CATEGORIES):
        raise WeightsError(f"{path}: trained for other categories ({metadata.get('categories')}); train again")
    calibration = Calibration.from_json(metadata.get("calibration", ""), CATEGORIES)
    return ClassifierWeights(
        tensors, calibration, metadata.get("encoder_sha256", ""), hashlib.sha256(content).hexdigest()
    )


def save_weights(path: Path, tensors: Mapping[str, Tensor], calibration: Calibration, encoder_digest: str) -> None:
    """Write `tensors` in half precision, with all that `read_weights` needs."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {
        "format": FORMAT,
        "categories": ",".join(CATEGORIES),
        "encoder_sha256": encoder_digest,
        "calibration": calibration.to_json(),
    }
    save_file({name: tensor.detach().half().contiguous() for name, tensor in tensors.items()}, path, metadata=metadata)


def _metadata(content: bytes) -> dict[str, str]:
    """The metadata of a safetensors file: a length in 8 bytes, then a JSON header."""
    length = int.from_bytes(content[:8], "little")
    metadata: dict[str, str] = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    return metadata
