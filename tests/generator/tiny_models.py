"""Models of the great families with few, random weights, saved in the hub's layout with the true classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxFillPipeline,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionUpscalePipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
)

_CHARACTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]
_TOKENS = [*_CHARACTERS, *(c + "</w>" for c in _CHARACTERS), "<|startoftext|>", "<|endoftext|>"]
FAMILIES = (
    "stable-diffusion",
    "stable-diffusion-inpainting",
    "stable-diffusion-xl",
    "stable-diffusion-3",
    "flux",
    "flux-fill",
    "upscaler",
)


def save(family: str, folder: Path) -> Path:
    """Save a model of the family; returns the folder. Equal calls give equal files."""
    torch.manual_seed(0)
    pipeline: Any = {
        "stable-diffusion": _stable_diffusion,
        "stable-diffusion-inpainting": lambda: _stable_diffusion(channels=9),
        "stable-diffusion-xl": _xl,
        "stable-diffusion-3": _sd3,
        "flux": _flux,
        "flux-fill": lambda: _flux(fill=True),
        "upscaler": _upscaler,
    }[family]()
    pipeline.save_pretrained(folder)
    return folder


def _clip_tokenizer() -> CLIPTokenizer:
    return CLIPTokenizer(vocab={token: i for i, token in enumerate(_TOKENS)}, merges=[], model_max_length=77)


def _t5_tokenizer() -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = {"<pad>": 0, "</s>": 1, "<unk>": 2, **{c: i + 3 for i, c in enumerate(_CHARACTERS)}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=77
    )


def _clip_config(projection: int = 32) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(_TOKENS),
        hidden_size=32,
        intermediate_size=37,
        num_hidden_layers=2,
        num_attention_heads=4,
        projection_dim=projection,
        bos_token_id=len(_TOKENS) - 2,
        eos_token_id=len(_TOKENS) - 1,
        pad_token_id=1,
    )


def _t5() -> T5EncoderModel:
    return T5EncoderModel(T5Config(vocab_size=40, d_model=32, d_kv=8, d_ff=37, num_layers=2, num_heads=4))


def _vae(latents: int = 4, **options: Any) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(32, 64),
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        latent_channels=latents,
        **options,
    )


def _unet(channels: int = 4, **options: Any) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=channels,
        out_channels=4,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        **{"cross_attention_dim": 32, "attention_head_dim": 2, **options},
    )


def _stable_diffusion(channels: int = 4) -> Any:
    kind: Any = StableDiffusionPipeline if channels == 4 else StableDiffusionInpaintPipeline
    return kind(
        vae=_vae(),
        text_encoder=CLIPTextModel(_clip_config()),
        tokenizer=_clip_tokenizer(),
        unet=_unet(channels),
        scheduler=DDIMScheduler(
            clip_sample=False, steps_offset=1, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _xl() -> Any:
    kind: Any = StableDiffusionXLPipeline
    return kind(
        vae=_vae(),
        text_encoder=CLIPTextModel(_clip_config()),
        text_encoder_2=CLIPTextModelWithProjection(_clip_config()),
        tokenizer=_clip_tokenizer(),
        tokenizer_2=_clip_tokenizer(),
        unet=_unet(
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            transformer_layers_per_block=(1, 2),
            projection_class_embeddings_input_dim=80,
            cross_attention_dim=64,
            attention_head_dim=(2, 4),
            use_linear_projection=True,
        ),
        scheduler=EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"),
        add_watermarker=False,
    )


def _sd3() -> Any:
    kind: Any = StableDiffusion3Pipeline
    return kind(
        transformer=SD3Transformer2DModel(
            sample_size=16,
            patch_size=1,
            in_channels=16,
            num_layers=1,
            attention_head_dim=8,
            num_attention_heads=4,
            joint_attention_dim=64,
            caption_projection_dim=32,
            pooled_projection_dim=64,
            out_channels=16,
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=_vae(16, shift_factor=0.06, scaling_factor=1.5),
        text_encoder=CLIPTextModelWithProjection(_clip_config()),
        tokenizer=_clip_tokenizer(),
        text_encoder_2=CLIPTextModelWithProjection(_clip_config()),
        tokenizer_2=_clip_tokenizer(),
        text_encoder_3=None,
        tokenizer_3=None,
    )


def _flux(fill: bool = False) -> Any:
    kind: Any = FluxFillPipeline if fill else FluxPipeline
    # Fill gets beside the 4 packed noise channels those of the masked image and the mask at the VAE's resolution.
    channels = 16 + 16 + 16 if fill else 16
    return kind(
        transformer=FluxTransformer2DModel(
            patch_size=1,
            in_channels=channels,
            out_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=32,
            axes_dims_rope=[4, 4, 8],
            guidance_embeds=True,
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=_vae(shift_factor=0.06, scaling_factor=1.5, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=CLIPTextModel(_clip_config()),
        tokenizer=_clip_tokenizer(),
        text_encoder_2=_t5(),
        tokenizer_2=_t5_tokenizer(),
    )


def _upscaler() -> Any:
    kind: Any = StableDiffusionUpscalePipeline
    vae = AutoencoderKL(
        block_out_channels=(32, 32, 64),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=4,
        scaling_factor=0.08333,
    )
    return kind(
        vae=vae,
        text_encoder=CLIPTextModel(_clip_config()),
        tokenizer=_clip_tokenizer(),
        unet=_unet(7, class_embed_type=None, num_class_embeds=1000),
        low_res_scheduler=DDPMScheduler(),
        scheduler=DDIMScheduler(prediction_type="v_prediction", clip_sample=False, steps_offset=1),
        max_noise_level=350,
    )
