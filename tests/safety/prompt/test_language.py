from __future__ import annotations

import pytest

from safety import Outcome
from safety.prompt.language import LanguageCheck, detect_language


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("un chat noir dort sur un canapé rouge", "fr"),
        ("ein alter Mann liest eine Zeitung im Park", "de"),
        ("яблоко на деревянном столе у окна", "ru"),
        ("μια γυναίκα στην παραλία", "el"),
        ("تفاحة على الطاولة", "ar"),
        ("一个苹果在桌子上", "zh"),
        ("リンゴがテーブルの上にある", "ja"),
        ("사과가 있는 탁자", "ko"),
    ],
)
def test_a_sentence_in_another_language_is_told(text: str, code: str) -> None:
    language = detect_language(text)
    assert (language.code, language.told) == (code, True)


@pytest.mark.parametrize(
    "text", ["a red apple on a wooden table", "trending on artstation", "", "1234 !!", "Mona Lisa", "Claude Monet"]
)
def test_english_names_and_scraps_are_not_told_to_be_another_language(text: str) -> None:
    language = detect_language(text)
    assert language.code == "en" or not language.told


@pytest.mark.parametrize("prompt", ["a red apple", "un chat noir dort sur un canapé rouge"])
def test_a_measured_language_passes(prompt: str) -> None:
    assert [finding.outcome for finding in LanguageCheck().examine(prompt)] == [Outcome.PASS]


def test_an_unmeasured_language_is_found_and_named() -> None:
    (finding,) = LanguageCheck().examine("μια γυναίκα στην παραλία")
    assert finding.outcome is Outcome.BLOCK
    assert finding.evidence["language"] == "el"
    assert finding.evidence["measured"] == ["en", "fr"]


def test_a_disguise_does_not_pass_for_another_language() -> None:
    (finding,) = LanguageCheck().examine("a bеautiful pоrtrait оf а wоman in thе parк")
    assert finding.outcome is Outcome.PASS
