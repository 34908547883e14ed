from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from generator import DigestMismatchError, ModelCard, ModelLoadError, UnsafeWeightsError, folder_digest
from generator.model_folder import verified_folder


@pytest.fixture
def copied(tiny_card: ModelCard, tmp_path: Path) -> ModelCard:
    """The tiny model's card, over a copy of its folder that a test may change."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_card.source, folder)
    return replace(tiny_card, source=str(folder))


def test_the_digest_is_what_standard_tools_print(tiny_folder: Path) -> None:
    command = "find * -type f | LC_ALL=C sort | xargs sha256sum | sha256sum"
    printed = subprocess.run(command, shell=True, cwd=tiny_folder, check=True, capture_output=True, text=True)

    assert folder_digest(tiny_folder) == printed.stdout.split()[0]


def test_an_unchanged_folder_is_accepted(copied: ModelCard) -> None:
    assert verified_folder(copied) == Path(copied.source)


@pytest.mark.parametrize(
    "name", ["unet/diffusion_pytorch_model.safetensors", "scheduler/scheduler_config.json", "model_index.json"]
)
def test_one_changed_byte_is_refused(copied: ModelCard, name: str) -> None:
    path = Path(copied.source) / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    with pytest.raises(DigestMismatchError) as caught:
        verified_folder(copied)

    assert caught.value.expected == copied.digest
    assert caught.value.found != copied.digest


def test_an_added_file_is_refused(copied: ModelCard) -> None:
    (Path(copied.source) / "notes.txt").write_text("hello")

    with pytest.raises(DigestMismatchError):
        verified_folder(copied)


def test_a_renamed_file_changes_the_digest(copied: ModelCard) -> None:
    folder = Path(copied.source)
    (folder / "model_index.json").rename(folder / "model_index2.json")

    assert folder_digest(folder) != copied.digest


@pytest.mark.parametrize("name", ["model.bin", "unet/model.PT", "a.ckpt", "b.pkl", "pipeline.py"])
def test_files_that_can_run_code_are_refused_even_if_the_digest_lists_them(copied: ModelCard, name: str) -> None:
    (Path(copied.source) / name).write_bytes(b"x")
    listed = replace(copied, digest=folder_digest(Path(copied.source)))

    with pytest.raises(UnsafeWeightsError, match=name):
        verified_folder(listed)


def test_a_folder_without_a_model_is_refused(copied: ModelCard, tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match=r"model_index\.json"):
        verified_folder(replace(copied, source=str(tmp_path / "nowhere")))


def test_the_shipped_weights_match_their_card(shipped_card: ModelCard) -> None:
    assert verified_folder(shipped_card) == Path(shipped_card.source)


def test_the_shipped_weights_are_small_safetensors_in_half_precision(shipped_card: ModelCard) -> None:
    import torch
    from safetensors.torch import load_file

    folder = Path(shipped_card.source)
    weights = sorted(folder.rglob("*.safetensors"))

    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 35_000_000
    assert [path.parent.name for path in weights] == ["appearance", "codec", "planner", "stylist", "unet"]
    assert {tensor.dtype for path in weights for tensor in load_file(path).values()} == {torch.float16}
