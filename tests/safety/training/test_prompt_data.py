from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from safety.prompt.taxonomy import CATEGORIES, CATEGORY_OF_LABEL
from safety.training.prompt_data import SOURCE_WEIGHTS, LabelledPrompt, bucket, folds, is_calibration, read_prompts


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
    assert prompts[0].category_targets() == pytest.approx([0.5 * (c == "self_harm") for c in CATEGORIES])
    assert prompts[2].category_targets().sum() == 1.0
    assert prompts[3].category_targets().sum() == 0.0


def test_a_found_under_label_is_believed_for_its_own_category_only() -> None:
    weights = LabelledPrompt("x", "i2p", True, ("sexual",), 90.0).category_weights()
    assert weights[CATEGORIES.index("sexual")] == 1.0
    assert weights[CATEGORIES.index("violence")] < 0.5
    assert LabelledPrompt("x", "overt-unsafe", True, ("sexual_content",), None).category_weights().min() == 1.0


def test_every_category_has_a_label_and_every_label_a_category() -> None:
    assert set(CATEGORY_OF_LABEL.values()) == set(CATEGORIES)


def test_labels_and_sources_of_the_data_are_known(shared_data: Path) -> None:
    prompts = read_prompts(shared_data / "prompts" / "train.jsonl") + read_prompts(
        shared_data / "prompts" / "dev.jsonl"
    )
    assert {prompt.source for prompt in prompts} <= set(SOURCE_WEIGHTS)
    assert {label for prompt in prompts for label in prompt.categories} <= set(CATEGORY_OF_LABEL)


def test_calibration_takes_about_half_of_dev_and_dev_is_apart_from_train(shared_data: Path) -> None:
    dev = read_prompts(shared_data / "prompts" / "dev.jsonl")
    train = {prompt.text for prompt in read_prompts(shared_data / "prompts" / "train.jsonl")}
    assert 0.45 < sum(map(is_calibration, dev)) / len(dev) < 0.55
    assert len(train & {prompt.text for prompt in dev}) <= 2, "two benign rows of OVERT are in both"


@pytest.mark.parametrize("text", ["", "a", "é"])
def test_bucket_is_within_range(text: str) -> None:
    assert 0 <= bucket(text, 3) < 3


def test_near_duplicates_and_families_are_in_one_fold() -> None:
    shared = "one two three four five six seven eight"
    texts = [f"{shared} nine", f"zero {shared} and more", *(f"word{chr(97 + n)} alone" for n in range(24))]
    prompts = [LabelledPrompt(text, "imagereward", False, (), None) for text in texts]
    prompts += [LabelledPrompt(f"row {n}", "own", True, (), None, 0.9, "a family") for n in range(5)]
    found = folds(prompts, 5)

    assert found[0] == found[1]
    assert len(set(found[26:].tolist())) == 1
    assert len(set(found.tolist())) > 2
    assert np.array_equal(found, folds(prompts, 5))
