"""Small pictures for reports, and the stored objects that they show."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from api.errors import InvalidInputError
from audit.errors import ErasedError, ObjectError
from audit.records import ObjectReference
from audit.reports.content import CustodyEntry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

    from audit.objects import ObjectStore
    from audit.reports.bundle import Staging
    from audit.vault import SubjectKey, Vault

SIDE_PIXELS = 256
QUALITY = 80
MAX_OWN_PIXELS = 100_000_000
_SUFFIXES = (
    (b"\x89PNG", "png"),
    (b"\xff\xd8\xff", "jpg"),
    (b"RIFF", "webp"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
)
_FOLDERS = {"image": "items"}
_MADE_HERE = frozenset({"image", "thumbnail"})

Decode = Callable[[bytes], "NDArray[np.uint8]"]


def of_own_file(data: bytes) -> bytes:
    """A small JPEG of a file that this service made. Not for files from outside: see `of_pixels`.

    Raises:
        OSError, ValueError: it does not decode.
    """
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        if image.width * image.height > MAX_OWN_PIXELS:
            raise ValueError(f"{image.width}×{image.height} pixels are more than this service makes")
        image.draft("RGB", (SIDE_PIXELS, SIDE_PIXELS))
        return _encoded(image.convert("RGB"))


def of_pixels(pixels: NDArray[np.uint8]) -> bytes:
    """A small JPEG of decoded pixels: uint8, shape (height, width, 3), RGB."""
    from PIL import Image

    return _encoded(Image.fromarray(pixels))


def _encoded(image: Picture) -> bytes:
    from PIL.Image import Resampling

    out = io.BytesIO()
    small = image.reduce(max(1, max(image.size) // SIDE_PIXELS))
    small.thumbnail((SIDE_PIXELS, SIDE_PIXELS), Resampling.BILINEAR)
    small.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()


class StoredObjects:
    """Reads many objects, asking the vault for each subject's key once. Lives as long as one report."""

    def __init__(self, objects: ObjectStore, vault: Vault) -> None:
        self._objects = objects
        self._vault = vault
        self._holders: dict[str, SubjectKey] = {}

    def get(self, reference: ObjectReference) -> bytes:
        """The plaintext; raises as `ObjectStore.get`."""
        holder = self._holders.get(reference.subject_id)
        if holder is None:
            holder = self._holders[reference.subject_id] = self._vault.key_of(reference.subject_id)
        return self._objects.get(reference, holder)


class Custody:
    """Looks at the stored objects of items, and puts them with small pictures into the bundle.

    Args:
        decode: the guarded decoder, for what came from outside.
    """

    def __init__(self, objects: StoredObjects, decode: Decode, staging: Staging) -> None:
        self._objects = objects
        self._decode = decode
        self._staging = staging

    def look(self, recorded: Mapping[str, Any], number: int, *, withheld: bool) -> tuple[CustodyEntry, bytes | None]:
        """What is there of one recorded object, and its bytes.

        Args:
            recorded: an object reference as JSON.
            number: of the item, for the file's name.
            withheld: say what is there, and show nothing of it.
        """
        reference = ObjectReference(**recorded)
        entry = CustodyEntry(role=reference.role, sha256=reference.sha256, size=reference.size, state="present")
        try:
            data = self._objects.get(reference)
        except ErasedError:
            return _with_state(entry, "erased"), None
        except ObjectError as error:
            return _with_state(entry, f"not readable: {error}"), None
        entry = _with_state(entry, "present, digest checked")
        if withheld:
            return entry, None
        suffix = next((suffix for magic, suffix in _SUFFIXES if data.startswith(magic)), None)
        if suffix is None:
            return entry, data  # no picture: a draft that waits for review, for instance
        name = f"{number:05d}-{reference.sha256[:16]}"
        folder = _FOLDERS.get(reference.role, "objects")
        path = self._staging.add(f"{folder}/{name}.{suffix}", data)
        thumbnail = self._thumbnail(data, name, is_own=reference.role in _MADE_HERE)
        return CustodyEntry(
            role=entry.role, sha256=entry.sha256, size=entry.size, state=entry.state, path=path, thumbnail=thumbnail
        ), data  # fmt: skip

    def _thumbnail(self, data: bytes, name: str, *, is_own: bool) -> str | None:
        try:
            small = of_own_file(data) if is_own else of_pixels(self._decode(data))
        except (OSError, ValueError, InvalidInputError):
            return None
        return self._staging.add(f"thumbnails/{name}.jpg", small)


def _with_state(entry: CustodyEntry, state: str) -> CustodyEntry:
    return CustodyEntry(role=entry.role, sha256=entry.sha256, size=entry.size, state=state)
