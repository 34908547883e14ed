"""Where a model runs and in which precision, and what is done when its memory is short."""

from __future__ import annotations

import contextlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from generator.errors import ModelLoadError

Dtype = Literal["float32", "float16", "bfloat16"]
BYTES_A_VALUE: Mapping[str, int] = {"float32": 4, "float16": 2, "bfloat16": 2}

WORKING_MEMORY_BYTES = 4 * 1024**3
"""What the activations of a 1024×1024 image may need beside the weights, decoding included: with less than this left,
attention is computed in slices and the image is decoded in tiles. An allowance, not a measurement."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the operator set. `device` "auto" takes an accelerator where there is one; `dtype` "auto" its precision.

    `saving`: "auto" saves memory where it is short, "off" never, "slices" always, "offload" also keeps on the
    accelerator only the part that works.
    """

    device: str = "auto"
    dtype: str = "auto"
    saving: str = "auto"
    compile: bool = False


@dataclass(frozen=True, slots=True)
class Placement:
    """Device, precision, and the measures against short memory."""

    device: str
    dtype: str
    sliced: bool = False
    offload: Literal["none", "model", "sequential"] = "none"
    compile: bool = False


def find_device(wished: str) -> str:
    """The accelerator for "auto", the CPU without one. Raises ModelLoadError for a device that is not there."""
    import torch

    if wished == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(1, device=wished)
    except Exception as error:
        raise ModelLoadError(f"the device {wished!r} cannot be used here: {error}") from error
    return wished


def free_bytes(device: str) -> int | None:
    """Memory that is free on a device; None where it cannot be told."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(torch.device(device))[0])
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def count_parameters(folder: Path, variant: str | None) -> dict[str, int]:
    """Parameters of each part of a model, from the headers of its safetensors files."""
    counts: dict[str, int] = {}
    for path in folder.rglob("*.safetensors"):
        marked = path.name.removesuffix(".safetensors").partition(".")[2].partition("-")[0]
        if marked != (variant or ""):
            continue
        part = path.relative_to(folder).parts[0]
        counts[part] = counts.get(part, 0) + _parameters(path)
    return counts


def place(parameters: Mapping[str, int], wishes: Wishes, device: str, free: int | None) -> Placement:
    """Decide where and how a model of these parts runs.

    Raises ModelLoadError if not even its largest part fits.
    """
    on_cpu = device == "cpu"
    dtype = wishes.dtype if wishes.dtype != "auto" else "float32" if on_cpu else "float16"
    size = BYTES_A_VALUE[dtype]
    whole, largest = sum(parameters.values()) * size, max(parameters.values(), default=0) * size
    if wishes.saving == "off" or (free is None and wishes.saving == "auto"):
        return Placement(device, dtype, compile=wishes.compile)
    sliced = wishes.saving != "auto" or (free is not None and free - whole < WORKING_MEMORY_BYTES)
    if on_cpu:
        if free is not None and whole > free:
            raise ModelLoadError(f"the model needs {_gib(whole)} in {dtype} and {_gib(free)} are free on the CPU")
        return Placement(device, dtype, sliced=sliced, compile=wishes.compile)
    offload: Literal["none", "model", "sequential"] = "none"
    if wishes.saving == "offload" or (free is not None and whole > free):
        offload = "model" if free is None or largest <= free else "sequential"
    # Compiled code holds on to where its weights were.
    return Placement(device, dtype, sliced=sliced, offload=offload, compile=wishes.compile and offload == "none")


def apply(placement: Placement, pipeline: Any) -> Any:
    """Bring a loaded pipeline where it was placed. Raises ModelLoadError if offloading is not possible here."""
    if placement.sliced:
        for measure in ("enable_attention_slicing", "enable_vae_slicing", "enable_vae_tiling"):
            if hasattr(pipeline, measure):
                getattr(pipeline, measure)()
    if placement.offload == "none":
        pipeline.to(placement.device)
    else:
        try:
            if placement.offload == "model":
                pipeline.enable_model_cpu_offload(device=placement.device)
            else:
                pipeline.enable_sequential_cpu_offload(device=placement.device)
        except ImportError as error:
            raise ModelLoadError("the model does not fit the accelerator; install `accelerate` to offload") from error
    if placement.compile:
        for name in ("unet", "transformer"):
            if getattr(pipeline, name, None) is not None:
                getattr(pipeline, name).compile()
    return pipeline


def _parameters(path: Path) -> int:
    """Values in a safetensors file: its header is a little-endian 64-bit length and that much JSON."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    total = 0
    for name, tensor in header.items():
        if name != "__metadata__":
            values = 1
            for side in tensor["shape"]:
                values *= side
            total += values
    return total


def _gib(size: int) -> str:
    return f"{size / 1024**3:.1f} GiB"
