"""Write a trained run as a pipeline folder: half precision, safetensors, with its card's digest brought up to date.

    python -m generator.training.export --output runs/emblem --weights generator/emblem/weights \\
        --card generator/emblem/card.yaml
"""

from __future__ import annotations

import argparse
import re
import shutil
from pathlib import Path

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler

from generator.emblem.codec import EmblemCodec
from generator.emblem.pipeline import EmblemPipeline
from generator.model_folder import folder_digest
from generator.training.state import build_denoiser
from generator.training.train import load_codec, load_prior

NOISE_SCALE = 0.5  # of the starting noise; see docs/models/emblem.md
SAMPLING_SHIFT = 1.0  # of the noise schedule; chosen by the recogniser, see docs/models/emblem.md


def load_average(checkpoint: Path, components: int) -> tuple[UNet2DConditionModel, int]:
    """The averaged denoiser of a checkpoint, and its step."""
    stored = torch.load(checkpoint, weights_only=True)
    average = stored["average"]
    channels = (
        average["conv_in.weight"].shape[0],
        average["down_blocks.1.resnets.0.conv1.weight"].shape[0],
        average["down_blocks.2.resnets.0.conv1.weight"].shape[0],
    )
    model = build_denoiser(channels, components)
    model.load_state_dict(average)
    return model.requires_grad_(False).eval(), int(stored["step"])


def newest_codec(output: Path) -> EmblemCodec:
    """The run's codec: with the trained upscaler once there is one."""
    trained = output / "codec-trained"
    codec = load_codec(trained if trained.exists() else output / "codec")
    return codec.requires_grad_(False).eval()


def export(output: Path, weights: Path, shift: float = SAMPLING_SHIFT) -> int:
    """Write the pipeline folder `weights` anew from the run in `output`; returns the checkpoint's step."""
    codec = newest_codec(output)
    denoiser, step = load_average(output / "checkpoint.pt", len(codec.basis))
    pipeline = EmblemPipeline(
        unet=denoiser.half(),
        prior=load_prior(output / "prior").half(),  # type: ignore[no-untyped-call]
        scheduler=FlowMatchEulerDiscreteScheduler(shift=shift),
        codec=codec.half(),  # type: ignore[no-untyped-call]
        text_encoder=None,
        tokenizer=None,
        noise_scale=NOISE_SCALE,
    )
    shutil.rmtree(weights, ignore_errors=True)
    pipeline.save_pretrained(weights, safe_serialization=True)
    for path in weights.rglob("*.safetensors"):
        path.chmod(0o644)  # safetensors writes for the owner alone
    return step


def update_card(card: Path, digest: str) -> None:
    """Replace the digest in a card file, leaving the rest as it stands."""
    text, count = re.subn(r"(?m)^digest: .*$", f'digest: "{digest}"', card.read_text(encoding="utf-8"))
    if count != 1:
        raise ValueError(f"{card} has {count} digest lines; expected one")
    card.write_text(text, encoding="utf-8")


def main(arguments: list[str] | None = None) -> None:
    """Command line of the export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder of the training run")
    parser.add_argument("--weights", type=Path, required=True, help="pipeline folder to write")
    parser.add_argument("--card", type=Path, help="card whose digest to bring up to date")
    options = parser.parse_args(arguments)
    step = export(options.output, options.weights)
    digest = folder_digest(options.weights)
    if options.card is not None:
        update_card(options.card, digest)
    print(f"step {step} digest {digest}")


if __name__ == "__main__":
    main()
