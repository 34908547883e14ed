"""What the flows write into the audit log: the bodies of events, from the other packages' values."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from api.build import build_name
from api.drafts import ReleaseFacts
from audit import events, records
from audit.canonical import decimal_string
from audit.events import Body
from generator.card import ModelCard
from generator.image import GeneratedImage
from generator.request import ResolvedRequest
from provenance.sdk_signing import SIGNABLE_FORMATS
from safety.duplicates.check import LISTED_WORK
from safety.findings import Finding, Outcome, decimal
from safety.policy import Decision, Policy

if TYPE_CHECKING:
    from api.marking import ReadBack
    from api.publishing import Published


def finding_document(finding: Finding) -> dict[str, Any]:
    """A finding as JSON for callers: its record, with score and threshold as numbers."""
    document: dict[str, Any] = dict(finding.to_record())
    for name in ("score", "threshold", "elapsed_s"):
        document[name] = float(document[name])
    return document


def received(
    request: ResolvedRequest,
    *,
    tenant: str,
    actor: records.VaultReference,
    prompt: records.VaultReference,
    card: ModelCard,
    inputs: Sequence[records.Input],
    idempotency_key: str | None,
    policy: Policy,
) -> Body:
    """A request was accepted."""
    return events.Received(
        task=request.task,
        tenant=tenant,
        actor=actor,
        prompt=prompt,
        inputs=tuple(inputs),
        sampling=records.Sampling(
            width=request.width,
            height=request.height,
            seed=str(request.seed),
            steps=request.steps,
            guidance=decimal_string(request.guidance),
            count=request.count,
            scheduler=request.scheduler,
            **_changes(request),
        ),
        model=records.Model(id=card.id, digest=card.digest, engine=card.engine),
        details={"build": build_name()},
        idempotency_key=hashlib.sha256(idempotency_key.encode()).hexdigest() if idempotency_key else None,
        policy=records.Policy(id=policy.id, version=str(policy.version), digest=policy.digest),
    )


def refused(
    decision: Decision,
    findings: Sequence[Finding],
    *,
    stage: str | None = None,
    objects: Sequence[records.ObjectReference] = (),
) -> Body:
    """The policy refused the prompt, an input or an image; `stage` says which, if it is not the policy's own."""
    return events.Refused(
        stage=stage or decision.stage.value,
        decision=_decision(decision),
        findings=recorded_findings(findings),
        policy=_policy(decision),
        objects=tuple(objects),
    )


def quarantined(decision: Decision, findings: Sequence[Finding], *, stage: str | None = None) -> Body:
    """The fixed core refused suspected child-abuse material; evidence, which may quote it, is left out."""
    return events.Quarantined(
        stage=stage or decision.stage.value,
        decision=_decision(decision),
        findings=tuple(replace(finding, evidence={}) for finding in recorded_findings(findings)),
        policy=_policy(decision),
    )


def held(
    decision: Decision,
    findings: Sequence[Finding],
    *,
    stage: str,
    review: str,
    expires_at: datetime,
    image_sha256: str | None,
) -> Body:
    """The policy holds the prompt, an input or an image for review."""
    return events.Held(
        stage=stage,
        decision=_decision(decision),
        findings=recorded_findings(findings),
        policy=_policy(decision),
        review=review,
        image_sha256=image_sha256,
        expires_at=expires_at,
    )


def failed(step: str, cause: str) -> Body:
    """A step could not run."""
    return events.Failed(stage=step, error=cause.split(":", 1)[0][:200], message=cause[:2000])


