from __future__ import annotations

from safety.prompt.glossary import shipped_glossary
from safety.training.augment import disguised, style_swapped, translated
from safety.training.own_prompts import own_prompts, tails
from safety.training.prompt_data import LabelledPrompt

TAILS = ["intricate, elegant, highly detailed, digital painting"]


def prompts(source: str, percentage: float | None = None) -> list[LabelledPrompt]:
    return [
        LabelledPrompt(f"a man on a horse number {n}, {source} style words here", source, False, (), percentage)
        for n in range(200)
    ]


def test_disguised_rows_are_repeatable_copies_of_their_rows() -> None:
    rows = prompts("imagereward")
    copies = disguised(rows, 5)
    assert copies == disguised(rows, 5)
    assert 0.05 * len(rows) < len(copies) < 0.25 * len(rows)
    assert all(copy.source == rows[row].source and copy.target == rows[row].target for row, copy in copies)


def test_styles_are_swapped_between_sources_and_cores_stay() -> None:
    rows = [*prompts("imagereward"), *prompts("i2p", 90.0), *prompts("i2p", 10.0)]
    copies = style_swapped(rows, 5)
    assert copies
    for row, copy in copies:
        assert copy.text.split(",")[0] == rows[row].text.split(",")[0]
        other = "i2p" if copy.source == "imagereward" else "imagereward"
        assert f"{other} style" in copy.text
        assert copy.inappropriate_percentage != 10.0


def test_translated_rows_are_in_words_of_another_language_or_glossed_back() -> None:
    rows = own_prompts(TAILS)
    copies = translated(rows, 5)
    assert len(copies) > 200
    words = {word for column in shipped_glossary().english.values() for phrase in column for word in phrase.split()}
    assert sum(bool(words & set(copy.text.split())) for _, copy in copies) > 0.6 * len(copies)


def test_own_prompts_are_repeatable_filled_and_of_known_categories() -> None:
    rows = own_prompts(TAILS)
    assert rows == own_prompts(TAILS)
    assert len(rows) > 3000
    assert not any("{" in row.text for row in rows)
    assert all(row.named() <= set(row.categories) for row in rows)
    assert {row.unsafe for row in rows} == {True, False}
    assert len({row.text for row in rows}) > 0.95 * len(rows)


def test_tails_are_what_follows_the_first_comma() -> None:
    assert tails(["a cat, one two three", "a dog, short", "no comma"]) == ["one two three"]
