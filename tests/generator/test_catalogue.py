from __future__ import annotations

import subprocess
import sys

import pytest

from generator import EMBLEM_CARD, InvalidCardError, ModelCard, ModelCatalogue, UnknownModelError


def test_the_shipped_model_is_found_by_its_id() -> None:
    catalogue = ModelCatalogue.from_files([EMBLEM_CARD])

    assert catalogue.get("emblem").title
    assert [card.id for card in catalogue.cards()] == ["emblem"]


def test_an_unknown_id_is_refused_with_the_ids_there_are(shipped_card: ModelCard) -> None:
    with pytest.raises(UnknownModelError, match="known models: emblem") as caught:
        ModelCatalogue([shipped_card]).get("stable-diffusion")

    assert caught.value.known == ("emblem",)


def test_two_cards_with_one_id_are_refused(shipped_card: ModelCard) -> None:
    with pytest.raises(InvalidCardError, match="emblem"):
        ModelCatalogue([shipped_card, shipped_card])


def test_importing_the_package_loads_nothing_heavy() -> None:
    program = "import sys, generator; print([m for m in ('numpy', 'torch', 'diffusers', 'PIL') if m in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout

    assert printed.strip() == "[]"
