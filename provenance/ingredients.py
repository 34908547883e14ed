"""Pictures that a picture was made from, as its credential lists them (C2PA 2.4 §18.16)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from provenance.errors import IngredientError

Relationship = Literal["parentOf", "inputTo", "componentOf"]

RELATIONSHIPS: Final[frozenset[str]] = frozenset(get_args(Relationship))
INGREDIENT_MEDIA_TYPES: Final = frozenset(
    {"image/png", "image/jpeg", "image/webp", "image/avif", "image/tiff", "image/gif", "image/bmp"}
)


@dataclass(frozen=True)
class Ingredient:
    """One picture that was used, with its own credential inside `data` where it has one.

    relationship: `parentOf` (the picture that was edited; at most one), `componentOf` (placed into the result), or
    `inputTo` (a model looked at it: a reference, a mask). thumbnail_jpeg: made by `thumbnail_jpeg` from pixels that
    the caller has decoded safely; None leaves it out. Raises `IngredientError`.
    """

    data: bytes = field(repr=False)
    media_type: str
    relationship: Relationship
    title: str
    thumbnail_jpeg: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.relationship not in RELATIONSHIPS:
            raise IngredientError(
                f"An ingredient is {self.relationship!r}; expected one of {', '.join(sorted(RELATIONSHIPS))} "
                "(C2PA §18.16.3)."
            )
        if self.media_type not in INGREDIENT_MEDIA_TYPES:
            raise IngredientError(
                f"An ingredient of type {self.media_type!r} cannot be listed; expected one of "
                f"{', '.join(sorted(INGREDIENT_MEDIA_TYPES))}."
            )
        if not self.data:
            raise IngredientError("An ingredient has no bytes; give the file as it came.")


@dataclass(frozen=True)
class IngredientEntry:
    """One ingredient in the SDK's words: its definition, its bytes, and the resource that the definition names."""

    definition: dict[str, Any]
    media_type: str
    data: bytes = field(repr=False)
    thumbnail: tuple[str, bytes] | None = field(repr=False)


def ingredient_id(position: int) -> str:
    """The name by which actions refer to the ingredient at `position` while the manifest is built."""
    return f"ingredient-{position}"


def entries(ingredients: Sequence[Ingredient]) -> list[IngredientEntry]:
    """The ingredients in the SDK's words. Raises `IngredientError` where more than one is the parent."""
    if sum(ingredient.relationship == "parentOf" for ingredient in ingredients) > 1:
        raise IngredientError("More than one ingredient is `parentOf`; a picture has one parent (C2PA §18.16.3).")
    return [_entry(position, ingredient) for position, ingredient in enumerate(ingredients)]


def positions(ingredients: Sequence[Ingredient], relationship: Relationship) -> list[int]:
    """Where in the list the ingredients of one relationship are."""
    return [position for position, one in enumerate(ingredients) if one.relationship == relationship]


def _entry(position: int, ingredient: Ingredient) -> IngredientEntry:
    name = ingredient_id(position)
    definition: dict[str, Any] = {
        "title": ingredient.title,
        "relationship": ingredient.relationship,
        "label": name,
        "instance_id": name,
    }
    thumbnail = None
    if ingredient.thumbnail_jpeg is not None:
        thumbnail = (f"{name}.jpg", ingredient.thumbnail_jpeg)
        definition["thumbnail"] = {"format": "image/jpeg", "identifier": thumbnail[0]}
    return IngredientEntry(definition, ingredient.media_type, ingredient.data, thumbnail)
