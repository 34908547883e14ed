"""Events and small acts that several tests need."""

from __future__ import annotations

import hashlib

from sqlalchemy import Engine, text

from audit import Event
from audit.events import Failed, Released
from audit.records import (
    Credential,
    Decision,
    Finding,
    Model,
    ObjectReference,
    Policy,
    Sampling,
    VaultReference,
    Watermark,
)

IMAGE = b"\x89PNG the bytes of an image"


def failed(number: int = 0) -> Event:
    """A small event."""
    return Event(f"record-{number}", Failed(stage="generate", error="EngineError", message=f"number {number}"))


def released(
    image: bytes = IMAGE,
    record_id: str = "record-1",
    prompt: VaultReference | None = None,
    objects: tuple[ObjectReference, ...] = (),
) -> Event:
    """A release as the generation flow records it."""
    return Event(
        record_id,
        Released(
            image_sha256=hashlib.sha256(image).hexdigest(),
            media_type="image/png",
            width=512,
            height=512,
            origin="created",
            credential=Credential("urn:c2pa:1", "ab" * 32),
            decision=Decision("release", "image"),
            findings=(Finding("prompt.text", "1", "harm", "pass", "0.0123", "0.5"),),
            policy=Policy("default", "1", "cd" * 32),
            model=Model("emblem", "ef" * 32),
            sampling=Sampling(512, 512, seed="18446744073709551615", steps=20, guidance="4.5", batch=1),
            watermark=Watermark("0123456789abcdef", "imprimatur.test/1", True, "0.98"),
            tenant="secret-tenant",
            prompt=prompt,
            objects=objects,
        ),
    )


def as_superuser(owner: Engine, *statements: str, **parameters: object) -> int:
    """Runs statements with triggers off, as someone with every right could; gives the rows the last one changed."""
    changed = 0
    with owner.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        for statement in statements:
            changed = connection.execute(text(statement), parameters).rowcount
    return changed
