"""Which pipeline class does which task, and what a family of models wants where nothing is said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from generator.card import ModelCard
from generator.errors import ModelLoadError, UnsupportedRequestError

_EMBLEM = {
    "text-to-image": "EmblemPipeline",
    "image-to-image": "EmblemImg2ImgPipeline",
    "inpaint": "EmblemInpaintPipeline",
    "outpaint": "EmblemInpaintPipeline",
    "variation": "EmblemVariationPipeline",
    "upscale": "EmblemUpscalePipeline",
}
"""Our own classes, in `generator.emblem`."""

_SPECIFIC: dict[str, tuple[str, ...]] = {
    "FluxFillPipeline": ("inpaint", "outpaint"),
    "StableDiffusionUpscalePipeline": ("upscale",),
    "StableDiffusionLatentUpscalePipeline": ("upscale",),
}
"""Classes of diffusers that no Auto pipeline knows, and what they do."""

_AUTO_TASKS = {
    "text-to-image": "AUTO_TEXT2IMAGE_PIPELINES_MAPPING",
    "image-to-image": "AUTO_IMAGE2IMAGE_PIPELINES_MAPPING",
    "variation": "AUTO_IMAGE2IMAGE_PIPELINES_MAPPING",
    "inpaint": "AUTO_INPAINT_PIPELINES_MAPPING",
    "outpaint": "AUTO_INPAINT_PIPELINES_MAPPING",
}
_UPSCALING = {"StableDiffusionUpscalePipeline": 4, "StableDiffusionLatentUpscalePipeline": 2}


@dataclass(frozen=True, slots=True)
class FamilyDefaults:
    """Steps and guidance scale that the makers of a family recommend, and whether it takes negative prompts."""

    steps: int
    guidance: float
    negative_prompts: bool = True


_DEFAULTS = {  # from the makers' model cards
    "StableDiffusion3": FamilyDefaults(28, 4.5),
    "StableDiffusionXL": FamilyDefaults(30, 5.0),
    "StableDiffusionUpscale": FamilyDefaults(50, 9.0),
    "StableDiffusionLatentUpscale": FamilyDefaults(20, 0.0),
    "StableDiffusion": FamilyDefaults(30, 7.5),
    "FluxFill": FamilyDefaults(50, 30.0, negative_prompts=False),
    "Flux": FamilyDefaults(28, 3.5),
}


def pipeline_class(base: str, task: str, card: ModelCard) -> Any:
    """The class that does `task` for a model whose `model_index.json` names the class `base`.

    Raises UnsupportedRequestError if there is none, ModelLoadError for a class that diffusers does not have.
    """
    named = card.pipelines.get(task)
    if named is not None:
        return diffusers_class(named)
    if base in _EMBLEM.values():
        return _emblem_class(_EMBLEM[task])
    found = _automatic(base, task)
    if found is None:
        raise UnsupportedRequestError("task", task, f"a task that {base} has a pipeline for: {', '.join(tasks(base))}")
    return found


def base_class(base: str) -> Any:
    """The class that `model_index.json` names. Raises ModelLoadError."""
    if base in _EMBLEM.values():
        return _emblem_class(base)
    return diffusers_class(base)


def diffusers_class(name: str) -> Any:
    """A pipeline class of diffusers. Raises ModelLoadError."""
    import diffusers

    found = getattr(diffusers, name, None)
    if not isinstance(found, type) or not issubclass(found, diffusers.DiffusionPipeline):
        raise ModelLoadError(f"diffusers has no pipeline {name!r}, which the model asks for; update diffusers")
    return found


def tasks(base: str) -> tuple[str, ...]:
    """All tasks that a model of this class can do."""
    if base in _EMBLEM.values():
        return tuple(_EMBLEM)
    if base in _SPECIFIC:
        return _SPECIFIC[base]
    return tuple(task for task in _AUTO_TASKS if _automatic(base, task) is not None)


def upscaling_factor(base: str) -> int | None:
    """By how much a class enlarges; None if it does not."""
    return _UPSCALING.get(base)


def family_defaults(base: str) -> FamilyDefaults:
    """What the makers of the family recommend; Stable Diffusion's for one that is not known here."""
    matching = [name for name in _DEFAULTS if base.startswith(name)]
    return _DEFAULTS[max(matching, key=len)] if matching else _DEFAULTS["StableDiffusion"]


def _emblem_class(name: str) -> Any:
    from generator.emblem import pipeline

    if hasattr(pipeline, name):
        return getattr(pipeline, name)
    from generator.emblem import image_pipelines

    return getattr(image_pipelines, name)


def _automatic(base: str, task: str) -> Any | None:
    """What diffusers' Auto pipelines take for the task, or the class itself where it does just that task.

    A class that was made for inpainting (nine input channels) or refining is not asked for other tasks, although its
    family knows them: its weights are not made for them.
    """
    from diffusers.pipelines import auto_pipeline

    if task in _SPECIFIC.get(base, ()):
        return diffusers_class(base)
    if task not in _AUTO_TASKS:
        return None
    mapping = getattr(auto_pipeline, _AUTO_TASKS[task])
    own = next((found for found in mapping.values() if found.__name__ == base), None)
    if own is not None:
        return own
    family = next(
        (name for name, found in auto_pipeline.AUTO_TEXT2IMAGE_PIPELINES_MAPPING.items() if found.__name__ == base),
        None,
    )
    return None if family is None else mapping.get(family)
