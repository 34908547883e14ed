"""A service for tests of the ledger: the real one on a database of its own; no model is loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from api.composition import Imprimatur
from api.settings import Settings
from audit.events import Event, Failed, Received
from audit.records import Input, ObjectReference, VaultReference
from tests.audit.samples import released
from tests.timestamp_authority import TimestampAuthority


@contextmanager
def open_house(
    database_url: str, folder: Path, authority: TimestampAuthority | None = None, **settings: Any
) -> Iterator[Imprimatur]:
    """The opened service; with an authority its checkpoints can be stamped."""
    if authority is not None:
        settings |= {"time_stamp_url": authority.url, "time_stamp_anchors": authority.root}
    with Imprimatur(Settings(data_dir=folder, database_url=database_url, **settings)) as opened:
        yield opened


def failed(number: int = 0) -> Event:
    """A small event."""
    return Event(f"record-{number}", Failed(stage="generate", error="EngineError", message=f"number {number}"))


def release(house: Imprimatur, subject: str, prompt: str, image: bytes) -> tuple[VaultReference, ObjectReference]:
    """A request with a picture, and a release with pixels and a thumbnail, as the flow records them."""
    reference = house.vault.put(subject, "prompt", prompt.encode())
    actor = house.vault.put(subject, "actor", subject.encode())
    given = Input("image", hashlib.sha256(image).hexdigest(), "image/png", len(image), 64, 64)
    house.append(Event("record-1", Received(task="image-to-image", prompt=reference, actor=actor, inputs=(given,))))
    stored = house.objects.put(image, subject)
    thumbnail = house.objects.put(image[: len(image) // 2], subject, "thumbnail")
    house.append(released(image, prompt=reference, objects=(stored, thumbnail)))
    return reference, stored
