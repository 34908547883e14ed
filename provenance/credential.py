"""Signing a credential into an encoded image, and proving at once that it validates."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from provenance.errors import (
    IngredientError,
    SignerError,
    SigningFailedError,
    TimeStampError,
    UnsupportedFormatError,
)
from provenance.ingredients import IngredientEntry, entries
from provenance.lint import require_signable
from provenance.manifest import THUMBNAIL_IDENTIFIER, ManifestDescription, claim_generator, definition
from provenance.reader import read_credential
from provenance.report import CredentialReport
from provenance.signer import Signer
from provenance.time_stamp import TimeStampAuthority

SIGNABLE_FORMATS: Final = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "avif": "image/avif",
    "tiff": "image/tiff",
}
TimeStampState = Literal["none", "stamped", "pending"]

# The SDK's own thumbnail can add megabytes; fetching remote manifests would leak and invite SSRF;
# validation after signing is ours, with a report.
_SETTINGS: Final[Mapping[str, Any]] = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_after_sign": False},
    "builder": {"thumbnail": {"enabled": False}},
}
_UPDATE_ACTIONS: Final = {"auto_opened_action": {"enabled": True}, "all_actions_included": True}


@dataclass(frozen=True)
class SignedImage:
    """The bytes that ship, and what a validator says of them. Any later change breaks the credential.

    time_stamp: `none` (no authority is configured), `stamped`, or `pending`: the authority was away and
    `time_stamp_problem` says how; an update manifest on the repository's copy may bring the stamp later.
    """

    data: bytes = field(repr=False)
    manifest_store: bytes = field(repr=False)
    report: CredentialReport
    time_stamp: TimeStampState = "none"
    time_stamp_problem: str | None = None

    @property
    def manifest_label(self) -> str:
        return self.report.manifest_label or ""


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


def _utc_now() -> datetime:
    return datetime.now(UTC)


def sign_credential(
    image: bytes,
    image_format: str,
    description: ManifestDescription,
    signer: Signer,
    *,
    authority: TimeStampAuthority | None = None,
    clock: Callable[[], datetime] = _utc_now,
) -> SignedImage:
    """Sign `description` into `image` (`png`, `jpeg`, `webp`, `avif` or `tiff` bytes) and validate the result.

    Raises `UnsupportedFormatError`, `IngredientError`, `ManifestLintError`, `CertificateProfileError`, `SignerError`
    (the signer's own exception is its cause), `TimeStampError` (a required authority is away) or
    `SigningFailedError`; in each case nothing was signed that may ship.
    """
    media_type = _media_type(image_format)
    manifest = definition(description)
    ingredients = entries(description.ingredients)
    resources = {} if description.thumbnail_jpeg is None else {THUMBNAIL_IDENTIFIER: description.thumbnail_jpeg}
    require_signable(manifest, ingredients, signer, clock(), resources=resources)

    def sign(time_stamp_url: str | None) -> tuple[bytes, bytes]:
        return _sign(image, media_type, manifest, signer, time_stamp_url, ingredients, resources)

    state: TimeStampState = "none"
    problem: str | None = None
    if authority is None:
        data, manifest_store = sign(None)
    else:
        try:
            data, manifest_store = authority.stamped(sign)
            state = "stamped"
        except TimeStampError as error:
            if authority.required:
                raise
            data, manifest_store = sign(None)
            state, problem = "pending", str(error)
    return SignedImage(data, manifest_store, _require_valid(data, media_type), state, problem)


def stamp_later(
    signed: bytes,
    image_format: str,
    signer: Signer,
    authority: TimeStampAuthority,
    *,
    system: str,
    system_version: str,
) -> UpdatedStore:
    """The file's manifest store with an update manifest that brings a time stamp of the parent's signature.

    For the repository's copy (C2PA 2.4 §11.2, §18.17): the released file and its digest stay as they are. Raises
    `TimeStampError`, `SignerError` or `SigningFailedError`.
    """
    settings = {
        **_SETTINGS,
        "builder": {
            "thumbnail": {"enabled": False},
            "actions": _UPDATE_ACTIONS,
            "auto_timestamp_assertion": {"enabled": True, "skip_existing": False, "fetch_scope": "parent"},
        },
    }
    media_type = _media_type(image_format)
    manifest = {"claim_generator_info": [claim_generator(system, system_version)]}
    _, store = authority.stamped(
        lambda url: _sign(signed, media_type, manifest, signer, url, settings=settings, update=True)
    )
    return UpdatedStore(store, _require_valid(signed, media_type, store))


def without_thumbnails(
    signed: bytes,
    image_format: str,
    assertions: Sequence[str],
    signer: Signer,
    *,
    when: str,
    system: str,
    system_version: str,
) -> UpdatedStore:
    """The file's manifest store with an update manifest that redacts the given assertions (by their URI).

    For what strangers may fetch: the thumbnails of ingredients are pictures that the caller handed in (C2PA 2.4
    §6.8, §18.15.4.7). Raises `SignerError` or `SigningFailedError`.
    """
    manifest = {
        "claim_generator_info": [claim_generator(system, system_version)],
        "redactions": list(assertions),
        "assertions": [
            {
                "label": "c2pa.actions",
                "created": True,
                "data": {
                    "actions": [
                        {
                            "action": "c2pa.redacted",
                            "when": when,
                            "reason": "c2pa.PII.present",
                            "parameters": {"redacted": assertion},
                        }
                        for assertion in assertions
                    ],
                    "allActionsIncluded": True,
                },
            }
        ],
    }
    media_type = _media_type(image_format)
    settings = {**_SETTINGS, "builder": {"thumbnail": {"enabled": False}, "actions": _UPDATE_ACTIONS}}
    _, store = _sign(signed, media_type, manifest, signer, None, settings=settings, update=True)
    return UpdatedStore(store, _require_valid(signed, media_type, store))


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


def _media_type(image_format: str) -> str:
    media_type = SIGNABLE_FORMATS.get(image_format)
    if media_type is None:
        raise UnsupportedFormatError(
            f"Format {image_format!r} cannot be signed; expected one of {', '.join(SIGNABLE_FORMATS)}."
        )
    return media_type


def _require_valid(data: bytes, media_type: str, manifest_store: bytes | None = None) -> CredentialReport:
    report = read_credential(data, media_type, trust=None, manifest_store=manifest_store)
    if report.state != "valid":
        failures = ", ".join(code.code for code in report.codes if code.outcome == "failure") or report.problem
        raise SigningFailedError(
            f"The freshly signed image does not validate (state {report.state}: {failures}); "
            "check that certificate chain and key belong together. The image must not be released."
        )
    return report


class _Recording:
    """Keeps the exception of a signing callback, which the SDK would reduce to "COSE signature invalid"."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self.cause: Exception | None = None

    def sign(self, data: bytes) -> bytes:
        try:
            return self._signer.sign(data)
        except Exception as error:  # noqa: BLE001  (raised again, with its cause, once the SDK has returned)
            self.cause = error
            return b""  # the SDK's sign of failure that it does not log on its own


def _sign(
    image: bytes,
    media_type: str,
    manifest: Mapping[str, Any],
    signer: Signer,
    time_stamp_url: str | None,
    ingredients: Sequence[IngredientEntry] = (),
    resources: Mapping[str, bytes] | None = None,
    *,
    settings: Mapping[str, Any] = _SETTINGS,
    update: bool = False,
) -> tuple[bytes, bytes]:
    """The signed file, and the manifest store (JUMBF) inside it."""
    import c2pa

    algorithm = c2pa.C2paSigningAlg[signer.alg.upper()]
    recording = _Recording(signer)
    signed = io.BytesIO()
    try:
        with (
            c2pa.Signer.from_callback(
                recording.sign, algorithm, signer.certificate_chain_pem, time_stamp_url
            ) as sdk_signer,
            c2pa.Context.from_dict(dict(settings)) as context,
            c2pa.Builder(dict(manifest), context) as builder,
        ):
            if update:
                builder.set_intent(c2pa.C2paBuilderIntent.UPDATE)
            for identifier, resource in (resources or {}).items():
                builder.add_resource(identifier, io.BytesIO(resource))
            for entry in ingredients:
                _add_ingredient(builder, entry)
            manifest_store = builder.sign(sdk_signer, media_type, io.BytesIO(image), signed)
    except c2pa.C2paError as error:
        if recording.cause is not None:
            raise SignerError(
                f"The signer failed ({recording.cause}); the image was not signed. "
                "Check the key service, then repeat the request."
            ) from recording.cause
        raise SigningFailedError(
            f"The image could not be signed ({error}); expected a well-formed {media_type} file."
        ) from error
    return signed.getvalue(), manifest_store


def _add_ingredient(builder: Any, entry: IngredientEntry) -> None:
    import c2pa

    if entry.thumbnail is not None:
        builder.add_resource(entry.thumbnail[0], io.BytesIO(entry.thumbnail[1]))
    try:
        builder.add_ingredient(json.dumps(entry.definition), entry.media_type, io.BytesIO(entry.data))
    except c2pa.C2paError as error:
        raise IngredientError(
            f"The ingredient {entry.definition['title']!r} cannot be listed ({error}); expected a well-formed "
            f"{entry.media_type} file. Save the picture again with another program."
        ) from error
