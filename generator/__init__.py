"""Image generation: requests, the model catalogue, and engines that draw."""

from generator.card import Defaults, ModelCard, load_card
from generator.catalogue import EMBLEM_CARD, ModelCatalogue
from generator.engine import Engine, Progress
from generator.errors import (
    DigestMismatchError,
    GenerationCancelledError,
    GenerationFailedError,
    GeneratorError,
    InvalidCardError,
    ModelLoadError,
    UnknownModelError,
    UnsafeWeightsError,
    UnsupportedRequestError,
)
from generator.image import GeneratedImage
from generator.model_folder import folder_digest
from generator.request import GenerationRequest, ResolvedRequest

__all__ = [
    "EMBLEM_CARD",
    "Defaults",
    "DigestMismatchError",
    "Engine",
    "GeneratedImage",
    "GenerationCancelledError",
    "GenerationFailedError",
    "GenerationRequest",
    "GeneratorError",
    "InvalidCardError",
    "ModelCard",
    "ModelCatalogue",
    "ModelLoadError",
    "Progress",
    "ResolvedRequest",
    "UnknownModelError",
    "UnsafeWeightsError",
    "UnsupportedRequestError",
    "folder_digest",
    "load_card",
]
