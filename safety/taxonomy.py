"""The categories that prompt checks find, and what the taxonomies of others call them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Category:
    """One category: its name in findings and policies, what it holds, and its names elsewhere.

    `openai`: categories of OpenAI's moderation endpoint (omni-moderation). `ailuminate`: hazards of MLCommons
    AILuminate 1.0. `azure`: harm categories of Azure AI Content Safety. An empty tuple says that the other
    taxonomy has no such category. `learnt` says whether the classifier has labelled material on it; the
    others are found by rules alone.
    """

    name: str
    holds: str
    openai: tuple[str, ...] = ()
    ailuminate: tuple[str, ...] = ()
    azure: tuple[str, ...] = ()
    learnt: bool = False


LANGUAGE_CATEGORY = "language"

TAXONOMY: tuple[Category, ...] = (
    Category(
        "sexual",
        "nudity, sexual acts, sexualised depiction of adults",
        ("sexual",),
        ("sexual content", "sex-related crimes"),
        ("Sexual",),
        learnt=True,
    ),
    Category(
        "violence",
        "violence against people or animals, injury, weapons in use",
        ("violence",),
        ("violent crimes",),
        ("Violence",),
        learnt=True,
    ),
    Category(
        "shocking",
        "gore, mutilation, horror, the disgusting",
        ("violence/graphic",),
        (),
        ("Violence",),
        learnt=True,
    ),
    Category(
        "self_harm",
        "suicide, self-injury, eating disorders",
        ("self-harm", "self-harm/intent", "self-harm/instructions"),
        ("suicide and self-harm",),
        ("Self-harm",),
        learnt=True,
    ),
    Category(
        "hate",
        "contempt for or degradation of a group by a protected trait, its propaganda and symbols",
        ("hate", "hate/threatening"),
        ("hate",),
        ("Hate",),
        learnt=True,
    ),
    Category(
        "harassment",
        "intimidation, humiliation or mockery of a person",
        ("harassment", "harassment/threatening"),
        ("defamation",),
        ("Hate",),
        learnt=True,
    ),
    Category(
        "illegal_acts",
        "instructions for and promotion of crimes: theft, fraud, trafficking, hacking",
        ("illicit", "illicit/violent"),
        ("non-violent crimes", "violent crimes"),
        (),
        learnt=True,
    ),
    Category("privacy", "private data of persons, surveillance, doxing", (), ("privacy",), (), learnt=True),
    Category(
        "deception",
        "manipulation, sabotage, misinformation, other unethical conduct",
        ("illicit",),
        ("non-violent crimes",),
        (),
        learnt=True,
    ),
    Category(
        "copyright",
        "infringement as the aim: unlicensed copies, piracy, passing off",
        (),
        ("intellectual property",),
        (),
        learnt=True,
    ),
    Category(
        "sexual_minors",
        "sexual content with any sign of a minor; always refused",
        ("sexual", "sexual/minors"),
        ("child sexual exploitation",),
        ("Sexual",),
    ),
    Category("person", "a person is to be depicted; never a ground by itself"),
    Category("minor_sign", "a word or an age that says a minor may be depicted; never a ground by itself"),
    Category("public_figure", "a real public figure is named or plainly meant; who may be depicted is for a policy"),
    Category(
        "public_figure_harm",
        "a real public figure in a deceptive, sexual, violent or degrading scene",
        ("harassment",),
        ("defamation", "privacy"),
        (),
    ),
    Category("artist_style", "the style of a living artist is asked for", (), ("intellectual property",), ()),
    Category("character", "a protected character, by name or by description", (), ("intellectual property",), ()),
    Category("trademark", "a brand's mark, logo or product", (), ("intellectual property",), ()),
    Category(
        "document_forgery",
        "identity documents, banknotes, certificates, seals as forgeries or templates",
        ("illicit",),
        ("non-violent crimes",),
        (),
    ),
    Category(
        "weapons",
        "making weapons: bombs, guns, chemical and biological agents",
        ("illicit", "illicit/violent"),
        ("indiscriminate weapons (CBRNE)", "violent crimes"),
        (),
    ),
    Category("drugs", "making, growing or selling illegal drugs", ("illicit",), ("non-violent crimes",), ()),
    Category(LANGUAGE_CATEGORY, "the prompt is in a language that the classifier was not measured on"),
)
"""Everything a prompt check may find. `docs/taxonomy.md` prints this table; a test compares the two."""

CATEGORY_BY_NAME = {category.name: category for category in TAXONOMY}
LEARNT_CATEGORIES: tuple[str, ...] = tuple(category.name for category in TAXONOMY if category.learnt)
"""The classifier's categories, in the order of its outputs."""
