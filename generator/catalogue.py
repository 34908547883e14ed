"""The models that this installation knows, by id."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from generator.card import ModelCard, load_card
from generator.errors import InvalidCardError, UnknownModelError

EMBLEM_CARD = Path(__file__).parent / "emblem" / "card.yaml"
"""The card of the model that ships with the program."""


class ModelCatalogue:
    """Cards by model id. A model that has no card here is never loaded."""

    def __init__(self, cards: Iterable[ModelCard]) -> None:
        """Raises InvalidCardError if two cards share an id."""
        self._cards: dict[str, ModelCard] = {}
        for card in cards:
            if card.id in self._cards:
                raise InvalidCardError(f"two model cards have the id {card.id!r}; ids must differ")
            self._cards[card.id] = card

    @classmethod
    def from_files(cls, paths: Iterable[Path]) -> ModelCatalogue:
        """Read one card from each file. Raises InvalidCardError."""
        return cls(load_card(path) for path in paths)

    def get(self, model_id: str) -> ModelCard:
        """The card with this id. Raises UnknownModelError, which lists the ids there are."""
        try:
            return self._cards[model_id]
        except KeyError:
            raise UnknownModelError(model_id, self._cards) from None

    def cards(self) -> tuple[ModelCard, ...]:
        """All cards, in the order in which they were given."""
        return tuple(self._cards.values())
