from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from generator import EMBLEM_CARD, InvalidCardError, load_card


def write_card(folder: Path, **changes: object) -> Path:
    document = yaml.safe_load(EMBLEM_CARD.read_text())
    document.update(changes)
    path = folder / "card.yaml"
    path.write_text(yaml.safe_dump({name: value for name, value in document.items() if value is not None}))
    return path


def test_a_relative_source_is_a_folder_beside_the_card(tmp_path: Path) -> None:
    card = load_card(write_card(tmp_path, source="weights"))

    assert Path(card.source) == (tmp_path / "weights").resolve()
    assert card.hub_id is None


def test_a_hub_source_names_its_repository(tmp_path: Path) -> None:
    card = load_card(write_card(tmp_path, source="hub:someone/model", revision="abc123"))

    assert card.hub_id == "someone/model"
    assert card.revision == "abc123"


@pytest.mark.parametrize(
    "changes",
    [
        {"source": "hub:someone/model", "revision": ""},
        {"digest": "abc"},
        {"digest": None},
        {"licence": None},
        {"defaults": {"steps": 1, "guidance": 1, "width": 300, "height": 300}},
        {"defaults": {"steps": 1, "guidance": 1, "width": 256, "height": 256, "seed": 1}},
        {"colour": "blue"},
        {"sizes": 512},
    ],
)
def test_a_card_with_a_wrong_field_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(InvalidCardError, match=r"card\.yaml"):
        load_card(write_card(tmp_path, **changes))


@pytest.mark.parametrize("content", [b"- a\n- list\n", b"{", b"\xff\xfe\x00", b""])
def test_a_file_that_is_no_card_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "card.yaml"
    path.write_bytes(content)

    with pytest.raises(InvalidCardError):
        load_card(path)


def test_an_absent_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidCardError, match="cannot be read"):
        load_card(tmp_path / "card.yaml")
