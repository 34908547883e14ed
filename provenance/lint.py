"""What the SDK would sign although no conforming product may: checked first, with the section that says so."""

from __future__ import annotations

from datetime import datetime

from provenance.certificate import require_profile
from provenance.errors import ManifestLintError
from provenance.manifest import ManifestDescription
from provenance.signer import Signer
from provenance.vocabulary import (
    DIGITAL_SOURCE_TYPES,
    NAMESPACE,
    REGISTERED_SOFT_BINDINGS,
    TRAINING_MINING_ENTRIES,
    TRAINING_MINING_USES,
)

MAX_THUMBNAIL_BYTES = 64 * 1024


def require_signable(description: ManifestDescription, signer: Signer, now: datetime) -> None:
    """Raise `ManifestLintError` or `CertificateProfileError` where the specification forbids the credential."""
    problems = [*_source_type(description), *_soft_bindings(description), *_training_mining(description)]
    if description.created_at.tzinfo is None:
        problems.append("created_at has no time zone; give a timezone-aware time (C2PA §18.15.4.3)")
    if description.thumbnail_jpeg is not None and len(description.thumbnail_jpeg) > MAX_THUMBNAIL_BYTES:
        problems.append(
            f"the thumbnail has {len(description.thumbnail_jpeg)} bytes, at most {MAX_THUMBNAIL_BYTES} are "
            "allowed; make it with `thumbnail_jpeg`"
        )
    if problems:
        raise ManifestLintError(tuple(problems))
    require_profile(signer.certificate_chain_pem, now)


def unregistered_soft_bindings(description: ManifestDescription) -> tuple[str, ...]:
    """Algorithms that are not on the C2PA list (namespaced ones of ours): allowed, to be said openly."""
    return tuple(b.alg for b in description.soft_bindings if b.alg not in REGISTERED_SOFT_BINDINGS)


def _source_type(description: ManifestDescription) -> list[str]:
    if description.digital_source_type in DIGITAL_SOURCE_TYPES:
        return []
    return [
        f"digital source type {description.digital_source_type!r} is not in the IPTC or C2PA vocabulary "
        "(C2PA §18.15.4.5); use a URI of `provenance.vocabulary`"
    ]


def _soft_bindings(description: ManifestDescription) -> list[str]:
    problems = []
    for binding in description.soft_bindings:
        if binding.alg not in REGISTERED_SOFT_BINDINGS and not binding.alg.startswith(f"{NAMESPACE}."):
            problems.append(
                f"soft-binding algorithm {binding.alg!r} is neither on the C2PA algorithm list nor in our "
                f"namespace {NAMESPACE!r} (C2PA §18.11)"
            )
        if not binding.value:
            problems.append(f"soft binding {binding.alg!r} has no value (C2PA §18.11)")
    return problems


def _training_mining(description: ManifestDescription) -> list[str]:
    return [
        f"training-mining entry {entry}={use!r} is unknown; entries are {sorted(TRAINING_MINING_ENTRIES)}, "
        f"uses {sorted(TRAINING_MINING_USES)} (CAWG training and data mining §2)"
        for entry, use in description.training_mining
        if entry not in TRAINING_MINING_ENTRIES or use not in TRAINING_MINING_USES
    ]
