"""Where a model runs, decided from its size and the memory there is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from generator.errors import ModelLoadError
from generator.placement import (
    Placement,
    Wishes,
    apply,
    count_parameters,
    find_device,
    free_bytes,
    place,
)

GIB = 1024**3
XL = {"unet": 2_567_000_000, "text_encoder_2": 695_000_000, "text_encoder": 123_000_000, "vae": 84_000_000}


@pytest.mark.parametrize(
    ("device", "free", "wishes", "expected"),
    [
        ("cuda", 80 * GIB, Wishes(), Placement("cuda", "float16")),
        ("cuda", 9 * GIB, Wishes(), Placement("cuda", "float16", sliced=True)),
        ("cuda", 6 * GIB, Wishes(), Placement("cuda", "float16", sliced=True, offload="model")),
        ("cuda", 3 * GIB, Wishes(), Placement("cuda", "float16", sliced=True, offload="sequential")),
        ("cuda", 3 * GIB, Wishes(saving="off"), Placement("cuda", "float16")),
        ("cuda", 80 * GIB, Wishes(saving="slices"), Placement("cuda", "float16", sliced=True)),
        ("cuda", 80 * GIB, Wishes(saving="offload"), Placement("cuda", "float16", sliced=True, offload="model")),
        ("cuda", 80 * GIB, Wishes(dtype="bfloat16"), Placement("cuda", "bfloat16")),
        ("cuda", 80 * GIB, Wishes(compile=True), Placement("cuda", "float16", compile=True)),
        ("cuda", 6 * GIB, Wishes(compile=True), Placement("cuda", "float16", sliced=True, offload="model")),
        ("cpu", 64 * GIB, Wishes(), Placement("cpu", "float32")),
        ("cpu", 15 * GIB, Wishes(), Placement("cpu", "float32", sliced=True)),
        ("cpu", None, Wishes(), Placement("cpu", "float32")),
    ],
)
def test_memory_is_saved_where_it_is_short(device: str, free: int | None, wishes: Wishes, expected: Placement) -> None:
    assert place(XL, wishes, device, free) == expected


def test_a_model_that_does_not_fit_the_cpu_is_a_typed_error() -> None:
    with pytest.raises(ModelLoadError, match=r"12\.9 GiB in float32 and 8\.0 GiB are free"):
        place(XL, Wishes(), "cpu", 8 * GIB)


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(ModelLoadError, match="cuda:99"):
        find_device("cuda:99")
    assert find_device("cpu") == "cpu"


def test_free_memory_is_told() -> None:
    free = free_bytes("cpu")
    assert free is None or free > 0


def test_parameters_are_counted_from_the_headers_alone(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    (tmp_path / "unet").mkdir()
    save_file({"a": np.zeros((3, 4), np.float16), "b": np.zeros(5)}, tmp_path / "unet" / "m.safetensors")
    save_file({"a": np.zeros(7)}, tmp_path / "unet" / "m.fp16.safetensors")

    assert count_parameters(tmp_path, None) == {"unet": 17}
    assert count_parameters(tmp_path, "fp16") == {"unet": 7}


class RecordingPipeline:
    """Stands in for a pipeline on an accelerator, which this machine has not: remembers what was asked of it."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.unet = RecordingModule(self.calls)

    def __getattr__(self, name: str) -> Any:
        if name == "transformer":
            raise AttributeError(name)
        return lambda *_arguments, **_options: self.calls.append(name)


class RecordingModule:
    def __init__(self, calls: list[str]) -> None:
        self._calls = calls

    def compile(self) -> None:
        self._calls.append("unet.compile")


@pytest.mark.parametrize(
    ("placement", "expected"),
    [
        (Placement("cuda", "float16"), ["to"]),
        (Placement("cuda", "float16", compile=True), ["to", "unet.compile"]),
        (
            Placement("cuda", "float16", sliced=True, offload="model"),
            ["enable_attention_slicing", "enable_vae_slicing", "enable_vae_tiling", "enable_model_cpu_offload"],
        ),
        (Placement("cuda", "float16", offload="sequential"), ["enable_sequential_cpu_offload"]),
    ],
)
def test_each_measure_is_taken(placement: Placement, expected: list[str]) -> None:
    pipeline = RecordingPipeline()

    apply(placement, pipeline)

    assert pipeline.calls == expected
