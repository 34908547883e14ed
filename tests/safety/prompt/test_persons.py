from __future__ import annotations

import pytest

from safety.checks import Stage
from safety.findings import Finding, Outcome
from safety.policy import DecisionOutcome, Policy
from safety.prompt.persons import PersonCheck
from safety.registry import default_registry


@pytest.mark.parametrize(
    "prompt",
    [
        "a man walking in the rain",
        "Two WOMEN at a table",
        "a p\u0435rson on a bench",
        "a w0man reading",
        "portrait in oil",
        "a crowd before the parliament",
        "she looks out of the window",
        "une femme qui lit",
        "ein Mann mit Hut",
        "una niña con un globo",
        "женщина с книгой",
        "一个女人在公园里",
    ],
)
def test_a_word_for_a_person_is_found_in_whatever_form(prompt: str) -> None:
    (finding,) = PersonCheck().examine(prompt)
    assert finding.outcome is Outcome.BLOCK
    assert finding.evidence["words"]


@pytest.mark.parametrize(
    "prompt",
    [
        "a red apple on a blue background",
        "a snowman in a garden",
        "a mother of pearl button",
        "a king penguin on the ice",
        "a ladybug on a leaf",
        "a clock face at midnight",
        "a German shepherd asleep",
        "the mandarin orange and the humanoid robot arm",
        "ein Hund im Garten",
        "",
    ],
)
def test_what_only_sounds_like_one_is_not(prompt: str) -> None:
    assert PersonCheck().examine(prompt)[0].outcome is Outcome.PASS


def test_a_policy_that_allows_nobody_needs_this_check_and_refuses_by_it() -> None:
    text = "id: a\nversion: 1\ntitle: A\nextends: default\npersons: {allow: none, otherwise: refuse}\n"
    registry = default_registry()
    with pytest.raises(Exception, match=r"persons.allow: none: expected a check that finds person .*prompt\.persons"):
        registry.validate(Policy.from_yaml(text))
    policy = Policy.from_yaml(text + "prompt: {required_checks: [prompt.persons]}\n")
    registry.validate(policy)
    others = [check for check in policy.required_checks(Stage.PROMPT) if check != "prompt.persons"]
    passed = [Finding(check, "1", "violence", 0.0, 0.5, Outcome.PASS) for check in others]
    for prompt, outcome in (("a man", DecisionOutcome.REFUSE), ("an apple", DecisionOutcome.RELEASE)):
        assert policy.decide(Stage.PROMPT, [*passed, *PersonCheck().examine(prompt)]).outcome is outcome
