"""Who signs reports, from the settings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from api.settings import Settings
from audit.reports.signing import DocumentSigner
from provenance.development_ca import CHAIN_FILE, KEY_FILE, development_signer


def document_signer(settings: Settings, clock: Callable[[], datetime]) -> DocumentSigner:
    """The configured certificate, else the development one, which identifies nobody.

    Raises:
        ReportSigningError: the files cannot be read or do not fit.
        SignerError: the development certificate cannot be made.
    """
    stamps = settings.time_stamp_url
    if settings.report_certificates is None or settings.report_key is None:
        folder = settings.keys_dir / "development-ca"
        development_signer(folder, clock)  # makes the files where there are none
        made = folder / "development"
        return DocumentSigner.load(made / CHAIN_FILE, made / KEY_FILE, is_development=True, time_stamp_url=stamps)
    password = settings.report_key_passphrase
    return DocumentSigner.load(
        settings.report_certificates,
        settings.report_key,
        password=password.get_secret_value().encode() if password else None,
        time_stamp_url=stamps,
    )
