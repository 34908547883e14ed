"""Making a model card from a model's own files: from a local folder, or from the hub at a revision."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from generator import families, schedulers
from generator.card import HUB_PREFIX, Defaults, ModelCard, Upscaling, card_text, listing_digest, load_card
from generator.catalogue import EMBLEM_CARD
from generator.errors import InvalidCardError, ModelLoadError
from generator.model_folder import file_digests, refuse_code

_SHAPES = ((1, 1), (4, 3), (3, 4), (3, 2), (2, 3), (16, 9), (9, 16))
_SIZE_STEP_PIXELS = 64
_LATENT_SIDE_OF_FLUX = 128  # its transformer's configuration names no size
_UPSCALER_SIDE_PIXELS = 512


@dataclasses.dataclass(frozen=True, slots=True)
class Statement:
    """What the files themselves do not say. `id` None is taken from the source."""

    licence: str
    training_data: str
    id: str | None = None
    title: str | None = None


def describe_folder(folder: Path, statement: Statement) -> ModelCard:
    """The card of a diffusers model in a local folder, with the SHA-256 of every file.

    Raises ModelLoadError for what is no such model, UnsafeWeightsError for pickled weights.
    """
    folder = folder.resolve()
    return _described(folder, statement, source=str(folder), revision="local", variant=None)


def describe_hub_model(hub_id: str, revision: str, variant: str | None, statement: Statement) -> ModelCard:
    """The card of a model on the hub, which is fetched; a branch or tag becomes the commit that it stands for.

    Raises ModelLoadError if it cannot be fetched or is no such model, UnsafeWeightsError for pickled weights.
    """
    from diffusers.pipelines.pipeline_utils import DiffusionPipeline
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        folder = Path(
            DiffusionPipeline.download(
                hub_id, revision=revision, variant=variant, use_safetensors=True, safety_checker=None
            )
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError, AttributeError) as error:
        raise ModelLoadError(f"model {hub_id} at revision {revision} could not be fetched: {error}") from error
    commit = folder.name  # the hub's cache keeps each commit in a folder of its name
    named = dataclasses.replace(statement, id=statement.id or hub_id)
    return _described(folder, named, source=f"{HUB_PREFIX}{hub_id}", revision=commit, variant=variant)


def write_card(card: ModelCard, folder: Path) -> Path:
    """Write a card file into a folder, which is made; returns its path.

    Raises InvalidCardError if another card of this name is there already.
    """
    path = folder / (re.sub(r"[^A-Za-z0-9._-]+", "--", card.id) + ".yaml")
    text = card_text(card)
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise InvalidCardError(f"{path} is there already and says something else; remove it, or choose another id")
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=".card-")
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    os.chmod(name, 0o644)
    os.replace(name, path)
    return path


def _described(folder: Path, statement: Statement, *, source: str, revision: str, variant: str | None) -> ModelCard:
    refuse_code(folder)
    base = _json(folder / "model_index.json").get("_class_name")
    if not isinstance(base, str):
        raise ModelLoadError(f"{folder / 'model_index.json'} names no pipeline class")
    families.base_class(base)
    tasks = families.tasks(base)
    if not tasks:
        raise ModelLoadError(f"{base} does none of the tasks of this program; see docs/models.md for the families")
    files = file_digests(folder)
    model_id = statement.id or folder.name
    common: dict[str, Any] = {
        "id": model_id,
        "title": statement.title or model_id,
        "source": source,
        "revision": revision,
        "licence": statement.licence,
        "training_data": statement.training_data,
        "digest": listing_digest(files),
        "files": files,
        "variant": variant,
    }
    if base.startswith("Emblem"):  # trained here: everything else is as in the model that ships
        return dataclasses.replace(load_card(EMBLEM_CARD), **common)
    wanted = families.family_defaults(base)
    factor = families.upscaling_factor(base)
    sizes = _sizes(folder) if factor is None else ((_UPSCALER_SIDE_PIXELS, _UPSCALER_SIDE_PIXELS),)
    return ModelCard(
        engine="diffusion",
        text_encoder_digest=None,
        tasks=tasks,
        sizes=sizes,
        defaults=Defaults(wanted.steps, wanted.guidance, *sizes[0]),
        schedulers=_schedulers(folder),
        negative_prompts=wanted.negative_prompts,
        upscaling=None if factor is None else Upscaling((factor,), _UPSCALER_SIDE_PIXELS),
        **common,
    )


def _sizes(folder: Path) -> tuple[tuple[int, int], ...]:
    """The square that the model was made for, and other shapes of about as many pixels."""
    vae = _json(folder / "vae" / "config.json")
    factor = 2 ** (len(vae.get("block_out_channels", [0] * 4)) - 1)
    denoiser = folder / ("unet" if (folder / "unet").is_dir() else "transformer") / "config.json"
    latent = _json(denoiser).get("sample_size") or _LATENT_SIDE_OF_FLUX
    side = int(latent if isinstance(latent, int) else latent[0]) * factor
    step = _SIZE_STEP_PIXELS if side >= 4 * _SIZE_STEP_PIXELS else 2 * factor
    sizes = [(side, side)]
    for across, down in _SHAPES:
        stretch = (across / down) ** 0.5
        sizes.append((max(1, round(side * stretch / step)) * step, max(1, round(side / stretch / step)) * step))
    return tuple(dict.fromkeys(sizes))


def _schedulers(folder: Path) -> tuple[str, ...]:
    import diffusers

    config = _json(folder / "scheduler" / "scheduler_config.json")
    found = getattr(diffusers, str(config.get("_class_name")), None)
    return schedulers.offered(found.from_config(config)) if found is not None else ()


def _json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelLoadError(f"{path} cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise ModelLoadError(f"{path} holds no mapping")
    return document
