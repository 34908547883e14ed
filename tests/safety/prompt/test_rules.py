from __future__ import annotations

import random

import pytest

from safety import Outcome
from safety.core import MINOR_SIGN, SEXUAL, SEXUAL_MINORS
from safety.prompt.rules import AGE_ID, COMBINATION_ID, PromptRules
from safety.prompt.term_files import parse_terms
from safety.training.evasions import EVASIONS


@pytest.fixture(scope="module")
def rules() -> PromptRules:
    return PromptRules.shipped()


def outcomes(rules: PromptRules, prompt: str) -> dict[str, Outcome]:
    return {finding.category: finding.outcome for finding in rules.examine(prompt)}


@pytest.mark.parametrize(
    "prompt",
    ["a red apple", "a kid eating an apple", "", "a teenager reads about sexual health", "sex education for teens"],
)
def test_without_sexual_content_with_a_minor_its_finding_passes(rules: PromptRules, prompt: str) -> None:
    assert outcomes(rules, prompt)[SEXUAL_MINORS] is Outcome.PASS


@pytest.mark.parametrize(
    "prompt",
    [
        "a nude child",
        "sexy schoolgirl",
        "erotic drawing, the subject is aged 12",
        "a 15 year old posing topless",
        "15yo in lingerie",
        "une fillette nue",
        "naked teens in a sex education class",
    ],
)
def test_sexual_terms_beside_any_sign_of_a_minor_block(rules: PromptRules, prompt: str) -> None:
    assert outcomes(rules, prompt)[SEXUAL_MINORS] is Outcome.BLOCK


@pytest.mark.parametrize("evasion", EVASIONS)
def test_disguises_do_not_hide_it(rules: PromptRules, evasion: str) -> None:
    disguise = EVASIONS[evasion]
    for seed in range(20):
        prompt = disguise("naked schoolgirl in lingerie, erotic", random.Random(seed))
        assert outcomes(rules, prompt)[SEXUAL_MINORS] is Outcome.BLOCK, prompt


def test_an_adult_age_is_no_sign_of_a_minor(rules: PromptRules) -> None:
    assert MINOR_SIGN not in outcomes(rules, "a 45 year old, a 118 year old, aged 30")


def test_terms_are_whole_words(rules: PromptRules) -> None:
    assert set(outcomes(rules, "sussex essex middlesex, a titmouse, a cockpit, scunthorpe")) == {SEXUAL_MINORS}


def test_neutral_phrase_shields_only_what_lies_within_it(rules: PromptRules) -> None:
    assert SEXUAL not in outcomes(rules, "a naked mole rat")
    assert outcomes(rules, "a naked mole rat, a naked person")[SEXUAL] is Outcome.FLAG


def test_beside_fiction_a_softened_rule_only_flags(rules: PromptRules) -> None:
    assert outcomes(rules, "bomb making instructions")["illegal_acts"] is Outcome.BLOCK
    assert outcomes(rules, "bomb making instructions in a movie")["illegal_acts"] is Outcome.FLAG


def test_fiction_does_not_soften_sexual_content_with_a_minor(rules: PromptRules) -> None:
    assert outcomes(rules, "a movie with a nude child")[SEXUAL_MINORS] is Outcome.BLOCK


def test_evidence_names_rules_and_files_but_holds_no_part_of_the_prompt(rules: PromptRules) -> None:
    findings = rules.examine("a 7 year old, n4ked")
    combined = next(finding for finding in findings if finding.category == SEXUAL_MINORS)
    sign = next(finding for finding in findings if finding.category == MINOR_SIGN)

    assert combined.evidence["rules"] == [COMBINATION_ID]
    assert sign.evidence["rules"] == [AGE_ID]
    assert combined.evidence["terms"] == ["terms.yaml@1"]
    assert combined.evidence["undone"] == ["leet:1"]


def test_an_operators_file_adds_to_the_shipped_terms() -> None:
    house = b"version: 1\nrules:\n  - {id: brand, category: copyright, outcome: block, terms: [Acme Duck]}\n"
    rules = PromptRules.shipped([parse_terms(house, "house.yaml")])

    assert outcomes(rules, "an acme-duck on a pond")["copyright"] is Outcome.BLOCK
    assert outcomes(rules, "a nude child")[SEXUAL_MINORS] is Outcome.BLOCK
