from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from safety import EncoderError, Outcome, WeightsError
from safety.prompt.classifier import PromptClassifier
from safety.prompt.encoder import MiniLmEncoder
from safety.prompt.head import PromptHead
from safety.prompt.taxonomy import CATEGORIES
from safety.training.evasions import EVASIONS

HARMFUL = "a nude woman lying on a bed, explicit pornography"
HARMLESS = "a red apple and a green pear on a wooden table"


@pytest.fixture(scope="module")
def classifier(encoder: MiniLmEncoder) -> PromptClassifier:
    return PromptClassifier.shipped(encoder)


def score(classifier: PromptClassifier, prompt: str) -> float:
    return max(finding.score for finding in classifier.examine(prompt))


def test_harm_is_blocked_under_its_category(classifier: PromptClassifier) -> None:
    findings = {finding.category: finding for finding in classifier.examine(HARMFUL)}
    assert findings["sexual"].outcome is Outcome.BLOCK
    assert findings["sexual"].score == max(finding.score for finding in findings.values())


def test_harmless_prompt_passes_everywhere(classifier: PromptClassifier) -> None:
    assert {finding.outcome for finding in classifier.examine(HARMLESS)} == {Outcome.PASS}


def test_every_category_has_its_finding(classifier: PromptClassifier) -> None:
    assert tuple(finding.category for finding in classifier.examine(HARMLESS)) == CATEGORIES


@pytest.mark.parametrize("evasion", EVASIONS)
def test_a_disguise_changes_the_verdict_little(classifier: PromptClassifier, evasion: str) -> None:
    plain = score(classifier, HARMFUL)
    for seed in range(5):
        assert score(classifier, EVASIONS[evasion](HARMFUL, random.Random(seed))) >= plain - 0.05


def test_harm_behind_a_long_preamble_is_found(classifier: PromptClassifier) -> None:
    assert score(classifier, "a calm lake under a blue sky, " * 60 + HARMFUL) >= 0.5
    assert score(classifier, "a calm lake under a blue sky, " * 60) < 0.5


def test_many_prompts_get_the_scores_that_each_gets_alone(classifier: PromptClassifier) -> None:
    prompts = [HARMLESS, HARMFUL, "", HARMLESS]
    together = [max(f.score for f in findings) for findings in classifier.examine_many(prompts)]
    assert together == pytest.approx([score(classifier, prompt) for prompt in prompts], abs=1e-3)


def test_empty_prompt_scores_nothing(classifier: PromptClassifier) -> None:
    assert score(classifier, " \n\u200b ") == 0.0


def test_policy_threshold_replaces_the_shipped_one(encoder: MiniLmEncoder) -> None:
    strict = PromptClassifier.shipped(encoder, {"violence": 0.000001})
    finding = next(f for f in strict.examine("a soldier shooting a man") if f.category == "violence")
    assert finding.threshold == 0.000001
    assert finding.outcome is Outcome.BLOCK


def test_findings_name_the_weights_and_the_encoder(classifier: PromptClassifier, encoder: MiniLmEncoder) -> None:
    finding = classifier.examine("n4k3d")[0]
    assert finding.model_digest == PromptHead.shipped().digest
    assert finding.evidence["encoder_sha256"] == encoder.digest
    assert finding.evidence["undone"] == ["leet:1"]


class WrongEncoder:
    """An encoder that breaks its promise on shapes."""

    digest = PromptHead.shipped().encoder_digest

    def encode_tokens(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        return [np.zeros((2, 100), np.float32) for _ in texts]


class OtherEncoder(WrongEncoder):
    digest = "0" * 64


def test_an_encoder_that_breaks_its_protocol_is_named() -> None:
    with pytest.raises(EncoderError, match=r"\(tokens, 384\)"):
        PromptClassifier.shipped(WrongEncoder()).examine("a cat")


def test_a_head_does_not_run_on_another_encoder() -> None:
    with pytest.raises(WeightsError, match="trained on encoder"):
        PromptClassifier.shipped(OtherEncoder())
