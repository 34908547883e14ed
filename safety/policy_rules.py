"""What a policy is made of: actions, and rules on categories, persons and languages, in order of strictness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from safety.core import MINOR_SIGN, PERSON, PUBLIC_FIGURE


class Action(StrEnum):
    """What a policy does about a category, from mild to strict."""

    ANNOTATE = "annotate"
    REVIEW = "review"
    REFUSE = "refuse"

    @property
    def severity(self) -> int:
        """0 for the mildest."""
        return list(Action).index(self)


class Depictable(StrEnum):
    """Who a prompt may ask for, from strict to mild; each includes those before it."""

    NONE = "none"
    ADULTS = "adults"
    PUBLIC_FIGURES = "public_figures"
    ANYONE = "anyone"

    @property
    def breadth(self) -> int:
        """0 for the strictest."""
        return list(Depictable).index(self)


@dataclass(frozen=True, slots=True)
class CategoryRule:
    """What to do about one category at one stage.

    `on_block` applies to findings that block, `on_flag` (never `refuse`) to those that flag. `threshold`
    in (0, 1] replaces the check's own, None leaves it.
    """

    on_block: Action
    on_flag: Action = Action.ANNOTATE
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class StagePolicy:
    """Required and optional checks of one stage, by id, and the rules of its categories."""

    required_checks: tuple[str, ...]
    optional_checks: tuple[str, ...]
    categories: Mapping[str, CategoryRule]


@dataclass(frozen=True, slots=True)
class PersonRule:
    """Who may be depicted, and what becomes of a prompt that asks for somebody else.

    Judged by the words of the prompt: `person`, `minor_sign` and `public_figure` are what its checks find.
    """

    allow: Depictable
    otherwise: Action = Action.REFUSE

    def action(self, category: str) -> Action:
        """What to do about a finding of one of `PERSON_CATEGORIES`, whether it flags or blocks."""
        return self.otherwise if self.allow.breadth < _FIRST_ALLOWING[category].breadth else Action.ANNOTATE


_FIRST_ALLOWING = {
    PERSON: Depictable.ADULTS,
    PUBLIC_FIGURE: Depictable.PUBLIC_FIGURES,
    MINOR_SIGN: Depictable.ANYONE,
}

PERSON_CATEGORIES = frozenset(_FIRST_ALLOWING)
"""Categories that `persons` rules on; a rule of their own would say the same thing twice."""


@dataclass(frozen=True, slots=True)
class LanguageRule:
    """What becomes of a prompt in a language that the classifier was not measured on.

    `accepted` (ISO 639-1 codes) narrows that to a list: any language outside it counts as not measured. None
    accepts every measured language.
    """

    other: Action
    accepted: tuple[str, ...] | None = None
