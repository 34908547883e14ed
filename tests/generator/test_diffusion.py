from __future__ import annotations

import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from generator import (
    Defaults,
    DigestMismatchError,
    GenerationCancelledError,
    GenerationFailedError,
    GenerationRequest,
    ModelCard,
    ModelLoadError,
    UnsupportedRequestError,
    folder_digest,
)
from generator.diffusion import DiffusionEngine


@pytest.fixture
def engine(tiny_card: ModelCard, text_components: Mapping[str, object]) -> DiffusionEngine:
    return DiffusionEngine(tiny_card, text_components)


def request(card: ModelCard, **changes: object) -> GenerationRequest:
    base = GenerationRequest("a red apple on a blue background", seed=11, steps=3, width=256)
    return replace(base, **changes)  # type: ignore[arg-type]


def test_equal_seeds_give_equal_bits(tiny_card: ModelCard, text_components: Mapping[str, object]) -> None:
    resolved = request(tiny_card).resolve(tiny_card)

    first, second = (DiffusionEngine(tiny_card, text_components).generate(resolved)[0] for _ in range(2))

    assert np.array_equal(first.pixels, second.pixels)


def test_another_seed_gives_another_image(engine: DiffusionEngine) -> None:
    first, second = (engine.generate(request(engine.card, seed=seed).resolve(engine.card))[0].pixels for seed in (1, 2))

    assert not np.array_equal(first, second)


def test_prompt_negative_prompt_and_guidance_have_effect(engine: DiffusionEngine) -> None:
    changes: list[dict[str, object]] = [
        {},
        {"prompt": "a dog"},
        {"negative_prompt": "a dog"},
        {"guidance": 1.0},
        {"guidance": 8.0},
    ]
    images = [engine.generate(request(engine.card, **c).resolve(engine.card))[0].pixels for c in changes]

    assert len({image.tobytes() for image in images}) == len(changes)


@pytest.mark.parametrize("side", [256, 512])
def test_images_say_what_made_them(engine: DiffusionEngine, side: int) -> None:
    resolved = request(engine.card, width=side, count=2, guidance=2.5).resolve(engine.card)

    images = engine.generate(resolved)

    assert [(image.seed, image.index) for image in images] == [(11, 0), (12, 1)]
    for image in images:
        assert image.pixels.shape == (side, side, 3)
        assert image.pixels.dtype == np.uint8
        assert (image.width, image.height, image.steps, image.guidance) == (side, side, 3, 2.5)
        assert (image.model, image.model_digest) == (engine.card.id, engine.card.digest)
        assert image.scheduler == "FlowMatchEulerDiscreteScheduler"
        assert image.batch_size == 2
        assert image.threads >= 1
        assert image.elapsed_s > 0


def test_progress_is_told_after_every_step(engine: DiffusionEngine) -> None:
    told: list[tuple[int, int]] = []

    engine.generate(request(engine.card).resolve(engine.card), lambda done, total: told.append((done, total)))

    assert told == [(1, 3), (2, 3), (3, 3)]


def test_progress_can_cancel(engine: DiffusionEngine) -> None:
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise GenerationCancelledError("the caller went away")

    with pytest.raises(GenerationCancelledError, match="went away"):
        engine.generate(request(engine.card).resolve(engine.card), stop)


def test_threads_get_the_same_images_as_one_after_the_other(engine: DiffusionEngine) -> None:
    requests = [request(engine.card, seed=seed).resolve(engine.card) for seed in range(3)]
    expected = [engine.generate(resolved)[0].pixels for resolved in requests]

    with ThreadPoolExecutor(3) as executor:
        images = list(executor.map(lambda resolved: engine.generate(resolved)[0].pixels, requests))

    assert all(np.array_equal(image, want) for image, want in zip(images, expected, strict=True))


