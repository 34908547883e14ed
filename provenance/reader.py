"""Reading a credential like a sceptic: state, signer, claims, and what the SDK leaves unsaid."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from provenance.printable import printable
from provenance.report import (
    Action,
    Claim,
    CodeOutcome,
    CredentialReport,
    CredentialState,
    IngredientReport,
    ReadSoftBinding,
    SignerIdentity,
    ValidationCode,
)
from provenance.trust import TrustList, key_purposes
from provenance.validation_codes import explanation, is_integrity_failure
from provenance.vocabulary import (
    CAPTURE_SOURCE_TERMS,
    GENERATED_SOURCE_TERMS,
    GENERATION_ASSERTION,
    NON_EDITORIAL_ACTIONS,
    PARTLY_GENERATED_SOURCE_TERMS,
    source_term,
)

MEDIA_TYPES: Final = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp", "gif": "image/gif"}
MAX_PARENTS: Final = 64  # a chain of edits is shorter; a store may be hostile and circular
UNREADABLE_CODE: Final = "org.imprimatur.unreadable"
_STATES: Final[Mapping[str, CredentialState]] = {"Valid": "valid", "Trusted": "trusted", "Invalid": "invalid"}
_OUTCOMES: Final[tuple[CodeOutcome, ...]] = ("success", "informational", "failure")
_CLAIM_ORDER: Final[tuple[Claim, ...]] = ("declared_ai", "declared_edited", "declared_capture")
_INGREDIENT_LABEL: Final = re.compile(r"c2pa\.ingredient(\.v\d+)?(__\d+)?$")


def read_credential(image: bytes, image_format: str | None, trust: TrustList | None) -> CredentialReport:
    """Read and validate the credential in the bytes of an image file. Never raises for what is in the file.

    `image_format` is a short name (`png`), a media type, or None to let the bytes tell. Without a trust list
    the state is never `trusted`. Nothing is fetched from the network.
    """
    import c2pa

    media_type = MEDIA_TYPES.get(image_format, image_format) if image_format else None
    try:
        with (
            c2pa.Context.from_dict(_settings(trust)) as context,
            c2pa.Reader(media_type, io.BytesIO(image), context=context) as reader,
        ):
            raw_json, detailed_json = reader.json(), reader.detailed_json()
    except c2pa.C2paError.ManifestNotFound:
        return CredentialReport("none")
    except c2pa.C2paError.RemoteManifest as error:
        return CredentialReport("none", remote_manifest_url=_remote_url(str(error)))
    except c2pa.C2paError as error:
        return _unreadable(image, str(error))
    try:
        store, detailed = _object(raw_json), _object(detailed_json)
    except (ValueError, RecursionError) as error:  # assertions nested deeper than any honest one
        return _unreadable(image, str(error))
    if trust is None and store.get("validation_state") == "Trusted":
        store["validation_state"] = "Valid"  # the SDK knows no anchors here; this must never read as trust
    return _report(store, detailed, raw_json)


def _settings(trust: TrustList | None) -> dict[str, Any]:
    """Key purposes are set even where nobody is trusted: the SDK calls a certificate of another purpose invalid."""
    purposes = key_purposes() if trust is None else trust.key_purposes
    settings: dict[str, Any] = {
        "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": True},
        "trust": {"trust_config": "\n".join(purposes) + "\n"},
    }
    if trust is not None:
        settings["trust"]["trust_anchors"] = trust.anchors_pem
    return settings


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
    return _mapping(json.loads(text))


def _report(store: Mapping[str, Any], detailed: Mapping[str, Any], raw_json: str) -> CredentialReport:
    label = store.get("active_manifest")
    manifests = _mapping(store.get("manifests"))
    active = _mapping(manifests.get(label)) if label else {}
    ingredients = tuple(_ingredients(detailed))
    results = _mapping(_mapping(store.get("validation_results")).get("activeManifest"))
    generation = _mapping(next(iter(_assertions(active, GENERATION_ASSERTION)), None))
    return CredentialReport(
        state=_STATES.get(str(store.get("validation_state")), "invalid"),
        signer=_signer(_mapping(active.get("signature_info"))),
        title=_text(active.get("title")),
        claim_generator=_claim_generator(active),
        manifest_label=_text(label),
        actions=tuple(_actions(active)),
        claims=_claims(manifests, str(label), ingredients),
        codes=tuple(_code(entry, outcome) for outcome in _OUTCOMES for entry in _mappings(results.get(outcome))),
        ingredients=ingredients,
        soft_bindings=tuple(_soft_bindings(active)),
        unique_id=_text(generation.get("unique_id")),
        raw_json=raw_json,
    )


def _code(entry: Mapping[str, Any], outcome: CodeOutcome) -> ValidationCode:
    code = printable(entry.get("code", ""))
    return ValidationCode(code, outcome, explanation(code), printable(entry.get("url", "")))


def _signer(info: Mapping[str, Any]) -> SignerIdentity | None:
    if not info:
        return None
    return SignerIdentity(
        name=_text(info.get("common_name")) or "(no name)",
        issuer=_text(info.get("issuer")) or "(no name)",
        serial=_text(info.get("cert_serial_number")) or "",
        algorithm=_text(info.get("alg")) or "",
        time=_time(info.get("time")),
    )


def _time(value: object) -> datetime | None:
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return time if time is None or time.tzinfo is not None else None


def _claim_generator(manifest: Mapping[str, Any]) -> str | None:
    first = next(iter(_mappings(manifest.get("claim_generator_info"))), None)
    if first is not None:
        return printable(f"{first.get('name', '')} {first.get('version', '')}".strip())
    return _text(manifest.get("claim_generator"))


def _actions(manifest: Mapping[str, Any]) -> Iterator[Action]:
    for data in (*_assertions(manifest, "c2pa.actions.v2"), *_assertions(manifest, "c2pa.actions")):
        for entry in _mappings(_mapping(data).get("actions")):
            agent = entry.get("softwareAgent")
            yield Action(
                action=printable(entry.get("action", "")),
                digital_source_type=_text(entry.get("digitalSourceType")),
                when=_text(entry.get("when")),
                software_agent=_text(agent.get("name") if isinstance(agent, dict) else agent),
            )


def _soft_bindings(manifest: Mapping[str, Any]) -> Iterator[ReadSoftBinding]:
    for data in _assertions(manifest, "c2pa.soft-binding"):
        for block in _mappings(_mapping(data).get("blocks")):
            alg = printable(_mapping(data).get("alg", ""))
            yield ReadSoftBinding(alg, printable(block.get("value", "")))


def _ingredients(detailed: Mapping[str, Any]) -> Iterator[IngredientReport]:
    """Every ingredient assertion of every manifest, as written: the SDK's own summary leaves failures out."""
    for label, manifest in _mapping(detailed.get("manifests")).items():
        for name, data in _mapping(_mapping(manifest).get("assertion_store")).items():
            if not _INGREDIENT_LABEL.match(name) or not isinstance(data, dict):
                continue
            yield IngredientReport(
                title=_text(data.get("dc:title")) or "(no title)",
                relationship=_text(data.get("relationship")) or "",
                manifest_label=printable(label),
                failures=tuple(_code(entry, "failure") for entry in _recorded_failures(data)),
            )


