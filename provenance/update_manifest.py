"""Update manifests: what is added to a credential after the image has left (C2PA 2.4 §11.2)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from provenance.manifest import claim_generator, claim_time
from provenance.report import CredentialReport
from provenance.sdk_signing import SETTINGS, media_type_of, require_valid, sign
from provenance.signer import Signer
from provenance.time_stamp import TimeStampAuthority

_ACTIONS: Final = {"auto_opened_action": {"enabled": True}, "all_actions_included": True}


@dataclass(frozen=True)
class UpdatedStore:
    """A manifest store that says more than the one inside the released file, and validates beside that file.

    Embedding it would change the file (and break the first manifest's hash in WebP and TIFF): it is kept and handed
    out by itself.
    """

    manifest_store: bytes = field(repr=False)
    report: CredentialReport

    @property
    def manifest_label(self) -> str:
        return self.report.manifest_label or ""


@dataclass(frozen=True)
class Update:
    """What an update manifest says: who adds it and when, and which assertions of its parent it redacts (URIs)."""

    system: str
    system_version: str
    when: datetime
    redact: tuple[str, ...] = ()

    def definition(self) -> dict[str, Any]:
        manifest: dict[str, Any] = {"claim_generator_info": [claim_generator(self.system, self.system_version)]}
        if self.redact:
            actions = [
                {
                    "action": "c2pa.redacted",
                    "when": claim_time(self.when),
                    "reason": "c2pa.PII.present",
                    "parameters": {"redacted": assertion},
                }
                for assertion in self.redact
            ]
            manifest["redactions"] = list(self.redact)
            manifest["assertions"] = [
                {
                    "label": "c2pa.actions",
                    "created": True,
                    "data": {"actions": actions, "allActionsIncluded": True},
                }
            ]
        return manifest


def updated_store(
    signed: bytes, image_format: str, update: Update, signer: Signer, authority: TimeStampAuthority | None = None
) -> UpdatedStore:
    """The store of a signed file with an update manifest; the file itself and its digest stay as they are.

    Args:
        authority: stamps the signature of the file's manifest, which the update then carries (§18.17). None: no stamp.

    Raises:
        TimeStampError: the authority is away.
        SignerError, SigningFailedError: as they say.
    """
    media_type = media_type_of(image_format)
    builder: dict[str, Any] = {**SETTINGS["builder"], "actions": _ACTIONS}
    if authority is not None:
        builder["auto_timestamp_assertion"] = {"enabled": True, "skip_existing": False, "fetch_scope": "parent"}
    settings = {**SETTINGS, "builder": builder}

    def run(url: str | None) -> tuple[bytes, bytes]:
        return sign(signed, media_type, update.definition(), signer, url, settings=settings, update=True)

    _, store = run(None) if authority is None else authority.stamped(run)
    return UpdatedStore(store, require_valid(signed, media_type, store))


def ingredient_thumbnails(report: CredentialReport) -> tuple[str, ...]:
    """The URIs of every thumbnail in a store but the picture's own: the ingredients', and their manifests' own."""
    store = json.loads(report.raw_json)
    found = []
    for label, manifest in store["manifests"].items():
        thumbnails = [one.get("thumbnail") for one in manifest.get("ingredients", ())]
        if label != report.content_manifest:
            thumbnails.append(manifest.get("thumbnail"))
        for thumbnail in thumbnails:
            if thumbnail is not None:
                uri = str(thumbnail["identifier"])
                found.append(uri if uri.startswith("self#jumbf=/c2pa/") else f"self#jumbf=/c2pa/{label}/{uri}")
    return tuple(dict.fromkeys(found))
