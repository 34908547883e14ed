"""Image generation: requests, the model catalogue, and engines that draw."""

from generator.canvas import Extension
from generator.card import Defaults, ModelCard, Upscaling, load_card
from generator.catalogue import EMBLEM_CARD, ModelCatalogue
from generator.engine import Draw, Engine, Progress
from generator.errors import (
    DigestMismatchError,
    GenerationCancelledError,
    GenerationFailedError,
    GenerationTimeoutError,
    GeneratorError,
    InvalidCardError,
    ModelLoadError,
    OutOfMemoryError,
    QueueClosedError,
    QueueFullError,
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
    "Draw",
    "Engine",
    "Extension",
    "GeneratedImage",
    "GenerationCancelledError",
    "GenerationFailedError",
    "GenerationRequest",
    "GenerationTimeoutError",
    "GeneratorError",
    "InvalidCardError",
    "ModelCard",
    "ModelCatalogue",
    "ModelLoadError",
    "OutOfMemoryError",
    "Progress",
    "QueueClosedError",
    "QueueFullError",
    "ResolvedRequest",
    "UnknownModelError",
    "UnsafeWeightsError",
    "UnsupportedRequestError",
    "Upscaling",
    "folder_digest",
    "load_card",
]
