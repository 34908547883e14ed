from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from safety import WeightsError
from safety.prompt.taxonomy import CATEGORIES
from safety.prompt.weights_file import FORMAT, WEIGHTS_FILE, read_weights, save_weights, shipped_weights

SHIPPED = Path(__file__).parents[3] / "safety" / "prompt" / "weights" / WEIGHTS_FILE


def test_shipped_weights_state_their_calibration_and_encoder() -> None:
    weights = shipped_weights()
    assert len(weights.digest) == len(weights.encoder_digest) == 64
    assert weights.calibration.harm.slope > 0
    for level in weights.calibration.levels:
        assert 0.0 < level.flag <= level.block <= level.high <= 1.0


def test_shipped_weights_are_small() -> None:
    assert SHIPPED.stat().st_size < 4e6


def test_what_is_saved_is_read(tmp_path: Path) -> None:
    weights = shipped_weights()
    path = tmp_path / "copy.safetensors"
    save_weights(path, weights.tensors, weights.calibration, weights.encoder_digest)
    again = read_weights(path)
    assert again.calibration == weights.calibration
    assert all(torch.equal(again.tensors[name], tensor) for name, tensor in weights.tensors.items())


def test_absent_and_damaged_files_are_weights_errors(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="absent"):
        read_weights(tmp_path / "absent.safetensors")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(SHIPPED.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="no readable safetensors"):
        read_weights(damaged)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"format": "something/1"}, "format"),
        ({"format": FORMAT, "categories": "sexual"}, "other categories"),
        ({"format": FORMAT, "categories": ",".join(CATEGORIES)}, "calibration"),
    ],
)
def test_weights_of_another_format_or_taxonomy_are_refused(
    metadata: dict[str, str], message: str, tmp_path: Path
) -> None:
    other = tmp_path / "other.safetensors"
    save_file(load_file(SHIPPED), other, metadata=metadata)
    with pytest.raises(WeightsError, match=message):
        read_weights(other)
