"""One thing that verification found, with the technique it rests on and what it does and does not show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from provenance.metadata import MetadataReport

if TYPE_CHECKING:
    from api.marking import Comparison, FoundMark

_NOT_PROOF = "Anyone can write or remove it; its absence says nothing."


@dataclass(frozen=True, slots=True)
class Evidence:
    """One piece of evidence.

    `technique`: credential, watermark, fingerprint, ledger, metadata or forensic. `status`: a word that programs may
    match. `limits`: what it does not show. `details`: facts, every text from the file made printable. `established`:
    `local` by this program from the file itself, `remote` with something that was fetched.
    """

    technique: str
    status: str
    summary: str
    limits: str = ""
    details: dict[str, Any] | None = None
    established: str = "local"

    def to_document(self) -> dict[str, Any]:
        """The evidence as JSON."""
        return {
            "technique": self.technique,
            "status": self.status,
            "summary": self.summary,
            "limits": self.limits,
            "established": self.established,
            "details": self.details or {},
        }


def mark_evidence(mark: FoundMark, comparison: Comparison | None = None) -> Evidence:
    """What a detected watermark shows. `comparison` is with the picture of the record that it leads to."""
    agreement = comparison.agreement if comparison else None
    region = comparison.region if comparison else None
    rate = mark.detection.false_positive_rate
    details: dict[str, Any] = {
        "payload": f"{mark.detection.payload:016x}" if mark.detection.payload is not None else None,
        "confidence": mark.detection.confidence,
        "false_positive_rate": rate,
        "geometry": asdict(mark.detection.geometry),
        "region": region and asdict(region),
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
        case "agrees" if region is not None:
            part = "all" if region.width * region.height > 0.99 else f"{region.width * region.height:.0%}"
            summary = (
                f"the mark leads to record {mark.record.record_id}, and {part} of that picture was found again in the "
                f"pixels, of which it fills {region.share:.0%}"
            )
            limits = "What lies around it, or was put over it, is not that picture's. " + limits
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
