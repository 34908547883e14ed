from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safety.prompt.canonical import CANONICAL_LENGTH_MAX, boldest_reading, canonicalise, encodable

anything = st.text(st.characters(exclude_categories=()), max_size=120)
"""Every code point, lone surrogates among them."""

disguised = st.text(
    st.sampled_from(
        "aAbeilostxzSEX013457@$!|€ .-_*~/#%&;\\=+\u200b\u202e\u0301\u00e9\u0430\u0435\u03bf\u1d00🅰🇸ﬁ🔪🍆🍑👧🏽\n"
    ),
    max_size=60,
)

pieces = st.lists(
    st.sampled_from(
        [
            "nu",
            "de",
            "por",
            "n",
            "na",
            "ked",
            "s e x",
            "n a k e d",
            "YSBuYWtlZA==",
            "6e616b6564",
            "%6e%75",
            "&#110;",
            "🍆",
            "👌",
        ]
    ),
    max_size=12,
).map(" ".join)


@pytest.mark.parametrize(
    ("prompt", "canonical", "steps"),
    [
        ("nаkеd wоmаn", "naked woman", {"look-alikes"}),
        ("ɴᴜᴅᴇ", "nude", {"look-alikes"}),
        ("ｎｕｄｅ", "nude", {"compatibility"}),
        ("🅽🆄🅳🅴", "nude", {"compatibility"}),
        ("n\u200bu\u2060d\u00ade", "nude", {"invisible"}),
        ("\u202enude\u202c", "nude", {"invisible"}),
        ("n̸ü̶d̷ē", "nude", {"marks"}),
        ("n4k3d w0man", "naked woman", {"leet"}),
        ("$exual", "sexual", {"leet"}),
        ("k!ll", "kill", {"leet"}),
        ("s e x", "sex", {"spelled"}),
        ("s.e.x", "sex", {"spelled"}),
        ("n a k e d   w o m a n", "naked woman", {"spelled"}),
        ("na~k*ed", "naked", {"punctuated"}),
        ("se.x.y", "sexy", {"punctuated"}),
        ("nuuuude", "nude", {"stretched"}),
        ("pusssssy", "pussy", {"stretched"}),
        ("ѕ\u200bе\u200bх", "sex", {"invisible", "look-alikes"}),
        ("n a k e d w o m a n o n a b e d", "naked woman on a bed", {"spelled"}),
        ("nak ed", "naked", {"torn"}),
        ("na-ked", "naked", {"torn"}),
        ("nakedwoman", "naked woman", {"run-together"}),
        ("n*de", "nude", {"masked"}),
        ("pooorn seexx", "porn sex", {"stretched"}),
        ("YSBuYWtlZCB3b21hbg==", "a naked woman", {"encoded"}),
        ("a 🔪", "a knife", {"emoji"}),
    ],
)
def test_disguise_is_undone_and_named(prompt: str, canonical: str, steps: set[str]) -> None:
    result = canonicalise(prompt)
    assert result.text == canonical
    assert {change.step for change in result.trace} == steps


@pytest.mark.parametrize(
    "prompt",
    [
        "a red apple on a tree",
        "1950s photo, 4k, 8k, 3d render, 50mm, f/1.8, 2girls",
        "1 9 5 0 sci - fi, 8 k, f / 1. 4, 5 0 mm",
        "louis xiii, www, xxx, IIII",
        "node.js on artstation.com, self-portrait, e.g. a well-known sci-fi film",
        "write to someone@example.com",
        "windows7 apollo13 r2d2 h264 mp4 f16 1080p x86",
        "Это красивый дом, сок и вода",
        "赤いりんご",
        "7yo 12yo 5th 3rd 70mm",
        "wow!!! yes!",
        "a pen is on the table, the rapist's therapist, an analyst",
        "pansexual, eyeballs, cockroach, assassin, Essex, cumulus",
        "C# and F*",
    ],
)
def test_honest_text_stays_as_it_is(prompt: str) -> None:
    assert canonicalise(prompt) == (type(canonicalise(""))(prompt, ()))


@settings(max_examples=400)
@given(anything | disguised | pieces)
def test_canonical_text_is_canonical(prompt: str) -> None:
    once = canonicalise(prompt).text
    assert canonicalise(once).text == once


@given(anything | disguised | pieces)
def test_every_text_has_a_canonical_form_that_can_be_encoded(prompt: str) -> None:
    canonical = canonicalise(prompt).text
    canonical.encode("utf-8")
    boldest_reading(canonical).encode("utf-8")
    assert len(canonical) <= CANONICAL_LENGTH_MAX


@pytest.mark.parametrize("prompt", ["x" * 100_000, "ﷺ" * 20_000, "a " * 60_000, "é\u0301" * 40_000, ". " * 50_000])
def test_length_is_bounded_whatever_comes(prompt: str) -> None:
    assert len(canonicalise(prompt).text) <= CANONICAL_LENGTH_MAX


def test_what_is_cut_is_named() -> None:
    assert "cut" in {change.step for change in canonicalise("ab " * 10_000).trace}


def test_trace_holds_no_part_of_the_prompt() -> None:
    trace = canonicalise("n4k3d wоman").trace
    assert [(change.step, change.count) for change in trace] == [("look-alikes", 1), ("leet", 1)]


@pytest.mark.parametrize(("text", "reading"), [("p@r3n7$", "parents"), ("explici7", "explicit"), ("a cat", "a cat")])
def test_boldest_reading_reads_every_sign_as_a_letter(text: str, reading: str) -> None:
    assert boldest_reading(text) == reading


def test_lone_surrogates_are_replaced() -> None:
    assert encodable("a\ud800b") == "a?b"
