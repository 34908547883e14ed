import dataclasses
import hashlib
import json
import secrets

import pytest

from audit.errors import BodyTooLargeError, EventError, FloatInBodyError
from audit.events import KINDS, Body, Event, Failed, Public, commitment, encode, marker
from audit.tables import MAX_BODY_BYTES
from tests.audit.samples import IMAGE, failed, released

SALT, PRIVATE_SALT = secrets.token_bytes(32), secrets.token_bytes(32)


def test_the_commitment_is_sha256_of_salt_and_body() -> None:
    encoded = encode(failed(), SALT, PRIVATE_SALT)
    assert encoded.commitment == hashlib.sha256(SALT + encoded.body).digest()


def test_the_body_commits_to_the_private_part_without_showing_it() -> None:
    encoded = encode(released(), SALT, PRIVATE_SALT)
    body = json.loads(encoded.body)
    assert body["private"] == commitment(PRIVATE_SALT, encoded.private).hex()
    assert b"secret-tenant" in encoded.private
    assert b"secret-tenant" not in encoded.body


def test_the_body_shows_the_image_digest_kind_record_and_schema() -> None:
    body = json.loads(encode(released(), SALT, PRIVATE_SALT).body)
    assert body["public"]["image_sha256"] == hashlib.sha256(IMAGE).hexdigest()
    assert (body["kind"], body["record"], body["schema"]) == ("released", "record-1", 1)


def test_only_releases_disclose_anything() -> None:
    disclosing = {
        kind.kind
        for kind in KINDS
        if any(isinstance(marker(kind, name), Public) for name in (f.name for f in dataclasses.fields(kind)))
    }
    assert disclosing == {"released"}


def test_a_float_is_refused_by_its_path() -> None:
    event = Event("r", Failed(stage="s", error="E", message="m", details={"scores": [1, 0.5]}))
    with pytest.raises(FloatInBodyError) as caught:
        encode(event, SALT, PRIVATE_SALT)
    assert caught.value.path == "$.private.details.scores[1]"


def test_a_part_of_65535_bytes_is_taken_and_one_more_is_refused() -> None:
    def event(length: int) -> Event:
        return Event("r", Failed(stage="s", error="E", message="m" * length))

    overhead = len(encode(event(0), SALT, PRIVATE_SALT).private)
    assert len(encode(event(MAX_BODY_BYTES - overhead), SALT, PRIVATE_SALT).private) == MAX_BODY_BYTES
    with pytest.raises(BodyTooLargeError, match="65536 bytes"):
        encode(event(MAX_BODY_BYTES - overhead + 1), SALT, PRIVATE_SALT)


@pytest.mark.parametrize("record_id", ["", "a b", "a/b", "x" * 129, "é", "a\n", "a\x00"])
def test_record_ids_are_plain(record_id: str) -> None:
    with pytest.raises(EventError, match="record id"):
        Event(record_id, failed().body)


def test_kinds_have_distinct_names_and_every_field_says_what_it_means() -> None:
    names = [kind.kind for kind in KINDS]
    assert len(set(names)) == len(names)
    for kind in KINDS:
        for name in (f.name for f in dataclasses.fields(kind)):
            assert marker(kind, name).text


def test_every_kind_that_is_defined_is_listed() -> None:
    assert set(Body.__subclasses__()) == set(KINDS)


@pytest.mark.parametrize("digest", ["", "AB" * 32, "ab" * 31, "zz" * 32])
def test_a_release_needs_a_proper_image_digest(digest: str) -> None:
    with pytest.raises(EventError, match="image_sha256"):
        dataclasses.replace(released().body, image_sha256=digest)  # type: ignore[call-arg]  # a release
