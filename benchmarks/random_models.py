"""Stable Diffusion XL's architecture at its full size with random weights, to measure time where no weights can be had.

`small=True` keeps the structure with few channels, so that the benchmark itself can be tried on any machine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


def save_sdxl(folder: Path, *, small: bool = False) -> None:
    """Save the pipeline in the hub's layout, half precision: 7 GB, or a few MB if `small`."""
    import torch
    from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    shrink = 8 if small else 1
    torch.manual_seed(0)
    first = CLIPTextConfig(
        vocab_size=_VOCABULARY, hidden_size=768 // shrink, intermediate_size=3072 // shrink,
        num_hidden_layers=12 // shrink, num_attention_heads=12, projection_dim=768 // shrink,
        bos_token_id=_VOCABULARY - 2, eos_token_id=_VOCABULARY - 1, pad_token_id=1,
    )  # fmt: skip
    second = CLIPTextConfig(
        vocab_size=_VOCABULARY, hidden_size=1280 // shrink, intermediate_size=5120 // shrink,
        num_hidden_layers=32 // shrink, num_attention_heads=20, projection_dim=1280 // shrink, hidden_act="gelu",
        bos_token_id=_VOCABULARY - 2, eos_token_id=_VOCABULARY - 1, pad_token_id=1,
    )  # fmt: skip
    unet = UNet2DConditionModel(
        sample_size=128 // shrink,
        block_out_channels=(320 // shrink, 640 // shrink, 1280 // shrink),
        norm_num_groups=32 // shrink,
        layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10),
        attention_head_dim=(5, 10, 20),
        cross_attention_dim=2048 // shrink,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=1280 // shrink + 6 * 256,
    )
    vae = AutoencoderKL(
        block_out_channels=(128 // shrink, 256 // shrink, 512 // shrink, 512 // shrink),
        norm_num_groups=32 // shrink,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
        sample_size=1024,
        scaling_factor=0.13025,
        force_upcast=False,
    )
    parts: dict[str, Any] = {
        "vae": vae,
        "text_encoder": CLIPTextModel(first),
        "text_encoder_2": CLIPTextModelWithProjection(second),
        "tokenizer": _tokenizer(),
        "tokenizer_2": _tokenizer(),
        "unet": unet,
        "scheduler": EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"),
    }
    pipeline: Any = StableDiffusionXLPipeline(**parts, add_watermarker=False)
    pipeline.to(torch.float16).save_pretrained(folder)


_CHARACTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]
_TOKENS = [*_CHARACTERS, *(letter + "</w>" for letter in _CHARACTERS), "<|startoftext|>", "<|endoftext|>"]
_VOCABULARY = len(_TOKENS)


def _tokenizer() -> Any:
    from transformers import CLIPTokenizer

    return CLIPTokenizer(vocab={token: index for index, token in enumerate(_TOKENS)}, merges=[], model_max_length=77)
