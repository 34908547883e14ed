"""What the SDK says of a file's manifest store, as text; this is the part that runs in a bounded process.

Nothing here interprets: a hostile file has reached the SDK's parsers, so its answers are read elsewhere, by
`provenance.reader`.
"""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from provenance.trust import TrustList, key_purposes

RawKind = Literal["store", "none", "remote", "unreadable", "gave_up"]

SIGNERS_URI: Final = "imprimatur:signers"
TIME_STAMPS_URI: Final = "imprimatur:time-stamps"
MAX_CONTEXTS: Final = 8
MAX_MANIFEST_MIB: Final = 64  # of a compressed manifest, decompressed

_REMOTE: Final = "must fetch remote manifests from url"  # what the SDK says, under its general error

_contexts = threading.local()


@dataclass(frozen=True)
class RawStore:
    """kind: `store` has the three JSON texts; `remote` has the address in `message`; `unreadable` the reason.

    `gave_up`: reading took too much time or memory; only a bounded process says so.
    """

    kind: RawKind
    summary_json: str = field(default="", repr=False)
    detailed_json: str = field(default="", repr=False)
    crjson: str = field(default="", repr=False)
    message: str = ""


def reading_settings(trust: TrustList | None) -> dict[str, Any]:
    """The SDK's settings for reading. Nothing is fetched from the network.

    Key purposes are set even where nobody is trusted: the SDK calls a certificate of another purpose invalid.
    """
    purposes = key_purposes() if trust is None else trust.key_purposes
    anchors = []
    if trust is not None and trust.anchors_pem:
        anchors.append(_anchors(trust.anchors_pem, "manifest", SIGNERS_URI))
    if trust is not None and trust.time_stamps_pem:
        anchors.append(_anchors(trust.time_stamps_pem, "tsa", TIME_STAMPS_URI))
    return {
        "core": {"max_decompressed_manifest_size_in_mb": MAX_MANIFEST_MIB},
        "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": True},
        "trust": {"trust_config": "\n".join(purposes) + "\n", "anchors": anchors},
    }


def read_raw(
    image: bytes, media_type: str | None, settings: Mapping[str, Any], manifest_store: bytes | None = None
) -> RawStore:
    """Read and validate. With `manifest_store`, that store is validated against the image instead of its own."""
    import c2pa

    try:
        with c2pa.Reader(
            media_type, io.BytesIO(image), manifest_data=manifest_store, context=_context(settings)
        ) as reader:
            return RawStore("store", reader.json(), reader.detailed_json(), reader.crjson())
    except c2pa.C2paError.ManifestNotFound:
        return RawStore("none")
    except c2pa.C2paError as error:
        kind: RawKind = "remote" if _REMOTE in str(error) else "unreadable"
        return RawStore(kind, message=str(error))


def _anchors(pem: str, kind: str, uri: str) -> dict[str, str]:
    return {"trust_anchors": pem, "trust_kind": kind, "trust_uri": uri}


def _context(settings: Mapping[str, Any]) -> Any:
    """The SDK's context for these settings, kept by thread: parsing the anchors takes as long as reading a file."""
    import c2pa

    kept: dict[str, Any] = _contexts.__dict__.setdefault("kept", {})
    key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    if key not in kept:
        while len(kept) >= MAX_CONTEXTS:
            kept.pop(next(iter(kept))).close()
        kept[key] = c2pa.Context.from_dict(dict(settings))
    return kept[key]
