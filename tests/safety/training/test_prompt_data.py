from __future__ import annotations

import json
from pathlib import Path

import pytest

from safety.prompt.taxonomy import CATEGORIES, CATEGORY_OF_LABEL
from safety.training.prompt_data import SOURCE_WEIGHTS, bucket, is_calibration, read_prompts


def test_rows_are_read_with_their_targets(tmp_path: Path) -> None:
    rows = [
        {
            "text": "a",
            "label": "unsafe",
            "categories": ["self-harm"],
            "source": "i2p",
            "inappropriate_percentage": 40.0,
        },
        {"text": "b", "label": "unlabelled", "categories": [], "source": "imagereward"},
        {"text": "c", "label": "unsafe", "categories": ["privacy_public"], "source": "overt-unsafe"},
        {"text": "d", "label": "safe", "categories": ["privacy_public"], "source": "overt-benign"},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    prompts = read_prompts(path)

    assert [prompt.target for prompt in prompts] == [0.5, 0.02, 1.0, 0.0]
    assert prompts[0].category_targets().tolist() == [float(c == "self_harm") for c in CATEGORIES]
    assert prompts[2].category_targets().sum() == 1.0


def test_every_category_has_a_label_and_every_label_a_category() -> None:
    assert set(CATEGORY_OF_LABEL.values()) == set(CATEGORIES)


def test_labels_and_sources_of_the_data_are_known(shared_data: Path) -> None:
    prompts = read_prompts(shared_data / "prompts" / "train.jsonl") + read_prompts(
        shared_data / "prompts" / "dev.jsonl"
    )
    assert {prompt.source for prompt in prompts} == set(SOURCE_WEIGHTS)
    assert {label for prompt in prompts for label in prompt.categories} <= set(CATEGORY_OF_LABEL)


def test_calibration_takes_about_half_of_dev_and_dev_is_apart_from_train(shared_data: Path) -> None:
    dev = read_prompts(shared_data / "prompts" / "dev.jsonl")
    train = {prompt.text for prompt in read_prompts(shared_data / "prompts" / "train.jsonl")}
    assert 0.45 < sum(map(is_calibration, dev)) / len(dev) < 0.55
    assert len(train & {prompt.text for prompt in dev}) <= 2, "two benign rows of OVERT are in both"


@pytest.mark.parametrize("text", ["", "a", "é"])
def test_bucket_is_within_range(text: str) -> None:
    assert 0 <= bucket(text, 3) < 3
