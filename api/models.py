"""The model catalogue as operators keep it: adding models with their digests, and checking them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from api.errors import InvalidInputError, NotFoundError
from audit import events, records
from audit.events import Event
from generator.card import ModelCard
from generator.catalogue import ModelCatalogue
from generator.errors import GeneratorError, UnknownModelError


class Models:
    """Finds, adds and checks models; an addition is logged.

    Args:
        catalogue: the models that are known.
        folder: where cards are written.
        append: writes an event to the log.
    """

    def __init__(self, catalogue: Callable[[], ModelCatalogue], folder: Path, append: Callable[[Event], None]) -> None:
        self._catalogue = catalogue
        self._folder = folder
        self._append = append

    def card(self, model_id: str) -> ModelCard:
        """The card of a model. Raises `NotFoundError`."""
        try:
            return self._catalogue().get(model_id)
        except UnknownModelError as error:
            raise NotFoundError(str(error)) from error

    def add(
        self,
        source: str,
        *,
        model_id: str | None,
        title: str | None,
        licence: str,
        training_data: str,
        variant: str | None,
    ) -> tuple[ModelCard, Path]:
        """Write a card for a local folder or for `owner/name@revision` on the hub; returns it and its path.

        Raises:
            InvalidInputError: no such model, pickled weights, an id that is taken.
        """
        from generator.adding import Statement, describe_folder, describe_hub_model, write_card

        statement = Statement(licence=licence, training_data=training_data, id=model_id, title=title)
        folder = Path(source).expanduser()
        hub_id, separator, revision = source.partition("@")
        try:
            if folder.is_dir():
                card = describe_folder(folder, statement)
            elif separator and hub_id.count("/") == 1 and revision:
                card = describe_hub_model(hub_id, revision, variant, statement)
            else:
                raise InvalidInputError(
                    f"'{source}' is neither a folder nor a model on the hub; write OWNER/NAME@REVISION",
                    parameter="source",
                )
            if any(card.id == known.id for known in self._catalogue().cards()):
                raise InvalidInputError(
                    f"a model is called '{card.id}' already; choose another with --id", parameter="id"
                )
        except GeneratorError as error:
            raise InvalidInputError(str(error), parameter="source") from error
        self._append(Event(None, events.ModelAdded(
            model=records.Model(id=card.id, digest=card.digest, engine=card.engine),
            source=card.source, revision=card.revision, licence=card.licence,
        )))  # fmt: skip
        try:
            return card, write_card(card, self._folder)
        except GeneratorError as error:
            raise InvalidInputError(str(error), parameter="id") from error

    @staticmethod
    def problem(card: ModelCard) -> str | None:
        """What is wrong with a model's files; None if every one is the card's."""
        from generator.model_folder import verified_folder

        try:
            verified_folder(card)
        except GeneratorError as error:
            return str(error)
        return None
