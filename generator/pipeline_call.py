"""What a pipeline is called with for a batch of draws, whatever its class happens to accept."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generator.canvas import seen
from generator.engine import Draw, Progress
from generator.errors import UnsupportedRequestError


def arguments(pipeline: Any, batch: Sequence[Draw], progress: Progress | None) -> dict[str, Any]:
    """Keyword arguments for one call that makes one image for each draw, as an array of floats.

    Every image has a random generator of its own, so that it does not depend on what it is batched with.
    Raises UnsupportedRequestError for a parameter that this pipeline cannot heed.
    """
    import torch

    request = batch[0].request
    accepted = inspect.signature(type(pipeline).__call__).parameters
    for parameter in ("prompt", "negative_prompt", "strength"):
        value = next(filter(None, (getattr(draw.request, parameter) for draw in batch)), None)
        if value and parameter not in accepted:
            raise UnsupportedRequestError(parameter, value, f"none for the task {request.task} with this model")
    given: dict[str, Any] = {
        "prompt": [draw.request.prompt for draw in batch],
        "num_inference_steps": request.steps,
        "guidance_scale": request.guidance,
        "generator": [torch.Generator("cpu").manual_seed(draw.seed) for draw in batch],
        "output_type": "np",
    }
    if request.negative_prompt is not None:
        given["negative_prompt"] = [draw.request.negative_prompt for draw in batch]
        if "true_cfg_scale" in accepted:  # FLUX is distilled with its guidance; a negative prompt needs the real one
            given["true_cfg_scale"] = request.guidance
    if request.image is not None:
        given |= _pictures(batch)
    else:
        given |= {"width": request.width, "height": request.height}
    optional = {"strength": request.strength, "scale": request.scale}
    given |= {name: value for name, value in optional.items() if value is not None}
    given |= _watched(pipeline, accepted, progress, request.steps)
    return {name: value for name, value in given.items() if name in accepted}


def _pictures(batch: Sequence[Draw]) -> dict[str, Any]:
    """Images, and masks where there are any, at the size at which the model sees them."""
    request = batch[0].request
    if request.window is None:
        images = [_image(draw.request.image) for draw in batch]
        return {"image": images, "width": request.width, "height": request.height}
    pairs = [(draw.request.image, draw.request.mask, draw.request.window) for draw in batch]
    return {
        "image": [_image(seen(image, window)) for image, _, window in pairs if image is not None and window],
        "mask_image": [_image(seen(mask, window)) for _, mask, window in pairs if mask is not None and window],
        "width": request.window.model_width,
        "height": request.window.model_height,
    }


def _image(pixels: NDArray[np.uint8] | None) -> Any:
    from PIL import Image

    assert pixels is not None
    return Image.fromarray(pixels)


def _watched(pipeline: Any, accepted: Any, progress: Progress | None, steps: int) -> dict[str, Any]:
    """The callback by which a pipeline tells of its steps; old classes have another than new ones."""
    if progress is None:
        return {}

    def total() -> int:
        return int(getattr(pipeline, "num_timesteps", None) or steps)

    def step_done(_: Any, step: int, __: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        progress(step + 1, max(total(), step + 1))
        return tensors

    def old_step_done(step: int, _: Any, __: Any) -> None:
        progress(step + 1, max(steps, step + 1))

    if "callback_on_step_end" in accepted:
        return {"callback_on_step_end": step_done}
    return {"callback": old_step_done, "callback_steps": 1}
