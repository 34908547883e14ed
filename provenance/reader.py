"""Reading a credential like a sceptic: state, signer, claims, and what the SDK leaves unsaid."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from provenance.ingredient_tree import ingredients_of
from provenance.loose_json import mapping, mappings, text, validation_code
from provenance.printable import printable
from provenance.raw_store import SIGNERS_URI, RawStore, read_raw, reading_settings
from provenance.report import (
    Action,
    Claim,
    CodeOutcome,
    CredentialReport,
    CredentialState,
    IngredientReport,
    ReadSoftBinding,
    Revocation,
    SignerIdentity,
    TrustUsed,
    ValidationCode,
)
from provenance.trust import TrustList
from provenance.validation_codes import explanation, is_certificate_matter, is_trust_only
from provenance.vocabulary import (
    CAPTURE_SOURCE_TERMS,
    GENERATED_SOURCE_TERMS,
    GENERATION_ASSERTION,
    NON_EDITORIAL_ACTIONS,
    PARTLY_GENERATED_SOURCE_TERMS,
    source_term,
)

MEDIA_TYPES: Final = {
    name: f"image/{name}" for name in ("png", "jpeg", "webp", "gif", "avif", "tiff", "heic", "heif", "jxl")
}
MAX_PARENTS: Final = 64  # a chain of edits is shorter; a store may be hostile and circular
UNREADABLE_CODE: Final = "org.imprimatur.unreadable"
STORE_MEDIA_TYPE: Final = "application/c2pa"
_STATES: Final[Mapping[str, CredentialState]] = {"Valid": "valid", "Trusted": "trusted", "Invalid": "invalid"}
_OUTCOMES: Final[tuple[CodeOutcome, ...]] = ("success", "informational", "failure")
_CLAIM_ORDER: Final[tuple[Claim, ...]] = ("declared_ai", "declared_edited", "declared_capture")

RawReader = Callable[[bytes, str | None, Mapping[str, Any], bytes | None], RawStore]


def read_credential(
    image: bytes,
    image_format: str | None,
    trust: TrustList | None,
    *,
    manifest_store: bytes | None = None,
    read: RawReader = read_raw,
) -> CredentialReport:
    """Read and validate the credential in the bytes of an image file. Never raises for what is in the file.

    Nothing is fetched from the network.

    Args:
        image_format: a short name (`png`), a media type, or None to let the bytes tell.
        trust: without a list the state is never `trusted`.
        manifest_store: validated against the image instead of the file's own store.
        read: what runs the SDK; the default runs it here, a bounded process elsewhere.
    """
    media_type = MEDIA_TYPES.get(image_format, image_format) if image_format else None
    raw = read(image, media_type, reading_settings(trust), manifest_store)
    match raw.kind:
        case "none":
            return CredentialReport("none")
        case "remote":
            return CredentialReport("none", remote_manifest_url=_remote_url(raw.message))
        case "unreadable" | "gave_up":
            return _unreadable(manifest_store or image, raw.message)
    try:
        store, detailed, crjson = _object(raw.summary_json), _object(raw.detailed_json), _object(raw.crjson)
    except (ValueError, RecursionError) as error:  # assertions nested deeper than any honest one
        return _unreadable(image, str(error))
    if trust is None:
        if store.get("validation_state") == "Trusted":
            store["validation_state"] = "Valid"  # the SDK knows no anchors here; this must never read as trust
        return _report(store, detailed, crjson, raw.summary_json)
    if _trusted_by(store) not in (None, SIGNERS_URI):
        # The SDK also calls a signer trusted whose chain ends in an anchor for time stamps, and does not say
        # whether one for signers would have done: look again without those. The time's standing is kept.
        alone = _object(read(image, media_type, reading_settings(_signers_only(trust)), manifest_store).summary_json)
        store = _with_signer_trust_of(store, alone)
    report = replace(
        _report(store, detailed, crjson, raw.summary_json), trust=TrustUsed(trust.name, trust.dated, trust.digest)
    )
    if report.state == "trusted" and trust.has_test_anchors:
        production = read_credential(
            image, image_format, trust.without_test_anchors(), manifest_store=manifest_store, read=read
        )
        return replace(report, trusted_for_tests_only=production.state != "trusted")
    return report


def _signers_only(trust: TrustList) -> TrustList:
    return replace(trust, anchors=tuple(anchor for anchor in trust.anchors if anchor.kind == "signer"))


def _trusted_by(store: Mapping[str, Any]) -> str | None:
    """The address of the list in which the SDK found the signer."""
    results = mapping(mapping(store.get("validation_results")).get("activeManifest"))
    for entry in mappings(results.get("success")):
        if entry.get("code") == "signingCredential.trusted":
            found = re.search(r"found in \[([^\]]*)\]", str(entry.get("explanation", "")))
            return found[1] if found else ""
    return None


def _with_signer_trust_of(store: dict[str, Any], alone: Mapping[str, Any]) -> dict[str, Any]:
    """The first store with state and signer's codes of the second, and the time stamp's codes of its own."""

    def is_time(entry: Mapping[str, Any]) -> bool:
        return str(entry.get("code", "")).startswith("timeStamp.")

    here = mapping(mapping(store.get("validation_results")).get("activeManifest"))
    there = mapping(mapping(alone.get("validation_results")).get("activeManifest"))
    merged = {
        outcome: [entry for entry in mappings(there.get(outcome)) if not is_time(entry)]
        + [entry for entry in mappings(here.get(outcome)) if is_time(entry)]
        for outcome in _OUTCOMES
    }
    results = {**mapping(store.get("validation_results")), "activeManifest": merged}
    return {**store, "validation_state": alone.get("validation_state"), "validation_results": results}


def _remote_url(message: str) -> str:
    return printable(next(iter(re.findall(r"https?://\S+", message)), message))


def _unreadable(image: bytes, message: str) -> CredentialReport:
    """A file that the SDK cannot parse: broken credential if it holds a manifest store, else simply none."""
    problem = printable(message)
    if b"jumb" in image and b"c2pa" in image:
        code = ValidationCode(UNREADABLE_CODE, "failure", explanation(UNREADABLE_CODE), "")
        return CredentialReport("invalid", codes=(code,), problem=problem)
    return CredentialReport("none", problem=problem)


def _object(text: str) -> dict[str, Any]:
    return mapping(json.loads(text))


def _report(
    store: Mapping[str, Any], detailed: Mapping[str, Any], crjson: Mapping[str, Any], raw_json: str
) -> CredentialReport:
    label = store.get("active_manifest")
    manifests = mapping(store.get("manifests"))
    active = mapping(manifests.get(label)) if label else {}
    content_label = _content_label(str(label), manifests, crjson)
    content = mapping(manifests.get(content_label))
    results = mapping(mapping(store.get("validation_results")).get("activeManifest"))
    codes = tuple(validation_code(entry, outcome) for outcome in _OUTCOMES for entry in mappings(results.get(outcome)))
    found = ingredients_of(store, detailed)
    generation = mapping(next(iter(_assertions(content, GENERATION_ASSERTION)), None))
    return CredentialReport(
        state=_state(store, codes),
        signer=_signer(mapping(active.get("signature_info")), codes, _certificate_info(str(label), crjson)),
        title=text(content.get("title")),
        claim_generator=_claim_generator(content),
        manifest_label=text(label),
        actions=tuple(_actions(content)),
        claims=_claims(manifests, str(label), found.every),
        codes=codes,
        ingredients=found.every,
        tree=found.tree,
        tree_is_cut=found.is_cut,
        soft_bindings=tuple(_soft_bindings(content)),
        content_manifest=printable(content_label),
        unique_id=text(generation.get("unique_id")),
        raw_json=raw_json,
    )


def _state(store: Mapping[str, Any], codes: tuple[ValidationCode, ...]) -> CredentialState:
    """The SDK also calls a file invalid whose certificate has merely expired since: nothing of it has changed."""
    state = _STATES.get(str(store.get("validation_state")), "invalid")
    if state != "invalid":
        return state
    failures = [code.code for code in codes if code.outcome == "failure" and not is_trust_only(code.code)]
    is_signed = any(code.code == "claimSignature.validated" and code.outcome == "success" for code in codes)
    if is_signed and failures and all(is_certificate_matter(code) for code in failures):
        return "valid"
    return "invalid"


def _content_label(label: str, manifests: Mapping[str, Any], crjson: Mapping[str, Any]) -> str:
    """The active manifest, or what its chain of update manifests adds to (C2PA 2.4 §11.2)."""
    updates = {str(one.get("label")) for one in mappings(crjson.get("manifests")) if one.get("isUpdateManifest")}
    for _ in range(MAX_PARENTS):
        if label not in updates:
            break
        ingredients = mappings(mapping(manifests.get(label)).get("ingredients"))
        parent = next((one.get("active_manifest") for one in ingredients), None)
        if not isinstance(parent, str):
            break
        label = parent
    return label


def _certificate_info(label: str, crjson: Mapping[str, Any]) -> dict[str, Any]:
    manifest = next((one for one in mappings(crjson.get("manifests")) if one.get("label") == label), {})
    return mapping(mapping(manifest.get("signature")).get("certificateInfo"))


def _signer(
    info: Mapping[str, Any], codes: tuple[ValidationCode, ...], certificate: Mapping[str, Any]
) -> SignerIdentity | None:
    if not info:
        return None
    found = {code.code for code in codes}
    validity = mapping(certificate.get("validity"))
    return SignerIdentity(
        name=text(info.get("common_name")) or "(no name)",
        issuer=text(info.get("issuer")) or "(no name)",
        serial=text(info.get("cert_serial_number")) or "",
        algorithm=text(info.get("alg")) or "",
        time=_time(info.get("time")),
        time_is_trusted="timeStamp.trusted" in found,
        valid_from=_time(validity.get("notBefore")),
        valid_to=_time(validity.get("notAfter")),
        valid_at_signing=_valid_at_signing(found),
        revocation=_revocation(found),
    )


def _valid_at_signing(codes: set[str]) -> bool | None:
    if codes & {"claimSignature.outsideValidity", "signingCredential.expired", "timeOfSigning.outsideValidity"}:
        return False
    return True if codes & {"claimSignature.insideValidity", "timeOfSigning.insideValidity"} else None


def _revocation(codes: set[str]) -> Revocation:
    if "signingCredential.ocsp.revoked" in codes or "signingCredential.revoked" in codes:
        return "revoked"
    if "signingCredential.ocsp.notRevoked" in codes:
        return "not_revoked"
    return "unknown" if "signingCredential.ocsp.unknown" in codes else "not_asked"


def _time(value: object) -> datetime | None:
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return time if time is None or time.tzinfo is not None else None


def _claim_generator(manifest: Mapping[str, Any]) -> str | None:
    first = next(iter(mappings(manifest.get("claim_generator_info"))), None)
    if first is not None:
        return printable(f"{first.get('name', '')} {first.get('version', '')}".strip())
    return text(manifest.get("claim_generator"))


def _actions(manifest: Mapping[str, Any]) -> Iterator[Action]:
    for data in (*_assertions(manifest, "c2pa.actions.v2"), *_assertions(manifest, "c2pa.actions")):
        for entry in mappings(mapping(data).get("actions")):
            agent = entry.get("softwareAgent")
            yield Action(
                action=printable(entry.get("action", "")),
                digital_source_type=text(entry.get("digitalSourceType")),
                when=text(entry.get("when")),
                software_agent=text(agent.get("name") if isinstance(agent, dict) else agent),
            )


def _soft_bindings(manifest: Mapping[str, Any]) -> Iterator[ReadSoftBinding]:
    for data in _assertions(manifest, "c2pa.soft-binding"):
        for block in mappings(mapping(data).get("blocks")):
            alg = printable(mapping(data).get("alg", ""))
            yield ReadSoftBinding(alg, printable(block.get("value", "")))


def _claims(manifests: Mapping[str, Any], label: str, ingredients: tuple[IngredientReport, ...]) -> tuple[Claim, ...]:
    """What the active manifest and its chain of parents declare; the chain ends at a broken ingredient."""
    claims: set[Claim] = set()
    broken = {(i.manifest_label, i.title) for i in ingredients if i.failures}
    seen: set[str] = set()
    current: str | None = label
    while current is not None and current not in seen and len(seen) < MAX_PARENTS:
        seen.add(current)
        manifest = mapping(manifests.get(current))
        for action in _actions(manifest):
            claims |= _claims_of(action)
        parents = [i for i in mappings(manifest.get("ingredients")) if i.get("relationship") == "parentOf"]
        parent = parents[0] if parents else {}
        if (printable(current), text(parent.get("title")) or "(no title)") in broken:
            break
        next_label = parent.get("active_manifest")
        current = next_label if isinstance(next_label, str) else None
    return tuple(claim for claim in _CLAIM_ORDER if claim in claims)


def _claims_of(action: Action) -> set[Claim]:
    term = source_term(action.digital_source_type)
    if term in GENERATED_SOURCE_TERMS:
        return {"declared_ai"} if action.action == "c2pa.created" else {"declared_ai", "declared_edited"}
    if term in PARTLY_GENERATED_SOURCE_TERMS:
        return {"declared_ai", "declared_edited"}
    if action.action == "c2pa.created":
        return {"declared_capture"} if term in CAPTURE_SOURCE_TERMS else set()
    return set() if action.action in NON_EDITORIAL_ACTIONS else {"declared_edited"}


def _assertions(manifest: Mapping[str, Any], label: str) -> list[Any]:
    return [a.get("data") for a in mappings(manifest.get("assertions")) if a.get("label") == label]
