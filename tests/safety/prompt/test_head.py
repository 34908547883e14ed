from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from safety import WeightsError
from safety.prompt.head import WEIGHTS_FILE, Calibration, PromptHead
from safety.prompt.taxonomy import CATEGORIES
from safety.training.prompt_head import TorchPromptHead, stack_members
from safety.training.train_prompt_classifier import save

SHIPPED = Path(__file__).parents[3] / "safety" / "prompt" / "weights" / WEIGHTS_FILE


def test_numpy_head_computes_what_was_trained(tmp_path: Path) -> None:
    torch.manual_seed(3)
    members = [TorchPromptHead().eval(), TorchPromptHead().eval()]
    rounded = stack_members(members)
    head = PromptHead.from_file(save(members, Calibration(1.0, 0.0, 0.5, 0.3), "digest", tmp_path))
    states = np.random.default_rng(0).normal(size=(7, 384)).astype(np.float32)

    output = head([states, states[:2]])
    with torch.inference_mode():
        mask = torch.ones(1, 7, dtype=torch.bool)
        logits = np.mean([member(torch.from_numpy(states)[None], mask)[0].numpy() for member in members], axis=0)
    assert all(tensor.dtype == np.float16 for tensor in rounded.values())
    assert output.unsafe[0] == pytest.approx(1 / (1 + np.exp(-logits[0])), abs=2e-3)
    np.testing.assert_allclose(output.categories[0], 1 / (1 + np.exp(-logits[1:])), atol=2e-3)
    assert output.categories.shape == (2, len(CATEGORIES))


def test_shipped_head_states_its_calibration_and_encoder() -> None:
    head = PromptHead.shipped()
    assert 0.0 < head.calibration.flag_threshold < head.calibration.threshold < 1.0
    assert head.calibration.slope > 0
    assert len(head.digest) == len(head.encoder_digest) == 64


def test_absent_and_damaged_files_are_weights_errors(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="absent"):
        PromptHead.from_file(tmp_path / "absent.safetensors")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(SHIPPED.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="no readable safetensors"):
        PromptHead.from_file(damaged)


def test_weights_of_another_format_or_taxonomy_are_refused(tmp_path: Path) -> None:
    tensors = load_file(SHIPPED)
    other = tmp_path / "other.safetensors"
    save_file(tensors, other, metadata={"format": "something/1"})
    with pytest.raises(WeightsError, match="format"):
        PromptHead.from_file(other)
    save_file(tensors, other, metadata={"format": "imprimatur-prompt-head/1", "categories": "sexual"})
    with pytest.raises(WeightsError, match="other categories"):
        PromptHead.from_file(other)
