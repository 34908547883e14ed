"""Signing a credential into an encoded image, and proving at once that it validates."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from provenance.errors import SignerError, SigningFailedError, UnsupportedFormatError
from provenance.lint import require_signable
from provenance.manifest import THUMBNAIL_IDENTIFIER, ManifestDescription, definition
from provenance.reader import read_credential
from provenance.report import CredentialReport
from provenance.signer import Signer

SIGNABLE_FORMATS = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}

# The SDK's own thumbnail can add megabytes; fetching remote manifests would leak and invite SSRF;
# validation after signing is ours, with a report.
_SETTINGS = {
    "verify": {"remote_manifest_fetch": False, "verify_after_sign": False},
    "builder": {"thumbnail": {"enabled": False}},
}


@dataclass(frozen=True)
class SignedImage:
    """The bytes that ship, and what a validator says of them. Any later change breaks the credential."""

    data: bytes = field(repr=False)
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
    clock: Callable[[], datetime] = _utc_now,
) -> SignedImage:
    """Sign `description` into `image` (`png`, `jpeg` or `webp` bytes) and validate the result.

    Raises `UnsupportedFormatError`, `ManifestLintError`, `CertificateProfileError`, `SignerError` (the
    signer's own exception is its cause) or `SigningFailedError`; in each case nothing was signed that may ship.
    """
    media_type = SIGNABLE_FORMATS.get(image_format)
    if media_type is None:
        raise UnsupportedFormatError(
            f"Format {image_format!r} cannot be signed; expected one of {', '.join(SIGNABLE_FORMATS)}."
        )
    require_signable(description, signer, clock())
    data, manifest_store = _sign(image, media_type, description, signer)
    report = read_credential(data, media_type, trust=None)
    if report.state != "valid":
        failures = ", ".join(code.code for code in report.codes if code.outcome == "failure") or report.problem
        raise SigningFailedError(
            f"The freshly signed image does not validate (state {report.state}: {failures}); "
            "check that certificate chain and key belong together. The image must not be released."
        )
    return SignedImage(data, manifest_store, report)


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


def _sign(image: bytes, media_type: str, description: ManifestDescription, signer: Signer) -> tuple[bytes, bytes]:
    """The signed file, and the manifest store (JUMBF) inside it."""
    import c2pa

    algorithm = c2pa.C2paSigningAlg[signer.alg.upper()]
    recording = _Recording(signer)
    signed = io.BytesIO()
    try:
        with (
            c2pa.Signer.from_callback(
                recording.sign, algorithm, signer.certificate_chain_pem, signer.time_stamp_url
            ) as sdk_signer,
            c2pa.Context.from_dict(_SETTINGS) as context,
            c2pa.Builder(definition(description), context) as builder,
        ):
            if description.thumbnail_jpeg is not None:
                builder.add_resource(THUMBNAIL_IDENTIFIER, io.BytesIO(description.thumbnail_jpeg))
            manifest_store = builder.sign(sdk_signer, media_type, io.BytesIO(image), signed)
    except c2pa.C2paError as error:
        if recording.cause is not None:
            raise SignerError(
                f"The signer failed ({recording.cause}); the image was not signed. "
                "Check the key service, then repeat the request."
            ) from recording.cause
        raise SigningFailedError(
            f"The image could not be signed ({error}); expected a well-formed {media_type} file"
            + (
                f" and a time-stamp authority that answers at {signer.time_stamp_url}."
                if signer.time_stamp_url
                else "."
            )
        ) from error
    return signed.getvalue(), manifest_store
