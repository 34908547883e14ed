"""The engine that runs diffusion pipelines: the embedded one, a local folder, or one from the hub."""

from __future__ import annotations

import inspect
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator import families, placement, schedulers
from generator.canvas import pasted
from generator.card import ModelCard
from generator.engine import Draw, Progress, draws
from generator.errors import (
    GenerationFailedError,
    GeneratorError,
    ModelLoadError,
    OutOfMemoryError,
    UnsupportedRequestError,
)
from generator.image import GeneratedImage
from generator.model_folder import verified_folder
from generator.pipeline_call import arguments
from generator.placement import Placement, Wishes
from generator.request import ResolvedRequest

BUILT_IN_CHECKS_OFF: Mapping[str, object] = {
    "safety_checker": None,
    "requires_safety_checker": False,
    "add_watermarker": False,
    "watermarker": None,
}
"""Diffusers' own checks and marks are switched off: the service around the engine has its own, and records them."""


class DiffusionEngine:
    """Loads the model of one card on first use and generates with it, one batch at a time.

    `components` are parts of the pipeline that its folder does not hold (the embedded model's `text_encoder` and
    `tokenizer`). `threads` sets PyTorch's thread count for the whole process; None leaves it.
    """

    def __init__(
        self,
        card: ModelCard,
        components: Mapping[str, object] | None = None,
        wishes: Wishes = Wishes(device="cpu"),  # noqa: B008 - frozen
        threads: int | None = None,
    ) -> None:
        self._card = card
        self._components = dict(components or {})
        self._wishes = wishes
        self._threads = threads
        self._base: Any = None
        self._own_scheduler: Any = None
        self._base_name = ""
        self._placement: Placement | None = None
        self._pipelines: dict[type, Any] = {}
        self._closed = False
        self._lock = threading.Lock()

    @property
    def card(self) -> ModelCard:
        """The card of the model that this engine runs."""
        return self._card

    def load(self) -> None:
        """Load the model now rather than on first use.

        Raises DigestMismatchError, UnsafeWeightsError, ModelLoadError.
        """
        with self._lock:
            self._loaded()

    def generate(self, request: ResolvedRequest, progress: Progress | None = None) -> list[GeneratedImage]:
        """Generate `request.count` images with seeds `seed`, `seed + 1`, ... in one batch; raises as `draw`."""
        return self.draw(draws(request), progress)

    def draw(self, batch: Sequence[Draw], progress: Progress | None = None) -> list[GeneratedImage]:
        """Generate one image for each draw, in one batch.

        Raises what `load` raises, UnsupportedRequestError for another model's request or draws that do not go
        together, OutOfMemoryError, GenerationFailedError, and GenerationCancelledError if `progress` raises it.
        """
        request = batch[0].request
        if request.model != self._card.id:
            raise UnsupportedRequestError("model", request.model, f"{self._card.id!r}, which this engine runs")
        if len({draw.request.batch_key for draw in batch}) > 1:
            raise UnsupportedRequestError("batch", "different requests", "draws with equal batch keys")
        with self._lock:
            self._loaded()
            started = time.perf_counter()
            if _changes_nothing(request):
                scheduler = self._own_scheduler
                pictures = [_picture(draw) for draw in batch]
            else:
                pipeline = self._pipeline(request.task)
                with self._failures_named():
                    scheduler = schedulers.chosen(self._own_scheduler, request.scheduler)
                    pictures = self._run(pipeline, scheduler, batch, progress)
            elapsed_s = time.perf_counter() - started
        return self._describe(pictures, batch, schedulers.describe(scheduler, request.scheduler), elapsed_s)

    def close(self) -> None:
        """Drop the model; a later `generate` or `load` raises ModelLoadError."""
        with self._lock:
            self._base = None
            self._pipelines.clear()
            self._closed = True

    def _loaded(self) -> None:
        if self._closed:
            raise ModelLoadError(f"the engine for {self._card.id} is closed; make a new one")
        if self._base is None:
            self._base = self._load()
            self._own_scheduler = self._base.scheduler

    def _load(self) -> Any:
        folder = verified_folder(self._card)
        import torch
        from diffusers.utils.import_utils import is_accelerate_available
        from diffusers.utils.logging import disable_progress_bar
        from transformers.utils.logging import disable_progress_bar as disable_bars_of_transformers

        disable_progress_bar()  # progress goes to the caller's callback alone
        disable_bars_of_transformers()
        if self._threads is not None:
            torch.set_num_threads(self._threads)
        try:
            index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
            self._base_name = str(index["_class_name"])
            device = placement.find_device(self._wishes.device)
            parameters = placement.count_parameters(folder, self._card.variant)
            where = placement.place(parameters, self._wishes, device, placement.free_bytes(device))
            base_class = families.base_class(self._base_name)
            pipeline = base_class.from_pretrained(
                folder,
                dtype=getattr(torch, where.dtype),
                variant=self._card.variant,
                use_safetensors=True,
                local_files_only=True,
                low_cpu_mem_usage=is_accelerate_available(),
                **{**_absent(index), **_switched_off(base_class), **self._components},
            )
            pipeline.set_progress_bar_config(disable=True)
            self._placement = where
            return placement.apply(where, pipeline)
        except GeneratorError:
            raise
        except Exception as error:
            raise ModelLoadError(f"model {self._card.id} could not be loaded from {folder}: {error}") from error

    def _pipeline(self, task: str) -> Any:
        """The pipeline for a task, sharing the loaded parts. Raises UnsupportedRequestError, ModelLoadError."""
        wanted = families.pipeline_class(self._base_name, task, self._card)
        if type(self._base) is wanted:
            return self._base
        if wanted not in self._pipelines:
            assert self._placement is not None
            try:
                self._pipelines[wanted] = placement.apply(self._placement, _sharing(self._base, wanted))
            except GeneratorError:
                raise
            except Exception as error:
                raise ModelLoadError(f"{wanted.__name__} cannot be made from {self._base_name}: {error}") from error
        return self._pipelines[wanted]

    @contextmanager
    def _failures_named(self) -> Iterator[None]:
        import torch

        try:
            yield
        except GeneratorError:
            raise
        except (MemoryError, torch.OutOfMemoryError) as error:
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            raise OutOfMemoryError(
                f"{self._card.id} ran out of memory; ask for fewer images at once or a smaller size"
            ) from error
        except Exception as error:
            if _is_failed_allocation(error):
                raise OutOfMemoryError(
                    f"{self._card.id} ran out of memory; ask for fewer images at once or a smaller size"
                ) from error
            raise GenerationFailedError(f"{self._card.id} failed: {error}") from error

    def _run(
        self, pipeline: Any, scheduler: Any, batch: Sequence[Draw], progress: Progress | None
    ) -> list[NDArray[np.uint8]]:
        pipeline.scheduler = scheduler  # fresh for every run: schedulers keep state between steps
        output = pipeline(**arguments(pipeline, batch, progress))
        arrays = np.asarray(output.images, np.float32)
        if not np.isfinite(arrays).all():
            raise GenerationFailedError(
                f"{self._card.id} produced values that are no numbers; lower the guidance, or check the weights"
            )
        return [
            _placed_back(np.rint(np.clip(array, 0, 1) * 255).astype(np.uint8), draw)
            for array, draw in zip(arrays, batch, strict=True)
        ]

    def _describe(
        self, pictures: Sequence[NDArray[np.uint8]], batch: Sequence[Draw], scheduler: str, elapsed_s: float
    ) -> list[GeneratedImage]:
        import torch

        assert self._placement is not None
        return [
            GeneratedImage(
                pixels=np.ascontiguousarray(pixels),
                seed=draw.seed,
                index=index,
                model=self._card.id,
                model_digest=self._card.digest,
                width=pixels.shape[1],
                height=pixels.shape[0],
                steps=draw.request.steps,
                guidance=draw.request.guidance,
                scheduler=scheduler,
                batch_size=len(batch),
                threads=torch.get_num_threads(),
                device=self._placement.device,
                dtype=self._placement.dtype,
                elapsed_s=elapsed_s,
                strength=draw.request.strength,
            )
            for index, (pixels, draw) in enumerate(zip(pictures, batch, strict=True))
        ]


