from __future__ import annotations

import re
from pathlib import Path

import pytest

from safety import CheckConfigurationError, Outcome
from safety.core import MINOR_SIGN, SEXUAL_MINORS
from safety.prompt.rules import DECLARATION
from safety.prompt.term_files import lists_of, normalise, parse_terms, read_term_folder, read_terms, shipped_terms

VALID = """
version: 3
updated: 2026-11-22
sources: [ours]
lists: {brands: [Acme, "Über Duck"]}
rules:
  - {id: house, category: violence, outcome: flag, terms: [Some Brand, "some-other", "sculpt*"]}
  - {id: context, category: hate, outcome: block, terms: ["@brands"], beside: [[one], [two, three]], unless: [four]}
"""


def test_terms_are_normalised_to_whole_words_and_beginnings() -> None:
    house, context = parse_terms(VALID.encode(), "house.yaml").rules
    assert house.terms == (" some brand ", " some other ", " sculpt")
    assert house.outcome is Outcome.FLAG
    assert context.terms == (" acme ", " uber duck ")
    assert context.beside == ((" one ",), (" two ", " three "))
    assert context.unless == (" four ",)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("A  b_C-d, É!", " a b c d e "),
        ("裸体の女性", " 裸 体 の 女 性 "),
        ("a 裸体 b", " a 裸 体 b "),
        ("ガール", " ガ ー ル "),
        ("الطفل والبنت", " طفل بنت "),
        ("Ёлка ΓΥΝΑΊΚΑΣ", " елка γυναικασ "),
        ("1 3 years, 2 5 yo, 1 2 3", " 13 years 25 yo 1 2 3 "),
        ("Straße cœur", " strasse coeur "),
    ],
)
def test_normal_form_is_lower_case_words_in_every_script(text: str, normal: str) -> None:
    assert normalise(text) == normal
    assert normalise(normal) == normal


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("version: 3", "version: x", "version: expected a whole number"),
        ("updated: 2026-11-22", "updated: lately", "updated: expected a date"),
        ("sources: [ours]", "sources: []", "sources: expected a list"),
        ("outcome: flag", "outcome: pass", "outcome flag or block"),
        ("outcome: flag, ", "", "expected the fields"),
        ("[Some Brand, ", "[1950, ", "a list of texts"),
        ("[Some Brand, ", "['!!', ", "terms with letters or digits"),
        ('terms: [Some Brand, "some-other", "sculpt*"]', "terms: []", "at least one term"),
        ("outcome: flag", "outcome: flag, softened: 1", "softened to be true or false"),
        ("beside: [[one]", "beside: [one", "beside to be a list of lists"),
        ("beside: [[one]", "beside: [[]", "at least one term in each list"),
        ('"@brands"', '"@brand"', "the name of a list after @.*there are: brands"),
        ("lists: {", "lists: [", "not readable as YAML"),
        ("rules:", "rule:", "expected a mapping with version"),
        ("rules:", "neutral: text\nrules:", "neutral: expected a list"),
        ("rules:", "surplus: 1\nrules:", "got surplus"),
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


def test_absent_files_and_folders_are_configuration_errors(tmp_path: Path) -> None:
    with pytest.raises(CheckConfigurationError, match="absent"):
        read_terms(tmp_path / "absent.yaml")
    with pytest.raises(CheckConfigurationError, match="no folder"):
        read_term_folder(tmp_path / "absent")


def test_an_operators_files_may_use_the_shipped_lists_and_each_others(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(VALID)
    (tmp_path / "b.yaml").write_text(
        "version: 1\nupdated: 2026-11-22\nsources: [x]\nrules:\n"
        '  - {id: b, category: public_figure_harm, outcome: block, terms: ["@brands"], beside: [["@arrest"]]}\n'
    )
    first, second = read_term_folder(tmp_path)
    assert (first.source, second.source) == ("a.yaml", "b.yaml")
    assert " acme " in second.rules[0].terms
    assert " handcuffs " in second.rules[0].beside[0]


def test_the_example_of_the_documentation_is_valid() -> None:
    text = (Path(__file__).parents[3] / "docs" / "terms.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    parsed = parse_terms(example.encode(), "example.yaml", lists_of(shipped_terms()))
    assert {rule.category for rule in parsed.rules} <= set(DECLARATION.categories)


def test_shipped_terms_are_of_declared_categories_and_ids_are_unique_across_files() -> None:
    shipped = shipped_terms()
    ids = [rule.id for term_file in shipped for rule in term_file.rules]
    categories = {rule.category for term_file in shipped for rule in term_file.rules}

    assert len(ids) == len(set(ids))
    assert categories <= set(DECLARATION.categories)
    assert {MINOR_SIGN, SEXUAL_MINORS} <= categories


def test_no_rule_of_the_core_can_be_softened_or_lifted() -> None:
    for term_file in shipped_terms():
        for rule in term_file.rules:
            if rule.category in (MINOR_SIGN, SEXUAL_MINORS):
                assert not rule.softened
                assert rule.unless == ()
