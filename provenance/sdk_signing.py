"""The one place where the SDK signs: its settings, the signing callback, ingredients, errors."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from provenance.errors import IngredientError, SignerError, SigningFailedError, UnsupportedFormatError
from provenance.ingredients import IngredientEntry
from provenance.reader import read_credential
from provenance.report import CredentialReport
from provenance.signer import Signer

SIGNABLE_FORMATS: Final = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "avif": "image/avif",
    "tiff": "image/tiff",
}

# The SDK's own thumbnail can add megabytes; fetching remote manifests would leak and invite SSRF;
# validation after signing is ours, with a report.
SETTINGS: Final[Mapping[str, Any]] = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_after_sign": False},
    "builder": {
        "thumbnail": {"enabled": False},
        # What the SDK adds from our definition is our word as well (C2PA 2.4 §10.2.1), not somebody else's.
        "created_assertion_labels": ["c2pa.ingredient", "c2pa.thumbnail.claim", "c2pa.thumbnail.ingredient"],
    },
}


def media_type_of(image_format: str) -> str:
    """The media type of a format that can be signed. Raises `UnsupportedFormatError`."""
    media_type = SIGNABLE_FORMATS.get(image_format)
    if media_type is None:
        raise UnsupportedFormatError(
            f"Format {image_format!r} cannot be signed; expected one of {', '.join(SIGNABLE_FORMATS)}."
        )
    return media_type


def require_valid(data: bytes, media_type: str, manifest_store: bytes | None = None) -> CredentialReport:
    """The report of what was just signed. Raises `SigningFailedError` unless it is intact."""
    report = read_credential(data, media_type, trust=None, manifest_store=manifest_store)
    if report.state != "valid" or report.certificate_problems:
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


def sign(
    image: bytes,
    media_type: str,
    manifest: Mapping[str, Any],
    signer: Signer,
    time_stamp_url: str | None,
    ingredients: Sequence[IngredientEntry] = (),
    resources: Mapping[str, bytes] | None = None,
    *,
    settings: Mapping[str, Any] = SETTINGS,
    update: bool = False,
) -> tuple[bytes, bytes]:
    """The signed file, and the manifest store (JUMBF) inside it.

    With `update`, an update manifest is added to the store that the file has already. Raises `SignerError`,
    `IngredientError`, `SigningFailedError`.
    """
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
