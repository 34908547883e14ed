"""Everything that can go wrong in this package, under one root."""

from __future__ import annotations


class ProvenanceError(Exception):
    """Root of this package's errors; the message says what was wrong, what was expected, what to do."""


class SignerError(ProvenanceError):
    """A signer could not be set up, or refused to sign; `__cause__` holds the original error."""


class CertificateProfileError(ProvenanceError):
    """A signing certificate breaks the C2PA certificate profile.

    `problems` lists every breach with its place and the section of the specification.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        self.problems = problems
        super().__init__(
            "The signing certificate does not fit the C2PA certificate profile: "
            + "; ".join(problems)
            + ". Ask the issuing authority for a certificate with this profile."
        )


class ManifestLintError(ProvenanceError):
    """A manifest description would be signed by the SDK although the specification forbids it."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        self.problems = problems
        super().__init__("The credential was not signed: " + "; ".join(problems) + ".")


class SigningFailedError(ProvenanceError):
    """Signing failed, or the freshly signed file did not validate; nothing may be released."""


class TimeStampError(ProvenanceError):
    """A time-stamp authority is away, slow, answers wrongly, or is not on the trust list."""


class IngredientError(ProvenanceError):
    """An ingredient that a credential cannot list."""


class UnsupportedFormatError(ProvenanceError):
    """An image format that this package does not write or sign."""


class EncodingError(ProvenanceError):
    """Pixels or disclosure fields that cannot be encoded."""


class ManifestStoreError(ProvenanceError):
    """Bytes that are no manifest store."""


class TrustListError(ProvenanceError):
    """A trust list or trust configuration that cannot be read."""


class WatermarkError(ProvenanceError):
    """Root of the watermark's errors."""


class PayloadError(WatermarkError):
    """A watermark payload or one of its fields is out of range, or has an unknown layout."""


class PictureTooSmallError(WatermarkError):
    """The picture has too few pixels to carry a mark."""


class PixelsError(ProvenanceError):
    """An array that is not uint8 RGB pixels of shape (height, width, 3)."""


class FingerprintError(ProvenanceError):
    """A text that is no fingerprint of this package's form."""
