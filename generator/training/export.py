"""Write a trained run as a pipeline folder: half precision, safetensors, with its card's digest brought up to date.

    python -m generator.training.export --output runs/emblem --weights generator/emblem/weights \\
        --card generator/emblem/card.yaml
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
from pathlib import Path

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler

from generator.emblem.codec import EmblemCodec
from generator.emblem.pipeline import EmblemPipeline
from generator.emblem.planner import ScenePlanner
from generator.model_folder import folder_digest
from generator.training.appearance import load_appearance
from generator.training.patch_basis import load_codec
from generator.training.state import build_denoiser
from generator.training.stylist import load_stylist

SAMPLING_SHIFT = 1.0  # of the noise schedule: evenly spaced levels


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
    """The run's codec: with the spread around plans that the denoiser was trained with, and with the trained upscaler
    once there is one."""
    codec = load_codec(output / "codec-spread")
    if (output / "codec-trained").exists():
        codec.upscaler = load_codec(output / "codec-trained").upscaler
    return codec.requires_grad_(False).eval()


def load_planner(folder: Path) -> ScenePlanner:
    """A stored planner, in single precision."""
    planner: ScenePlanner = ScenePlanner.from_pretrained(folder, dtype=torch.float32, low_cpu_mem_usage=False)
    return planner.requires_grad_(False).eval()


def export(output: Path, weights: Path, shift: float = SAMPLING_SHIFT) -> int:
    """Write the pipeline folder `weights` anew from the run in `output`; returns the checkpoint's step."""
    codec = newest_codec(output)
    denoiser, step = load_average(output / "checkpoint.pt", len(codec.basis))
    pipeline = EmblemPipeline(
        unet=denoiser.half(),
        planner=load_planner(output / "planner").half(),  # type: ignore[no-untyped-call]
        appearance=load_appearance(output / "appearance").half(),  # type: ignore[no-untyped-call]
        stylist=load_stylist(output / "stylist").half(),  # type: ignore[no-untyped-call]
        scheduler=FlowMatchEulerDiscreteScheduler(shift=shift),
        codec=codec.half(),  # type: ignore[no-untyped-call]
        text_encoder=None,
        tokenizer=None,
    )
    shutil.rmtree(weights, ignore_errors=True)
    pipeline.save_pretrained(weights, safe_serialization=True)
    for path in weights.rglob("config.json"):
        _forget_folder(path)
    for path in weights.rglob("*.safetensors"):
        path.chmod(0o644)  # safetensors writes for the owner alone
    return step


def _forget_folder(path: Path) -> None:
    """Drop from a configuration the folder that its part was loaded from, which is of this machine alone."""
    document = json.loads(path.read_text(encoding="utf-8"))
    document.pop("_name_or_path", None)
    path.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")


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
