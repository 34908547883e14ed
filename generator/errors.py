"""What can go wrong in image generation, as one family of exceptions."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


class GeneratorError(Exception):
    """Root of every error that this package raises."""


class UnknownModelError(GeneratorError):
    """No card has this model id."""

    def __init__(self, model_id: str, known: Iterable[str]) -> None:
        self.model_id = model_id
        self.known = tuple(sorted(known))
        listing = ", ".join(self.known) or "none"
        super().__init__(f"unknown model {model_id!r}; known models: {listing}")


class InvalidCardError(GeneratorError):
    """A model card cannot be read or lacks a field."""


class UnsafeWeightsError(GeneratorError):
    """A model folder holds pickled weights, which can run code when loaded."""

    def __init__(self, folder: Path, files: Iterable[str]) -> None:
        self.folder = folder
        self.files = tuple(sorted(files))
        super().__init__(
            f"{folder} holds pickled weights ({', '.join(self.files)}); only safetensors are loaded: "
            "convert the model, or remove these files"
        )


class DigestMismatchError(GeneratorError):
    """Files differ from the digest on record, so they are not loaded. `problems` says which, where that is known."""

    def __init__(self, folder: Path, *, expected: str, found: str, problems: Iterable[str] = ()) -> None:
        self.folder = folder
        self.expected = expected
        self.found = found
        self.problems = tuple(problems)
        which = f" ({'; '.join(self.problems[:5])})" if self.problems else ""
        super().__init__(
            f"{folder} has digest {found}, expected {expected}{which}; restore the files, "
            "or correct the card after checking where they come from"
        )


class UnsupportedRequestError(GeneratorError):
    """The model cannot do what one parameter of the request asks for."""

    def __init__(self, parameter: str, value: object, expected: str) -> None:
        self.parameter = parameter
        self.value = value
        self.expected = expected
        super().__init__(f"{parameter}={value!r} is not supported; expected {expected}")


class ModelLoadError(GeneratorError):
    """The model's files are there but could not be loaded."""


class GenerationFailedError(GeneratorError):
    """The model failed while it was generating."""


class OutOfMemoryError(GenerationFailedError):
    """The model ran out of memory; the engine goes on with the next request."""


class GenerationCancelledError(GeneratorError):
    """The caller stopped the generation; raise it from a progress callback."""


class GenerationTimeoutError(GeneratorError):
    """A request was not done in its time, waiting included."""


class QueueFullError(GeneratorError):
    """Too many images wait already; `retry_after_s` is when to come back."""

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class QueueClosedError(GeneratorError):
    """The queue was closed before the request was done."""
