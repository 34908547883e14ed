from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sqlalchemy import Engine, delete

from safety import ReferenceIndexError
from safety.duplicates.index import ReferenceIndex
from safety.duplicates.ingest import ingest_folder
from safety.duplicates.matches import MATCH_DISTANCE_BITS, confidence
from safety.tables import reference_thumbnails, reference_works
from tests.safety.conftest import flat_scene


def decode(content: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture(autouse=True)
def empty(index: ReferenceIndex, engine: Engine) -> Iterator[None]:
    yield
    with engine.begin() as connection:
        connection.execute(delete(reference_thumbnails))
        connection.execute(delete(reference_works))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two works, one of them twice; a broken file, a blank picture, a hidden file and a link."""
    (tmp_path / "sub").mkdir()
    Image.fromarray(flat_scene((255, 0, 0), "ellipse")).save(tmp_path / "a.png")
    Image.fromarray(flat_scene((0, 0, 255), "polygon")).save(tmp_path / "sub" / "b.png")
    (tmp_path / "sub" / "copy.png").write_bytes((tmp_path / "a.png").read_bytes())
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    Image.new("RGB", (64, 64), (9, 9, 9)).save(tmp_path / "blank.png")
    (tmp_path / ".hidden.png").write_bytes((tmp_path / "a.png").read_bytes())
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    return tmp_path


def names(paths: tuple[str, ...]) -> list[str]:
    return [Path(path).name for path in paths]


def test_folder_is_listed_and_the_rest_reported(index: ReferenceIndex, folder: Path) -> None:
    calls: list[tuple[int, int]] = []
    report = ingest_folder(
        folder, index, decode, rights_claim="Studio X", progress=lambda done, total: calls.append((done, total))
    )

    assert names(tuple(reference.source for reference in report.added)) == ["a.png", "b.png"]
    assert names(report.duplicates) == ["copy.png"]
    assert [Path(path).name for path, _ in report.broken] == ["blank.png", "broken.jpg"]
    assert all(": " in reason for _, reason in report.broken), "the kind of error and its message"
    assert calls == [(done, 5) for done in range(1, 6)]
    assert {reference.rights_claim for reference in index.list()} == {"Studio X"}
    assert [(r.width, r.height) for r in index.list()] == [(512, 512)] * 2


def test_a_second_run_adds_nothing(index: ReferenceIndex, folder: Path) -> None:
    ingest_folder(folder, index, decode)
    again = ingest_folder(folder, index, decode)
    assert again.added == ()
    assert names(again.duplicates) == ["a.png", "b.png", "copy.png"]


def test_listed_work_is_found_afterwards(index: ReferenceIndex, folder: Path) -> None:
    ingest_folder(folder, index, decode)
    nearest = index.search(flat_scene((255, 0, 0), "ellipse")[::2, ::2]).matches[0]
    assert Path(nearest.source).name == "a.png"
    assert nearest.confidence >= confidence(MATCH_DISTANCE_BITS)


def test_what_is_no_folder_is_an_error(index: ReferenceIndex, tmp_path: Path) -> None:
    with pytest.raises(ReferenceIndexError, match="expected a folder"):
        ingest_folder(tmp_path / "absent", index, decode)
