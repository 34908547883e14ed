"""The flow of a verification: an image in, evidence and the conclusions that hold out. Nothing of it is stored."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from api import conclusions
from api.decoding import DecodedImage
from api.errors import InvalidInputError, NotFoundError
from api.evidence import Evidence, credential_evidence, mark_evidence, metadata_evidence
from api.keys import Caller
from api.records import Record
from audit.events import Event, Verified
from provenance.fingerprint import compare, fingerprint
from provenance.printable import printable
from provenance.report import CredentialReport

if TYPE_CHECKING:
    from api.composition import Imprimatur
    from api.marking import FoundMark


@dataclass(frozen=True, slots=True)
class VerificationReport:
    """What can be known about one file.

    `conclusions`: all that hold, by precedence; the first is the headline. `disclosure`: the public fields of our
    record, where the file leads to one.
    """

    conclusions: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    record_id: str | None
    disclosure: dict[str, Any] | None
    image: dict[str, Any] = field(default_factory=dict)

    @property
    def conclusion(self) -> str:
        """The headline."""
        return self.conclusions[0]

    def to_document(self) -> dict[str, Any]:
        """The report as JSON."""
        return {
            "conclusion": self.conclusion,
            "statement": conclusions.STATEMENTS[self.conclusion],
            "conclusions": list(self.conclusions),
            "evidence": [evidence.to_document() for evidence in self.evidence],
            "record_id": self.record_id,
            "record": self.disclosure,
            "image": self.image,
        }


class VerificationFlow:
    """Examines foreign images. Thread-safe."""

    def __init__(self, services: Imprimatur) -> None:
        self._services = services

    def verify(self, data: bytes, caller: Caller) -> VerificationReport:
        """Find all evidence in one file and draw the conclusions that it carries.

        Raises:
            InvalidInputError: the bytes are no image that can be examined; the log says so.
            UnavailableError: the database is away.
        """
        services = self._services
        try:
            image = services.decode(data)
        except InvalidInputError as error:
            services.log_rejection("verify", error, tenant=caller.tenant)
            raise
        credential = services.publisher.read(data, image.media_type)
        mark = services.marking.find(image.pixels)
        found: list[Evidence] = []
        holding: set[str] = set()
        linked: list[Record] = []

        found += credential_evidence(credential)
        if credential.state == "invalid":
            holding.add("credential_broken")
        if credential.state == "trusted":
            holding.update(credential.claims)

        for link in self._links(image, credential, mark):
            found.append(link.evidence)
            if link.agreement == "agrees":
                holding.add("issued_here")
                linked.append(link.record)
            elif link.agreement == "differs":
                holding.add("conflict")
        if mark is not None and mark.record is None:
            found.append(mark_evidence(mark))
        found += metadata_evidence(services.publisher.disclosure(data))

        record = linked[0] if linked else None
        report = VerificationReport(
            conclusions.in_order(holding),
            tuple(found),
            record.record_id if record else None,
            services.results.disclosure(record) if record else None,
            {"sha256": image.sha256, "format": image.format, "width": image.width, "height": image.height,
             "notes": list(image.notes)},
        )  # fmt: skip
        self._log(report, image, caller)
        return report

    def _links(self, image: DecodedImage, credential: CredentialReport, mark: FoundMark | None) -> Iterator[_Link]:
        """Every way from this file to a record of ours, with whether the pixels agree."""
        results = self._services.results
        try:
            record = self._services.records.by_image(image.sha256)
            yield _Link(record, "agrees", Evidence("ledger", "matches", "the file is, byte for byte, the one released"))
        except NotFoundError:
            pass
        if credential.unique_id is not None and credential.state in ("valid", "trusted"):
            link = self._credential_link(credential)
            if link is not None:
                yield link
        if mark is not None and mark.record is not None:
            upright = mark.detection.geometry.align(image.pixels)
            agreement = compare(fingerprint(upright), results.fingerprint(mark.record))
            yield _Link(mark.record, agreement.verdict, mark_evidence(mark, agreement))

    def _credential_link(self, credential: CredentialReport) -> _Link | None:
        """A credential that names a record of ours counts only if it is the very one that we signed."""
        assert credential.unique_id is not None
        try:
            record = self._services.records.get(credential.unique_id)
        except NotFoundError:
            return None
        issued = self._services.results.credential(record)
        if issued is None or issued["manifest"] != credential.manifest_label:
            summary = "the credential names a record of ours, but it is not the credential that was issued with it"
            return _Link(record, "not_comparable", Evidence("credential", "not_ours", summary))
        summary = f"the intact credential is the one issued with record {printable(record.record_id)}"
        return _Link(record, "agrees", Evidence("credential", "ours", summary))

    def _log(self, report: VerificationReport, image: DecodedImage, caller: Caller) -> None:
        """The event holds a salted commitment to the file's digest; the salt is thrown away."""
        salted = hashlib.sha256(secrets.token_bytes(32) + bytes.fromhex(image.sha256)).hexdigest()
        body = Verified(
            file_commitment=salted,
            conclusion=report.conclusion,
            conclusions=report.conclusions,
            evidence=tuple({"technique": one.technique, "status": one.status} for one in report.evidence),
            matched_record=report.record_id,
            tenant=caller.tenant,
        )
        self._services.append(Event(None, body))


@dataclass(frozen=True, slots=True)
class _Link:
    """One way from a file to a record. `agreement`: "agrees", "differs" or "not_comparable"."""

    record: Record
    agreement: str
    evidence: Evidence
