"""The flow of a verification: an image in, evidence and the conclusions that hold out. Nothing of it is stored."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from api import conclusions
from api.credential_evidence import credential_evidence, recovered_evidence
from api.decoding import DecodedImage
from api.errors import InvalidInputError, NotFoundError, ServiceError
from api.evidence import Evidence, mark_evidence, metadata_evidence
from api.fetching import fetch
from api.keys import Caller
from api.records import Record
from audit.events import Event, Verified
from provenance.printable import printable
from provenance.report import CredentialReport

if TYPE_CHECKING:
    from api.composition import Imprimatur
    from api.marking import FoundMark
    from provenance.trust import TrustList


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

    def verify(self, data: bytes, caller: Caller, *, trust_list: str | None = None) -> VerificationReport:
        """Find all evidence in one file and draw the conclusions that it carries.

        trust_list: digest of an earlier trust list, to judge as it was then; None for the one in force.

        Raises:
            InvalidInputError: the bytes are no image that can be examined; the log says so.
            NotFoundError: no such trust list is kept.
            UnavailableError: the database is away.
        """
        services = self._services
        trust = services.trust_list(trust_list)
        try:
            image = services.decode(data)
        except InvalidInputError as error:
            services.log_rejection("verify", error, tenant=caller.tenant)
            raise
        credential = services.publisher.read(data, image.media_type, trust=trust)
        mark = services.marking.find(image.pixels)
        found: list[Evidence] = []
        holding: set[str] = set()
        linked: list[Record] = []

        found += credential_evidence(credential)
        if credential.remote_manifest_url is not None and services.settings.remote_manifests:
            found += self._remote_evidence(credential.remote_manifest_url, data, image.media_type, trust)
        if credential.state == "invalid":
            holding.add("credential_broken")
        if credential.state == "trusted":
            holding.update(credential.claims)

        for link in self._links(image, credential, mark):
            found.append(link.evidence)
            if link.agreement == "agrees":
                holding.add("issued_here")
                if link.evidence.technique != "credential" and credential.state == "none":
                    found += self._recovered_evidence(link.record, {one.record_id for one in linked})
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
        self._log(report, image, caller, trust.digest)
        return report

    def _remote_evidence(self, url: str, data: bytes, media_type: str, trust: TrustList) -> Iterator[Evidence]:
        """The credential that a file only points to; what a stranger's server says today is never a conclusion."""
        settings = self._services.settings
        try:
            store = fetch(url, max_bytes=settings.max_upload_bytes, allow_private=settings.url_private_addresses)
        except ServiceError as error:
            yield Evidence("credential", "remote_unreachable", printable(error.message), "", {"url": url}, "remote")
            return
        report = self._services.publisher.read(data, media_type, trust=trust, manifest_store=store)
        yield from credential_evidence(report, established="remote")

    def _recovered_evidence(self, record: Record, told: set[str]) -> Iterator[Evidence]:
        """The credential that a stripped picture lost, from the repository, checked again."""
        recovered = self._services.credentials.recover(record)
        if recovered is None or record.record_id in told:
            return
        report = recovered.manifest_store and self._services.publisher.read_store(recovered.manifest_store)
        yield recovered_evidence(record.record_id, recovered.manifest_id, report or None)

    def _links(self, image: DecodedImage, credential: CredentialReport, mark: FoundMark | None) -> Iterator[_Link]:
        """Every way from this file to a record of ours, with whether the pixels agree."""
        results = self._services.results
        try:
            record = self._services.records.by_image(image.sha256)
            yield _Link(record, "agrees", Evidence("ledger", "matches", "the file is, byte for byte, the one released"))
        except NotFoundError:
            pass
        if credential.unique_id is not None and credential.state in ("valid", "trusted"):
            link = self._credential_link(credential, image)
            if link is not None:
                yield link
        if mark is not None and mark.record is not None:
            comparison = self._services.marking.compare(mark, image.pixels, *results.pixels_of(mark.record))
            yield _Link(mark.record, comparison.agreement.verdict, mark_evidence(mark, comparison))

    def _credential_link(self, credential: CredentialReport, image: DecodedImage) -> _Link | None:
        """A credential that names a record of ours counts only if it is the very one that we signed.

        Anyone can sign a credential with our names in it. The one that is kept decides: only its hashes fit the file
        that was released.
        """
        assert credential.unique_id is not None
        try:
            record = self._services.records.get(credential.unique_id)
        except NotFoundError:
            return None
        kept = self._services.credentials.recover(record)
        if kept is not None and kept.manifest_store is not None and kept.manifest_id == credential.content_manifest:
            report = self._services.publisher.read(image.source, image.media_type, manifest_store=kept.manifest_store)
            if report.state in ("valid", "trusted"):
                summary = f"the intact credential is the one issued with record {printable(record.record_id)}"
                return _Link(record, "agrees", Evidence("credential", "ours", summary))
        summary = "the credential names a record of ours, but it is not the credential that was issued with it"
        return _Link(record, "not_comparable", Evidence("credential", "not_ours", summary))

    def _log(self, report: VerificationReport, image: DecodedImage, caller: Caller, trust_list: str) -> None:
        """The event holds a salted commitment to the file's digest; the salt is thrown away."""
        salted = hashlib.sha256(secrets.token_bytes(32) + bytes.fromhex(image.sha256)).hexdigest()
        body = Verified(
            file_commitment=salted,
            conclusion=report.conclusion,
            conclusions=report.conclusions,
            evidence=tuple({"technique": one.technique, "status": one.status} for one in report.evidence),
            matched_record=report.record_id,
            trust_list=trust_list,
            tenant=caller.tenant,
        )
        self._services.append(Event(None, body))


@dataclass(frozen=True, slots=True)
class _Link:
    """One way from a file to a record. `agreement`: "agrees", "differs" or "not_comparable"."""

    record: Record
    agreement: str
    evidence: Evidence
