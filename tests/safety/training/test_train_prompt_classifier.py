from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from safety.prompt.head import WEIGHTS_FILE, PromptHead
from safety.training.train_prompt_classifier import Features, disguised, main
from tests.safety.training.test_calibration import PROMPTS


def test_batches_are_padded_and_masked() -> None:
    features = Features(np.ones((5, 384), np.float16), np.array([0, 2, 5]))
    states, mask = features.joined(features).batch(np.array([0, 3]))
    assert states.shape == (2, 3, 384)
    assert mask.tolist() == [[True, True, False], [True, True, True]]
    assert float(states[0, 2].sum()) == 0.0


def test_disguised_rows_are_repeatable() -> None:
    texts, numbers = disguised(PROMPTS, 5)
    again, _ = disguised(PROMPTS, 5)
    assert texts == again
    assert len(texts) == len(numbers)
    assert 0.05 < len(texts) / len(PROMPTS) < 0.15


def test_the_script_trains_saves_and_describes(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(shared_data / "prompts"), "--output", str(tmp_path), "--epochs", "1"]
    main([*arguments, "--limit", "300", "--cache", str(tmp_path / "cache")])
    first = load_file(tmp_path / WEIGHTS_FILE)
    main([*arguments, "--limit", "300", "--cache", str(tmp_path / "cache")])

    assert "AUC, OVERT unsafe against benign" in capsys.readouterr().out
    assert len(PromptHead.from_file(tmp_path / WEIGHTS_FILE).digest) == 64
    second = load_file(tmp_path / WEIGHTS_FILE)
    assert all(np.array_equal(second[name], first[name]) for name in first), "the same seed gives the same weights"
