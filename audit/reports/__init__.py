"""Reports for legal review: a document, a bundle of evidence, and a verifier that needs nothing of this program."""

from audit.reports.content import Report
from audit.reports.editions import redact
from audit.reports.evidence import EvidenceReader, ProvedEvent

__all__ = ["EvidenceReader", "ProvedEvent", "Report", "redact"]