def _recorded_failures(ingredient: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Integrity failures in `validationStatus` (ingredient v1, v2) and `validationResults` (v3)."""
    for entry in _mappings(ingredient.get("validationStatus")):
        if entry.get("success") is not True and is_integrity_failure(str(entry.get("code", ""))):
            yield entry
    results = _mapping(ingredient.get("validationResults"))
    deltas = [_mapping(delta.get("validationDeltas")) for delta in _mappings(results.get("ingredientDeltas"))]
    for result in (_mapping(results.get("activeManifest")), *deltas):
        for entry in _mappings(result.get("failure")):
            if is_integrity_failure(str(entry.get("code", ""))):
                yield entry


def _claims(manifests: Mapping[str, Any], label: str, ingredients: tuple[IngredientReport, ...]) -> tuple[Claim, ...]:
    """What the active manifest and its chain of parents declare; the chain ends at a broken ingredient."""
    claims: set[Claim] = set()
    broken = {(i.manifest_label, i.title) for i in ingredients if i.failures}
    seen: set[str] = set()
    current: str | None = label
    while current is not None and current not in seen and len(seen) < MAX_PARENTS:
        seen.add(current)
        manifest = _mapping(manifests.get(current))
        for action in _actions(manifest):
            claims |= _claims_of(action)
        parents = [i for i in _mappings(manifest.get("ingredients")) if i.get("relationship") == "parentOf"]
        parent = parents[0] if parents else {}
        if (printable(current), _text(parent.get("title")) or "(no title)") in broken:
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
    return [a.get("data") for a in _mappings(manifest.get("assertions")) if a.get("label") == label]


def _text(value: object) -> str | None:
    return None if value is None else printable(value)


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _mappings(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
