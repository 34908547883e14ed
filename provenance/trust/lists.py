"""Trust lists: the anchors of one day, under one digest."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from provenance.errors import TrustListError
from provenance.trust.anchors import AnchorKind, TrustAnchor, anchors_of

C2PA_TRUST_LIST: Final = "c2pa-trust-list.pem"
C2PA_TIME_STAMP_LIST: Final = "c2pa-tsa-trust-list.pem"
KEY_PURPOSES: Final = "key-purposes.txt"
SHIPPED_NAME: Final = "C2PA Trust List"
SHIPPED_DATE: Final = "2026-11-22"  # when the two lists were copied (see ATTRIBUTION.txt beside them)
_FORMAT: Final = 1


@dataclass(frozen=True)
class TrustList:
    """Anchors for claim signers and for time stamps, and the extended key usages (OIDs) that a signer must name.

    name, dated: what the list is called and of which day it is (ISO 8601), as whoever installed it said.
    """

    anchors: tuple[TrustAnchor, ...]
    key_purposes: tuple[str, ...]
    name: str = "custom"
    dated: str = ""

    @classmethod
    def load(cls, signers: Path, time_stamps: Path | None = None, *, dated: str = "") -> TrustList:
        """Read anchors from PEM files; comments between certificates are allowed. Raises `TrustListError`."""
        anchors = _read(signers, "signer") + (_read(time_stamps, "time_stamp") if time_stamps else ())
        return cls(anchors, key_purposes(), signers.name, dated)

    @classmethod
    def of(cls, *signers_pem: str, time_stamps_pem: str = "") -> TrustList:
        """A trust list of exactly these certificates."""
        anchors = [anchor for pem in signers_pem for anchor in anchors_of(pem, "signer", "given")]
        if time_stamps_pem:
            anchors += anchors_of(time_stamps_pem, "time_stamp", "given")
        return cls(tuple(anchors), key_purposes())

    @property
    def anchors_pem(self) -> str:
        """The anchors for claim signers."""
        return self._pem("signer")

    @property
    def time_stamps_pem(self) -> str:
        """The anchors for time-stamp authorities."""
        return self._pem("time_stamp")

    @property
    def has_test_anchors(self) -> bool:
        return any(anchor.test_only for anchor in self.anchors)

    def without_test_anchors(self) -> TrustList:
        """The list as it is for production."""
        return replace(self, anchors=tuple(anchor for anchor in self.anchors if not anchor.test_only))

    def with_anchors(self, added: tuple[TrustAnchor, ...]) -> TrustList:
        """The list with further anchors; one that is there already is not added again."""
        present = {(anchor.kind, anchor.sha256) for anchor in self.anchors}
        fresh = tuple(anchor for anchor in added if (anchor.kind, anchor.sha256) not in present)
        return replace(self, anchors=self.anchors + fresh)

    @functools.cached_property
    def document(self) -> bytes:
        """The whole list as JSON, always the same bytes for the same list."""
        content = {
            "format": _FORMAT,
            "name": self.name,
            "dated": self.dated,
            "key_purposes": list(self.key_purposes),
            "anchors": [
                {"pem": one.pem, "kind": one.kind, "source": one.source, "test_only": one.test_only}
                for one in self.anchors
            ],
        }
        return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the document, hexadecimal: the list's identity."""
        return hashlib.sha256(self.document).hexdigest()

    @classmethod
    def from_document(cls, document: bytes) -> TrustList:
        """The list of a document. Raises `TrustListError`."""
        try:
            content: Mapping[str, Any] = json.loads(document)
            if content["format"] != _FORMAT:
                raise TrustListError(f"A trust list of format {content['format']}; this program reads {_FORMAT}.")
            anchors = tuple(
                TrustAnchor(one["pem"], one["kind"], one["source"], one["test_only"]) for one in content["anchors"]
            )
            return cls(anchors, tuple(content["key_purposes"]), content["name"], content["dated"])
        except (ValueError, KeyError, TypeError) as error:
            raise TrustListError(f"A stored trust list cannot be read ({error}).") from error

    def _pem(self, kind: AnchorKind) -> str:
        return "".join(anchor.pem for anchor in self.anchors if anchor.kind == kind)


def official_trust_list() -> TrustList:
    """The C2PA conformance programme's two lists that ship with this package (see ATTRIBUTION.txt beside them)."""
    folder = Path(__file__).parent
    shipped = TrustList.load(folder / C2PA_TRUST_LIST, folder / C2PA_TIME_STAMP_LIST, dated=SHIPPED_DATE)
    return replace(shipped, name=SHIPPED_NAME)


def key_purposes() -> tuple[str, ...]:
    """The extended key usages that this program accepts, whoever is trusted."""
    lines = (Path(__file__).parent / KEY_PURPOSES).read_text("utf-8").splitlines()
    return tuple(oid for line in lines if (oid := line.partition("#")[0].strip()))


def _read(path: Path, kind: AnchorKind) -> tuple[TrustAnchor, ...]:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TrustListError(f"The trust list {path} cannot be read ({error}); expected a PEM file.") from error
    return anchors_of(text, kind, path.name, where=str(path))
