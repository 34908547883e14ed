"""The engine that runs diffusion pipelines: the embedded one, a local folder, or one from the hub."""

from __future__ import annotations

import inspect
import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator.card import ModelCard
from generator.engine import Progress
from generator.errors import (
    GenerationFailedError,
    GeneratorError,
    ModelLoadError,
    UnsupportedRequestError,
)
from generator.image import GeneratedImage
from generator.model_folder import verified_folder
from generator.request import ResolvedRequest

BUILT_IN_CHECKS_OFF: Mapping[str, object] = {
    "safety_checker": None,
    "requires_safety_checker": False,
    "add_watermarker": False,
}
"""Diffusers' own checks and marks are switched off: the service around the engine has its own, and records them."""


class DiffusionEngine:
    """Loads the model of one card on first use and generates with it, one call at a time.

    `components` are parts of the pipeline that its folder does not hold (the embedded model's `text_encoder` and
    `tokenizer`). `threads` sets PyTorch's thread count for the whole process; None leaves it.
    """

    def __init__(
        self,
        card: ModelCard,
        components: Mapping[str, object] | None = None,
        device: str = "cpu",
        threads: int | None = None,
    ) -> None:
        self._card = card
        self._components = dict(components or {})
        self._device = device
        self._threads = threads
        self._pipeline: Any = None
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
        """Generate `request.count` images with seeds `seed`, `seed + 1`, ...

        Raises what `load` raises, UnsupportedRequestError for another model's request, GenerationFailedError, and
        GenerationCancelledError if `progress` raises it.
        """
        if request.model != self._card.id:
            raise UnsupportedRequestError("model", request.model, f"{self._card.id!r}, which this engine runs")
        with self._lock:
            pipeline = self._loaded()
            started = time.perf_counter()
            arrays = self._run(pipeline, request, progress)
            elapsed_s = time.perf_counter() - started
        return self._describe(arrays, request, pipeline, elapsed_s)

    def close(self) -> None:
        """Drop the model; a later `generate` or `load` raises ModelLoadError."""
        with self._lock:
            self._pipeline = None
            self._closed = True

    def _loaded(self) -> Any:
        if self._closed:
            raise ModelLoadError(f"the engine for {self._card.id} is closed; make a new one")
        if self._pipeline is None:
            self._pipeline = self._load()
        return self._pipeline

    def _load(self) -> Any:
        folder = verified_folder(self._card)
        import torch
        from diffusers.utils.logging import disable_progress_bar

        disable_progress_bar()  # progress goes to the caller's callback alone
        if self._threads is not None:
            torch.set_num_threads(self._threads)
        try:
            pipeline_class = _pipeline_class(folder)
            accepted = inspect.signature(pipeline_class.__init__).parameters
            switched_off = {name: value for name, value in BUILT_IN_CHECKS_OFF.items() if name in accepted}
            pipeline = pipeline_class.from_pretrained(
                folder,
                dtype=torch.float32 if self._device == "cpu" else torch.float16,
                use_safetensors=True,
                local_files_only=True,
                low_cpu_mem_usage=False,
                **switched_off,
                **self._components,
            )
            pipeline.set_progress_bar_config(disable=True)
            return pipeline.to(self._device)
        except GeneratorError:
            raise
        except Exception as error:
            raise ModelLoadError(f"model {self._card.id} could not be loaded from {folder}: {error}") from error

    def _run(self, pipeline: Any, request: ResolvedRequest, progress: Progress | None) -> NDArray[np.float32]:
        import torch

        def step_done(_: Any, step: int, __: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            if progress is not None:
                progress(step + 1, request.steps)
            return tensors

        negative = {} if request.negative_prompt is None else {"negative_prompt": request.negative_prompt}
        try:
            output = pipeline(
                prompt=request.prompt,
                height=request.height,
                width=request.width,
                num_inference_steps=request.steps,
                guidance_scale=request.guidance,
                num_images_per_prompt=request.count,
                generator=[torch.Generator("cpu").manual_seed(request.seed + index) for index in range(request.count)],
                callback_on_step_end=step_done,
                output_type="np",
                **negative,
            )
        except GeneratorError:
            raise
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise GenerationFailedError(
                f"{self._card.id} ran out of memory; ask for fewer images at once or a smaller size"
            ) from error
        except Exception as error:
            raise GenerationFailedError(f"{self._card.id} failed: {error}") from error
        arrays = np.asarray(output.images, np.float32)
        if not np.isfinite(arrays).all():
            raise GenerationFailedError(
                f"{self._card.id} produced values that are no numbers; lower the guidance, or check the weights"
            )
        return arrays

    def _describe(
        self, arrays: NDArray[np.float32], request: ResolvedRequest, pipeline: Any, elapsed_s: float
    ) -> list[GeneratedImage]:
        import torch

        pixels = np.rint(np.clip(arrays, 0, 1) * 255).astype(np.uint8)
        return [
            GeneratedImage(
                pixels=np.ascontiguousarray(image),
                seed=request.seed + index,
                index=index,
                model=self._card.id,
                model_digest=self._card.digest,
                width=image.shape[1],
                height=image.shape[0],
                steps=request.steps,
                guidance=request.guidance,
                scheduler=type(pipeline.scheduler).__name__,
                batch_size=request.count,
                threads=torch.get_num_threads(),
                elapsed_s=elapsed_s,
            )
            for index, image in enumerate(pixels)
        ]


def _pipeline_class(folder: Path) -> Any:
    """Our own class for our own models; for others the one that diffusers has for their text-to-image task."""
    name = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))["_class_name"]
    if name == "EmblemPipeline":
        from generator.emblem.pipeline import EmblemPipeline

        return EmblemPipeline
    import diffusers
    from diffusers.pipelines.auto_pipeline import AUTO_TEXT2IMAGE_PIPELINES_MAPPING

    known = getattr(diffusers, str(name), None)
    if known is None:
        raise ModelLoadError(f"diffusers has no pipeline {name!r}, which {folder} asks for; update diffusers")
    return known if known in AUTO_TEXT2IMAGE_PIPELINES_MAPPING.values() else diffusers.AutoPipelineForText2Image
