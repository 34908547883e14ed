"""Signing a credential into an encoded image, and proving at once that it validates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from provenance.errors import TimeStampError
from provenance.ingredients import entries
from provenance.lint import require_signable
from provenance.manifest import THUMBNAIL_IDENTIFIER, ManifestDescription, definition
from provenance.report import CredentialReport
from provenance.sdk_signing import SIGNABLE_FORMATS, media_type_of, require_valid, sign
from provenance.signer import Signer
from provenance.time_stamp import TimeStampAuthority

__all__ = ["SIGNABLE_FORMATS", "SignedImage", "TimeStampState", "sign_credential"]

TimeStampState = Literal["none", "stamped", "pending"]


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
    media_type = media_type_of(image_format)
    manifest = definition(description)
    ingredients = entries(description.ingredients)
    resources = {} if description.thumbnail_jpeg is None else {THUMBNAIL_IDENTIFIER: description.thumbnail_jpeg}
    require_signable(manifest, ingredients, signer, clock(), resources=resources)

    def run(time_stamp_url: str | None) -> tuple[bytes, bytes]:
        return sign(image, media_type, manifest, signer, time_stamp_url, ingredients, resources)

    state: TimeStampState = "none"
    problem: str | None = None
    if authority is None:
        data, manifest_store = run(None)
    else:
        try:
            data, manifest_store = authority.stamped(run)
            state = "stamped"
        except TimeStampError as error:
            if authority.required:
                raise
            data, manifest_store = run(None)
            state, problem = "pending", str(error)
    return SignedImage(data, manifest_store, require_valid(data, media_type), state, problem)
