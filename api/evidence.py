"""One thing that verification found, with the technique it rests on and what it does and does not show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provenance.fingerprint import Agreement
from provenance.metadata import MetadataReport
from provenance.report import CredentialReport

if TYPE_CHECKING:
    from api.marking import FoundMark

_NOT_PROOF = "Anyone can write or remove it; its absence says nothing."


@dataclass(frozen=True, slots=True)
class Evidence:
    """One piece of evidence.

    `technique`: credential, watermark, fingerprint, ledger, metadata or forensic. `status`: a word that programs may
    match. `limits`: what it does not show. `details`: facts, every text from the file made printable. Everything
    here was established locally, by this program.
    """

    technique: str
    status: str
    summary: str
    limits: str = ""
    details: dict[str, Any] | None = None

    def to_document(self) -> dict[str, Any]:
        """The evidence as JSON."""
        return {
            "technique": self.technique,
            "status": self.status,
            "summary": self.summary,
            "limits": self.limits,
            "established": "local",
            "details": self.details or {},
        }


def credential_evidence(report: CredentialReport) -> Iterator[Evidence]:
    """What the file's own credential shows, and the recorded failures of its ingredients."""
    details = _credential_details(report)
    signer = f"signed by {report.signer.name!r}" if report.signer else "signer unknown"
    match report.state:
        case "none":
            yield Evidence(
                "credential", "none", "the file carries no credential", "Most files carry none, and it can be removed."
            )
        case "invalid":
            codes = ", ".join(code.code for code in report.failures) or report.problem or "unreadable"
            yield Evidence(
                "credential",
                "broken",
                f"the credential fails its integrity check ({codes}): changed since signing",
                "This does not say who changed what, or why.",
                details,
            )
        case "valid":
            yield Evidence(
                "credential",
                "intact_untrusted",
                f"the credential is intact, {signer}, who is not on the trust list",
                "Anyone can sign with a certificate of their own making: what it says is a claim.",
                details,
            )
        case "trusted":
            yield Evidence(
                "credential", "trusted", f"the credential is intact, {signer}, who is on the trust list", "", details
            )
    if report.state == "valid":
        for claim in report.claims:
            yield Evidence(
                "credential",
                "claimed_untrusted",
                f"an untrusted signer claims: {claim.removeprefix('declared_')}",
                "A claim, no conclusion.",
            )
    for ingredient in report.broken_ingredients:
        codes = ", ".join(code.code for code in ingredient.failures)
        yield Evidence(
            "credential",
            "ingredient_integrity_problem",
            f"the credential records an integrity failure of the ingredient {ingredient.title!r} ({codes})",
            "It is about a picture that was used, not about this file's own credential.",
            {"manifest": ingredient.manifest_label},
        )
    if report.remote_manifest_url:
        yield Evidence(
            "credential",
            "remote_not_fetched",
            "the file points to a credential elsewhere, which was not fetched",
            "",
            {"url": report.remote_manifest_url},
        )


def _credential_details(report: CredentialReport) -> dict[str, Any]:
    signer = report.signer
    return {
        "state": report.state,
        "manifest": report.manifest_label,
        "claim_generator": report.claim_generator,
        "title": report.title,
        "signer": signer
        and {
            "name": signer.name,
            "issuer": signer.issuer,
            "serial": signer.serial,
            "time": signer.time.isoformat() if signer.time else None,
        },
        "actions": [
            {"action": action.action, "digital_source_type": action.digital_source_type, "when": action.when}
            for action in report.actions
        ],
        "codes": [
            {"code": code.code, "outcome": code.outcome, "explanation": code.explanation} for code in report.codes
        ],
    }


def mark_evidence(mark: FoundMark, agreement: Agreement | None = None) -> Evidence:
    """What a detected watermark shows. `agreement` compares the pixels with those of the record it leads to."""
    rate = mark.detection.false_positive_rate
    details: dict[str, Any] = {
        "payload": f"{mark.detection.payload:016x}" if mark.detection.payload is not None else None,
        "confidence": mark.detection.confidence,
        "false_positive_rate": rate,
        "distance_bits": agreement and {"iscc": agreement.iscc_distance, "phash": agreement.phash_distance},
    }
    limits = f"An unmarked picture shows a mark with a probability of at most {rate:.0e}."
    if mark.kind == "laboratory":
        return Evidence(
            "watermark",
            "laboratory",
            "a laboratory mark was read; such marks can be embedded by anyone with this program",
            "It leads to no record and says nothing of the picture's origin.",
            details,
        )
    if mark.record is None:
        return Evidence(
            "watermark",
            "unknown_record",
            "the service's mark was read, but this log has no such record",
            limits,
            details,
        )
    verdict = agreement.verdict if agreement else "not_comparable"
    match verdict:
        case "agrees":
            summary = f"the mark leads to record {mark.record.record_id}, and the pixels agree with that picture"
        case "differs":
            summary = f"the mark leads to record {mark.record.record_id}, but the pixels are another picture's"
        case _:
            summary = f"the mark leads to record {mark.record.record_id}; the pixels cannot be compared with it"
            limits = "A crop, flip or rotation can make pixels not comparable; no conclusion is drawn. " + limits
    return Evidence("watermark", verdict, summary, limits, details)


def metadata_evidence(report: MetadataReport) -> Iterator[Evidence]:
    """What metadata outside a credential says."""
    for entry in report.evidence:
        yield Evidence(
            "metadata",
            entry.kind,
            f"{entry.name}: {entry.value[:200]}",
            _NOT_PROOF,
            {"where": entry.where, "indicates": entry.indicates},
        )
    for problem in report.problems:
        yield Evidence("metadata", "unreadable", problem)
