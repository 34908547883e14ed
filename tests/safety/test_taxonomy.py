from __future__ import annotations

from pathlib import Path

from safety import Stage, default_registry
from safety.core import ALWAYS_REFUSED, LANGUAGE, MINOR_SIGN, PERSON, PUBLIC_FIGURE, SEXUAL
from safety.taxonomy import CATEGORY_BY_NAME, LANGUAGE_CATEGORY, LEARNT_CATEGORIES, TAXONOMY
from safety.taxonomy_docs import table

OPENAI = {
    *("harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm"),
    *("self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic"),
}
AILUMINATE = {
    *("violent crimes", "non-violent crimes", "sex-related crimes", "child sexual exploitation", "privacy", "hate"),
    *("indiscriminate weapons (CBRNE)", "suicide and self-harm", "defamation", "intellectual property"),
    *("sexual content", "specialized advice"),
}
AZURE = {"Hate", "Sexual", "Violence", "Self-harm"}


def test_every_category_that_a_prompt_check_may_find_is_in_the_taxonomy_and_the_other_way_round() -> None:
    found = {
        category
        for declaration in default_registry().declarations()
        if declaration.stage is Stage.PROMPT
        for category in declaration.categories
    }
    assert found == set(CATEGORY_BY_NAME)
    assert len(CATEGORY_BY_NAME) == len(TAXONOMY)


def test_the_core_s_categories_are_in_it() -> None:
    assert {SEXUAL, MINOR_SIGN, PERSON, PUBLIC_FIGURE, LANGUAGE} | ALWAYS_REFUSED <= set(CATEGORY_BY_NAME)
    assert LANGUAGE_CATEGORY == LANGUAGE


def test_names_elsewhere_exist_there_and_only_specialized_advice_has_none_here() -> None:
    assert {name for category in TAXONOMY for name in category.openai} == OPENAI
    assert {name for category in TAXONOMY for name in category.ailuminate} == AILUMINATE - {"specialized advice"}
    assert {name for category in TAXONOMY for name in category.azure} == AZURE


def test_the_documentation_prints_the_table() -> None:
    assert table() in (Path(__file__).parents[2] / "docs" / "taxonomy.md").read_text(encoding="utf-8")


def test_learnt_categories_are_in_the_order_of_the_weights() -> None:
    from safety.prompt.weights_file import shipped_weights

    assert len(LEARNT_CATEGORIES) == len(shipped_weights().calibration.levels)
