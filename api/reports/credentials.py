"""What a report says of a content credential, and the manifest store as a file of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from sqlalchemy import Engine, select

from api.database import unavailable_when_away
from api.records import Record
from audit.errors import ErasedError, ObjectError
from audit.records import ObjectReference
from audit.reports.content import CredentialCode, CredentialStatement
from provenance.tables import credential_manifests

if TYPE_CHECKING:
    from api.reports.pictures import StoredObjects
    from audit.reports.bundle import Staging
    from provenance.report import CredentialReport
    from provenance.signer import Signer

_SEVERITY = {"failure": 0, "informational": 1, "success": 2}


class Certificates:
    """The chain of the signer in use, put into the bundle once it is referred to."""

    def __init__(self, signer: Signer, staging: Staging) -> None:
        self._signer = signer
        self._staging = staging
        leaf = x509.load_pem_x509_certificates(signer.certificate_chain_pem.encode())[0]
        self._digest = leaf.fingerprint(hashes.SHA256()).hex()

    def add(self, digest: str | None) -> str | None:
        """Where the bundle has the chain of the certificate with this SHA-256; None: it is not at hand."""
        if digest != self._digest:
            return None
        return self._staging.add(f"certificates/{digest}.pem", self._signer.certificate_chain_pem.encode())

    def is_development(self, digest: str | None) -> bool:
        """Whether that certificate is a development one of this machine."""
        return digest == self._digest and self._signer.is_development


class ManifestStores:
    """Manifest stores of records, from the repository."""

    def __init__(self, engine: Engine, objects: StoredObjects, records: Sequence[Record]) -> None:
        columns = credential_manifests.c
        wanted = [record.record_id for record in records]
        query = select(columns.record_id, columns.store_sha256, columns.store_subject, columns.store_size)
        with unavailable_when_away(), engine.connect() as connection:
            rows = connection.execute(query.where(columns.record_id.in_(wanted))).all()
        self._references = {row[0]: ObjectReference(row[1], row[2], row[3], "manifest") for row in rows}
        self._objects = objects

    def get(self, record_id: str) -> bytes | None:
        """The manifest store (JUMBF); None where it was not kept, or was erased."""
        reference = self._references.get(record_id)
        try:
            return None if reference is None else self._objects.get(reference)
        except (ErasedError, ObjectError):
            return None


def credential_statement(
    report: CredentialReport | None,
    recorded: Mapping[str, Any] | None,
    *,
    is_development: bool,
    path: str | None = None,
    certificates: str | None = None,
) -> CredentialStatement:
    """What reading a file again says, beside what was recorded.

    Args:
        report: None where the file is not at hand any more.
        recorded: `Credential` of the event as JSON; None for a file from outside.
    """
    recorded = recorded or {}
    signer = report.signer if report is not None else None
    held = None
    if report is not None and recorded:
        held = recorded.get("manifest") in (report.manifest_label, report.content_manifest)
    return CredentialStatement(
        manifest=recorded.get("manifest") or (report.manifest_label if report is not None else None),
        digest=recorded.get("digest"),
        signer_certificate=recorded.get("signer"),
        state=report.state if report is not None else "not read: the file is not at hand",
        is_recorded_one=held,
        signer=signer.name if signer is not None else None,
        issuer=signer.issuer if signer is not None else None,
        signed_at=signer.time if signer is not None else None,
        is_development=is_development,
        claims=tuple(report.claims) if report is not None else (),
        codes=_codes(report),
        path=path,
        certificates_path=certificates,
    )


def _codes(report: CredentialReport | None) -> tuple[CredentialCode, ...]:
    """Each result once, with how often it was given, failures first."""
    given = Counter((code.code, code.outcome, code.explanation) for code in (report.codes if report else ()))
    ordered = sorted(given.items(), key=lambda one: (_SEVERITY.get(one[0][1], 0), one[0]))
    return tuple(
        CredentialCode(code=code, outcome=outcome, explanation=explanation, times=times)
        for (code, outcome, explanation), times in ordered
    )
