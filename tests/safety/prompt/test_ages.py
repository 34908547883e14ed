from __future__ import annotations

import pytest

from safety.prompt.ages import names_age_below_18
from safety.prompt.term_files import normalise


@pytest.mark.parametrize(
    "text",
    [
        "a 13 year old",
        "13yo",
        "13 y/o girl",
        "15-years-old",
        "aged twelve",
        "age 9",
        "she looks 14",
        "1 5 year old boy",
        "une fille de 15 ans",
        "un niño de 12 años",
        "ein 14-jähriges Mädchen",
        "девочка 12 лет",
        "κορίτσι 13 ετών",
        "عمرها 12 سنة",
        "13岁的女孩",
        "十三岁",
        "15歳の少女",
        "열다섯 15살",
        "a sixth grader",
    ],
)
def test_an_age_below_18_is_found(text: str) -> None:
    assert names_age_below_18(normalise(text))


@pytest.mark.parametrize(
    "text",
    [
        "a 45 year old",
        "a 118 years old oak",
        "aged 30",
        "2 5 years old woman",
        "femme de 35 ans",
        "30岁",
        "only 2 men",
        "well aged whisky",
        "a 12 mm lens at f/4",
        "1 0 0 years old",
    ],
)
def test_an_adult_age_or_another_number_is_not(text: str) -> None:
    assert not names_age_below_18(normalise(text))