def _absent(index: Mapping[str, Any]) -> dict[str, None]:
    """Parts that a model says it does without (a Stable Diffusion 3 without T5); diffusers wants to be told so."""
    return {name: None for name, value in index.items() if value == [None, None]}


def _switched_off(pipeline_class: Any) -> dict[str, object]:
    accepted = inspect.signature(pipeline_class.__init__).parameters
    return {name: value for name, value in BUILT_IN_CHECKS_OFF.items() if name in accepted}


def _sharing(base: Any, wanted: Any) -> Any:
    """A pipeline of another class over the same parts.

    Not `from_pipe`, which casts every part to one precision, also those that must stay in float32.
    """
    accepted = inspect.signature(wanted.__init__).parameters
    parts = {name: part for name, part in base.components.items() if name in accepted}
    options = {name: base.config[name] for name in accepted if name in base.config and name not in parts}
    pipeline = wanted(**{**options, **parts, **_switched_off(wanted)})
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _changes_nothing(request: ResolvedRequest) -> bool:
    """Whether so little strength is asked for that not one step would be done; then the picture stays as it is."""
    return request.strength is not None and round(request.steps * request.strength, 6) < 1


def _picture(draw: Draw) -> NDArray[np.uint8]:
    assert draw.request.image is not None
    return draw.request.image


def _placed_back(pixels: NDArray[np.uint8], draw: Draw) -> NDArray[np.uint8]:
    """What the pipeline made; of a repainted picture only what lies inside the mask."""
    request = draw.request
    if request.window is None:
        return pixels
    assert request.image is not None
    assert request.mask is not None
    return pasted(request.image, pixels, request.window, request.mask)


def _is_failed_allocation(error: Exception) -> bool:
    """PyTorch's CPU allocator raises a plain RuntimeError."""
    return isinstance(error, RuntimeError) and "not enough memory" in str(error)