def test_a_request_for_another_model_is_refused(engine: DiffusionEngine, shipped_card: ModelCard) -> None:
    with pytest.raises(UnsupportedRequestError, match="emblem"):
        engine.generate(GenerationRequest("a dog").resolve(shipped_card))


def test_a_closed_engine_refuses(engine: DiffusionEngine) -> None:
    engine.close()

    with pytest.raises(ModelLoadError, match="closed"):
        engine.load()


def test_changed_weights_are_refused_before_loading(
    tiny_card: ModelCard, text_components: Mapping[str, object], tmp_path: Path
) -> None:
    shutil.copytree(tiny_card.source, tmp_path / "model")
    weights = tmp_path / "model" / "unet" / "diffusion_pytorch_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)

    with pytest.raises(DigestMismatchError):
        DiffusionEngine(replace(tiny_card, source=str(tmp_path / "model")), text_components).load()


def test_broken_weights_with_a_matching_digest_are_a_load_error(
    tiny_card: ModelCard, text_components: Mapping[str, object], tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_card.source, folder)
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"not weights")
    card = replace(tiny_card, source=str(folder), digest=folder_digest(folder))

    with pytest.raises(ModelLoadError, match="tiny"):
        DiffusionEngine(card, text_components).load()


def test_a_missing_text_encoder_is_a_typed_error(tiny_card: ModelCard) -> None:
    with pytest.raises((ModelLoadError, GenerationFailedError)):
        DiffusionEngine(tiny_card).generate(request(tiny_card).resolve(tiny_card))


def test_weights_that_overflow_are_reported(
    tiny_card: ModelCard, text_components: Mapping[str, object], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "model"
    shutil.copytree(tiny_card.source, folder)
    path = folder / "codec" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    tensors["mean"] = tensors["mean"] * float("nan") + float("nan")
    save_file(tensors, path)
    card = replace(tiny_card, source=str(folder), digest=folder_digest(folder))

    with pytest.raises(GenerationFailedError, match="no numbers"):
        DiffusionEngine(card, text_components).generate(request(card).resolve(card))


def save_tiny_stable_diffusion(folder: Path) -> None:
    """A StableDiffusionPipeline of the hub's layout with few, random weights."""
    import torch
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    characters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    tokens = [*characters, *(c + "</w>" for c in characters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(
        vocab={token: index for index, token in enumerate(tokens)}, merges=[], model_max_length=77
    )
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokens),
            hidden_size=32,
            intermediate_size=37,
            num_hidden_layers=2,
            num_attention_heads=4,
            bos_token_id=len(tokens) - 2,
            eos_token_id=len(tokens) - 1,
            pad_token_id=1,
        )
    )
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=2,
    )
    vae = AutoencoderKL(
        block_out_channels=(32, 64),
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        latent_channels=4,
    )
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=DDIMScheduler(clip_sample=False, steps_offset=1),
        safety_checker=None,  # type: ignore[arg-type]
        feature_extractor=None,  # type: ignore[arg-type]
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)


def test_a_model_of_the_hubs_layout_runs_through_the_same_engine(shipped_card: ModelCard, tmp_path: Path) -> None:
    save_tiny_stable_diffusion(tmp_path)
    card = replace(
        shipped_card,
        id="tiny-stable-diffusion",
        source=str(tmp_path),
        digest=folder_digest(tmp_path),
        text_encoder_digest=None,
        sizes=((16, 16),),
        defaults=Defaults(steps=2, guidance=5.0, width=16, height=16),
    )
    resolved = GenerationRequest("a dog", negative_prompt="a cat", seed=5, count=2).resolve(card)

    told: list[int] = []
    images = DiffusionEngine(card).generate(resolved, lambda done, _: told.append(done))
    again = DiffusionEngine(card).generate(resolved)

    assert told == [1, 2]
    assert [image.pixels.shape for image in images] == [(16, 16, 3)] * 2
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(images, again, strict=True))
    assert not np.array_equal(images[0].pixels, images[1].pixels)
