from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from safety.prompt.weights_file import WEIGHTS_FILE, read_weights
from safety.training.prompt_features import Features
from safety.training.train_prompt_classifier import main


def test_batches_are_padded_and_masked() -> None:
    features = Features(np.ones((7, 384), np.float16), np.array([0, 2, 5, 7]))
    states, mask = features.batch(np.array([0, 1]))
    assert mask is not None
    assert states.shape == (2, 3, 384)
    assert mask.tolist() == [[True, True, False], [True, True, True]]
    assert float(states[0, 2].sum()) == 0.0
    assert features.batch(np.array([0, 2]))[1] is None


def test_the_script_trains_saves_describes_and_calibrates_again(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(shared_data / "prompts"), "--limit", "50", "--epochs", "1"]
    main([*arguments, "--output", str(tmp_path), "--cache", str(tmp_path / "cache")])
    trained = read_weights(tmp_path / WEIGHTS_FILE)
    assert "AUC, OVERT unsafe against benign" in capsys.readouterr().out
    assert any(name.startswith("layers.") for name in trained.tensors)

    main([*arguments, "--output", str(tmp_path / "again"), "--weights", str(tmp_path / WEIGHTS_FILE)])
    again = read_weights(tmp_path / "again" / WEIGHTS_FILE)
    assert all(torch.equal(again.tensors[name], tensor) for name, tensor in trained.tensors.items())


def test_a_fold_is_described_and_nothing_written(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(shared_data / "prompts"), "--limit", "50", "--epochs", "1", "--fold", "0"]
    main([*arguments, "--output", str(tmp_path)])
    assert "above one threshold" in capsys.readouterr().out
    assert not (tmp_path / WEIGHTS_FILE).exists()