def release_facts(
    *,
    request: ResolvedRequest,
    image: GeneratedImage,
    inputs: Sequence[records.Input],
    origin: str,
    decision: Decision,
    findings: Sequence[Finding],
    read_back: ReadBack | None,
    prompt: records.VaultReference,
    actor: records.VaultReference,
    tenant: str,
    card: ModelCard,
) -> ReleaseFacts:
    """What the release of an examined image will say, before it is signed."""
    return ReleaseFacts(
        task=request.task,
        width=image.width,
        height=image.height,
        origin=origin,
        inputs=tuple(inputs),
        decision=_decision(decision),
        policy=_policy(decision),
        findings=recorded_findings(findings),
        model=records.Model(id=card.id, digest=card.digest, engine=card.engine),
        sampling=records.Sampling(
            width=image.width,
            height=image.height,
            seed=str(image.seed),
            steps=image.steps,
            guidance=decimal_string(image.guidance),
            batch=image.batch_size,
            threads=image.threads,
            scheduler=image.scheduler,
            index=image.index,
            device=image.device,
            dtype=image.dtype,
            **_changes(request),
        ),
        watermark=None
        if read_back is None
        else records.Watermark(
            payload=read_back.payload,
            algorithm=read_back.algorithm,
            read_back=True,
            confidence=decimal_string(read_back.confidence),
        ),
        nearest_reference=_nearest(findings),
        prompt=prompt,
        actor=actor,
        tenant=tenant,
    )


def released(
    facts: ReleaseFacts,
    published: Published,
    image_format: str,
    stored: records.ObjectReference,
    *,
    review: str | None = None,
) -> Body:
    """An image may leave; `review` is the event by which a person approved it, where one did."""
    return events.Released(
        image_sha256=hashlib.sha256(published.data).hexdigest(),
        media_type=SIGNABLE_FORMATS[image_format],
        width=facts.width,
        height=facts.height,
        origin=facts.origin,
        task=facts.task,
        inputs=facts.inputs,
        credential=published.credential,
        fingerprint=published.fingerprint.iscc,
        perceptual_hash=published.fingerprint.phash,
        decision=facts.decision if review is None else replace(facts.decision, outcome="release"),
        findings=facts.findings,
        policy=facts.policy,
        model=facts.model,
        sampling=facts.sampling,
        watermark=facts.watermark,
        nearest_reference=facts.nearest_reference,
        prompt=facts.prompt,
        actor=facts.actor,
        tenant=facts.tenant,
        objects=(stored,),
        review=review,
    )


def finding_of(recorded: records.Finding) -> Finding:
    """A recorded finding as the policy reads it."""
    return Finding(
        check=recorded.check,
        version=recorded.version,
        category=recorded.category,
        score=float(recorded.score or 0),
        threshold=float(recorded.threshold or 0),
        outcome=Outcome(recorded.outcome),
        evidence=recorded.evidence,
        model_digest=recorded.model_digest,
        elapsed_s=float(recorded.elapsed_ms or 0) / 1000,
    )


def _changes(request: ResolvedRequest) -> dict[str, Any]:
    """How an input was changed, as `records.Sampling` has it."""
    return {
        "strength": None if request.strength is None else decimal_string(request.strength),
        "scale": request.scale,
        "extend": None if request.extend is None else dataclasses.astuple(request.extend),
    }


def _nearest(findings: Sequence[Finding]) -> records.NearestReference | None:
    for finding in findings:
        if finding.category == LISTED_WORK and "snapshot" in finding.evidence:
            evidence: Any = finding.evidence
            nearest = evidence["nearest"][0] if evidence["nearest"] else {}
            distance = nearest.get("distance_bits")
            return records.NearestReference(
                reference=nearest.get("reference"),
                snapshot=evidence["snapshot"],
                distance=None if distance is None else str(distance),
                threshold=decimal(finding.threshold),
            )
    return None


def recorded_findings(findings: Sequence[Finding]) -> tuple[records.Finding, ...]:
    """Findings as events keep them."""
    return tuple(
        records.Finding(
            check=finding.check,
            version=finding.version,
            category=finding.category,
            outcome=finding.outcome.value,
            score=decimal(finding.score),
            threshold=decimal(finding.threshold),
            model_digest=finding.model_digest,
            elapsed_ms=decimal_string(round(finding.elapsed_s * 1000, 3)),
            evidence=finding.to_record()["evidence"],  # type: ignore[arg-type]  # it is a mapping by construction
        )
        for finding in findings
    )


def _decision(decision: Decision) -> records.Decision:
    return records.Decision(
        outcome=decision.outcome.value,
        stage=decision.stage.value,
        reasons=tuple(
            records.Reason(reason.stage.value, reason.category, reason.check, reason.action.value)
            for reason in decision.reasons
        ),
    )


def _policy(decision: Decision) -> records.Policy:
    return records.Policy(id=decision.policy_id, version=str(decision.policy_version), digest=decision.policy_digest)
