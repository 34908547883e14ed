from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from api.errors import InvalidInputError, UnavailableError
from api.marking import MARK_KEYS, FoundMark, Marking, ServiceKeys, marks
from audit.errors import KeyFileError
from audit.events import Event
from provenance.fingerprint import fingerprint
from provenance.pixels import Pixels
from tests.provenance.pictures import recoded, textured

PICTURE = textured(11)
SIZE = (512, 512)


class NoRecords:
    """Records where none is found: the comparison needs none."""

    def by_short_id(self, short_id: int) -> Any:
        from api.errors import NotFoundError

        raise NotFoundError("none")


def marking(keys: ServiceKeys) -> Marking:
    service, laboratory, number = marks(keys)
    return Marking(service, laboratory, NoRecords(), number)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> ServiceKeys:
    return ServiceKeys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def marked(keys: ServiceKeys) -> Pixels:
    return marking(keys).service.embed(PICTURE, 77)


def found(keys: ServiceKeys, pixels: Pixels) -> FoundMark:
    mark = marking(keys).find(pixels)
    assert mark is not None
    return mark


def test_the_first_key_is_made_once(tmp_path: Path) -> None:
    assert ServiceKeys(tmp_path).secrets() == ServiceKeys(tmp_path).secrets()
    assert len(ServiceKeys(tmp_path).secrets()[0]) == 32


def test_a_new_key_marks_and_the_old_marks_stay_readable(tmp_path: Path) -> None:
    keys = ServiceKeys(tmp_path)
    old = marking(keys).service.embed(PICTURE, 1)
    events: list[Event] = []
    assert keys.rotate(events.append) == 1
    assert [event.body.kind for event in events] == ["key_rotated"]
    newer = marking(ServiceKeys(tmp_path))
    assert newer.service.detect(old).payload == 1
    new = newer.service.embed(PICTURE, 2)
    assert newer.service.detect(new).payload == 2
    assert marks(keys)[2] == 1
    only_old = ServiceKeys(tmp_path / "other")
    assert marking(only_old).find(new) is None


def test_no_key_is_made_without_its_event(tmp_path: Path) -> None:
    def away(_: Event) -> None:
        raise UnavailableError("the database is away")

    keys = ServiceKeys(tmp_path)
    keys.secrets()
    with pytest.raises(UnavailableError):
        keys.rotate(away)
    assert len(keys.secrets()) == 1


def test_key_numbers_end_where_the_mark_has_no_room(tmp_path: Path) -> None:
    keys = ServiceKeys(tmp_path)
    for _ in range(MARK_KEYS - 1):
        keys.rotate(lambda _: None)
    with pytest.raises(InvalidInputError, match=str(MARK_KEYS)):
        keys.rotate(lambda _: None)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    ServiceKeys(tmp_path).secrets()
    (tmp_path / "watermark.key").chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        ServiceKeys(tmp_path).secrets()


def test_a_laboratory_mark_is_told_from_the_services(keys: ServiceKeys) -> None:
    mark = found(keys, marking(keys).laboratory.embed(PICTURE, 5))
    assert (mark.kind, mark.record, mark.detection.payload) == ("laboratory", None, 5)


def compare(keys: ServiceKeys, pixels: Pixels, released: Pixels | None = None) -> tuple[str, bool]:
    """The verdict against the marked picture, and whether a region was needed."""
    whole = released
    comparison = Marking.compare(found(keys, pixels), pixels, fingerprint(PICTURE), SIZE, lambda: whole)
    return comparison.agreement.verdict, comparison.region is not None


def test_the_same_picture_agrees(keys: ServiceKeys, marked: Pixels) -> None:
    assert compare(keys, recoded(marked, "jpeg", 60)) == ("agrees", False)


def test_a_crop_agrees_as_a_part_of_the_released_picture(keys: ServiceKeys, marked: Pixels) -> None:
    crop = np.ascontiguousarray(marked[80:450, 100:470])
    assert compare(keys, crop, released=marked) == ("agrees", True)


@pytest.mark.parametrize("degrees", [3, -4])
def test_a_tilted_picture_never_conflicts(keys: ServiceKeys, marked: Pixels, degrees: int) -> None:
    tilted = np.asarray(Image.fromarray(marked).rotate(degrees, Image.Resampling.BICUBIC))
    assert compare(keys, tilted, released=marked) == ("agrees", True)
    assert compare(keys, tilted)[0] != "differs"


def test_a_crop_of_an_erased_picture_is_not_comparable(keys: ServiceKeys, marked: Pixels) -> None:
    crop = np.ascontiguousarray(marked[80:450, 100:470])
    assert compare(keys, crop) == ("not_comparable", False)


def test_a_mark_on_another_whole_picture_differs(keys: ServiceKeys, marked: Pixels) -> None:
    other = marking(keys).service.embed(textured(12), 77)
    assert compare(keys, other, released=marked) == ("differs", False)
    assert compare(keys, other) == ("differs", False)


def test_a_mark_on_a_part_of_another_picture_is_not_comparable(keys: ServiceKeys, marked: Pixels) -> None:
    other = np.ascontiguousarray(marking(keys).service.embed(textured(12), 77)[60:400, 60:400])
    assert compare(keys, other, released=marked) == ("not_comparable", False)


def beside(marked: Pixels, margin: int, seed: int = 0) -> Pixels:
    """The picture with something else on its left and right."""
    sides = textured(90 + seed, 512)[:, :margin]
    return np.ascontiguousarray(np.concatenate([sides, marked, sides[:, ::-1]], axis=1))


def test_a_mark_on_another_picture_of_another_shape_differs_where_the_released_one_would_have_to_be_in_it(
    keys: ServiceKeys, marked: Pixels
) -> None:
    other = marking(keys).service.embed(np.ascontiguousarray(textured(12, 768)[:512]), 77)
    assert compare(keys, other, released=marked) == ("differs", False)
    assert compare(keys, other) == ("not_comparable", False)


@pytest.mark.parametrize("margin", [40, 100, 160, 240])
def test_a_picture_with_something_around_it_never_conflicts(keys: ServiceKeys, marked: Pixels, margin: int) -> None:
    padded = beside(marked, margin)
    assert compare(keys, padded, released=marked)[0] != "differs"
    cut = beside(marked, margin)
    cut[:, : margin + 150] = textured(95, 512)[:, : margin + 150]  # a third of the picture itself is covered
    mark = marking(keys).find(cut)
    if mark is not None:
        comparison = Marking.compare(mark, cut, fingerprint(PICTURE), SIZE, lambda: marked)
        assert comparison.agreement.verdict != "differs"
