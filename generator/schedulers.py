"""Sampling schedulers by name, for models that can run with more than their own."""

from __future__ import annotations

from typing import Any, NamedTuple


class _Choice(NamedTuple):
    class_name: str
    options: dict[str, object]


_NOISE = {
    "ddim": _Choice("DDIMScheduler", {}),
    "ddpm": _Choice("DDPMScheduler", {}),
    "euler": _Choice("EulerDiscreteScheduler", {}),
    "euler-ancestral": _Choice("EulerAncestralDiscreteScheduler", {}),
    "heun": _Choice("HeunDiscreteScheduler", {}),
    "dpm++-2m": _Choice("DPMSolverMultistepScheduler", {"use_karras_sigmas": False}),
    "dpm++-2m-karras": _Choice("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "unipc": _Choice("UniPCMultistepScheduler", {}),
    "pndm": _Choice("PNDMScheduler", {"skip_prk_steps": True}),
}
"""For models that predict noise or velocity over discrete time steps (Stable Diffusion 1.x, 2.x, XL)."""

_FLOW = {
    "flow-euler": _Choice("FlowMatchEulerDiscreteScheduler", {}),
    "flow-euler-karras": _Choice("FlowMatchEulerDiscreteScheduler", {"use_karras_sigmas": True}),
    "flow-euler-exponential": _Choice("FlowMatchEulerDiscreteScheduler", {"use_exponential_sigmas": True}),
}
"""For models of flow matching (Stable Diffusion 3, FLUX); their pipelines give the sigmas, which others do not take."""

_BY_NAME = _NOISE | _FLOW


def offered(scheduler: Any) -> tuple[str, ...]:
    """The names that a model with this scheduler can be run with."""
    if type(scheduler).__name__.startswith("FlowMatch"):
        return tuple(_FLOW)
    compatible = {type(scheduler).__name__, *(found.__name__ for found in getattr(scheduler, "compatibles", ()))}
    return tuple(name for name, choice in _NOISE.items() if choice.class_name in compatible)


def chosen(own: Any, name: str | None) -> Any:
    """A fresh scheduler: the model's own for None, else the named one with the model's noise schedule."""
    if name is None:
        return type(own).from_config(own.config)
    import diffusers

    choice = _BY_NAME[name]
    return getattr(diffusers, choice.class_name).from_config(own.config, **choice.options)


def describe(scheduler: Any, name: str | None) -> str:
    """What the record says: the class, and the name it was asked for by."""
    return type(scheduler).__name__ if name is None else f"{type(scheduler).__name__} ({name})"
