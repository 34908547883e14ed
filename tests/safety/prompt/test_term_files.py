from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
import yaml

from safety import CheckConfigurationError, Outcome
from safety.core import MINOR_SIGN, SEXUAL_MINORS
from safety.prompt.rules import DECLARATION
from safety.prompt.term_files import normalise, parse_terms, read_terms, shipped_terms

VALID = """
version: 3
rules:
  - {id: house, category: violence, outcome: flag, terms: [Some Brand, "some-other"]}
"""


def test_terms_are_normalised_to_whole_words() -> None:
    rule = parse_terms(VALID.encode(), "house.yaml").rules[0]
    assert rule.terms == (" some brand ", " some other ")
    assert rule.outcome is Outcome.FLAG


def test_normal_form_is_lower_case_words_with_single_spaces() -> None:
    assert normalise("A  b_C-d, É!") == " a b c d é "


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("version: 3", "version: x", "version to be a whole number"),
        ("outcome: flag", "outcome: pass", "outcome flag or block"),
        ("outcome: flag, ", "", "expected the fields"),
        ("[Some Brand, ", "[1950, ", "a list of texts"),
        ("[Some Brand, ", "['!!', ", "no letters or digits"),
        ('terms: [Some Brand, "some-other"]', "terms: []", "at least one term"),
        ("outcome: flag", "outcome: flag, softened: 1", "softened to be true or false"),
        ("rules:", "rule:", "expected a mapping with version and rules"),
        ("rules:", "neutral: text\nrules:", "neutral: expected a list"),
        ("version: 3", "version: [", "not readable as YAML"),
    ],
)
def test_error_says_what_was_expected(before: str, after: str, message: str) -> None:
    assert before in VALID
    with pytest.raises(CheckConfigurationError, match=message):
        parse_terms(VALID.replace(before, after).encode(), "house.yaml")


def test_repeated_rule_id_is_refused() -> None:
    rule = "  - {id: house, category: hate, outcome: block, terms: [x]}\n"
    with pytest.raises(CheckConfigurationError, match="'house' is repeated"):
        parse_terms((VALID + rule).encode(), "house.yaml")


def test_absent_file_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(CheckConfigurationError, match="absent"):
        read_terms(tmp_path / "absent.yaml")


def test_shipped_terms_are_dated_unique_and_of_declared_categories() -> None:
    shipped = shipped_terms()
    document = yaml.safe_load((Path(__file__).parents[3] / "safety/prompt/data/terms.yaml").read_text())

    assert isinstance(document["updated"], date)
    assert {rule.category for rule in shipped.rules} <= set(DECLARATION.categories)
    assert {MINOR_SIGN, SEXUAL_MINORS} <= {rule.category for rule in shipped.rules}
    for rule in shipped.rules:
        assert len(set(rule.terms)) == len(rule.terms), rule.id
