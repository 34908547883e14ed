"""What the SDK would sign although no conforming product may: checked first, with the rule or section that says so.

The rules are those of the C2PA Asset Rubrics (conformance program 0.2, specification 2.4) that can be known before
signing; the rubric's own names stand in brackets. They are checked on the manifest definition that the SDK gets, so
that a mistake in how it is built is found as well.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from provenance.certificate import require_profile
from provenance.errors import ManifestLintError
from provenance.ingredients import RELATIONSHIPS, IngredientEntry
from provenance.manifest import SPEC_VERSION
from provenance.signer import Signer
from provenance.soft_bindings import is_our_own, registered_algorithms
from provenance.vocabulary import (
    ACTIONS,
    ACTIONS_WITHOUT_SOURCE_TYPE,
    DIGITAL_SOURCE_TYPES,
    HUMAN_OVERSIGHT_LEVELS,
    TRAINING_MINING_ENTRIES,
    TRAINING_MINING_USES,
)

MAX_THUMBNAIL_BYTES: Final = 64 * 1024
_INCEPTIONS: Final = ("c2pa.created", "c2pa.opened")
_NEEDS_ONE_INGREDIENT: Final = frozenset({"c2pa.opened", "c2pa.placed", "c2pa.removed"})
_PARAMETERS: Final = frozenset(
    {"ingredientIds", "ingredients", "redacted", "sourceLanguage", "targetLanguage", "multipleInstances"}
)
_STANDARD_ASSERTIONS: Final = frozenset(
    {
        "c2pa.actions", "c2pa.ai-disclosure", "c2pa.asset-ref", "c2pa.asset-type", "c2pa.certificate-status",
        "c2pa.cloud-data", "c2pa.depthmap.GDepth", "c2pa.external-reference", "c2pa.metadata", "c2pa.soft-binding",
        "c2pa.time-stamp", "cawg.identity", "cawg.metadata", "cawg.training-mining",
    }
)  # fmt: skip
_STANDARD_NAMESPACES: Final = ("c2pa.", "cawg.")
_REVERSE_DOMAIN: Final = re.compile(r"[a-z][a-z0-9-]*(\.[A-Za-z][A-Za-z0-9_-]*)+(\.[0-9]+)?")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def require_signable(
    definition: Mapping[str, Any],
    ingredients: Sequence[IngredientEntry],
    signer: Signer,
    now: datetime,
    *,
    resources: Mapping[str, bytes] | None = None,
) -> None:
    """Raise `ManifestLintError` or `CertificateProfileError` where the specification forbids the credential."""
    problems = manifest_problems(definition, ingredients, resources or {})
    if problems:
        raise ManifestLintError(tuple(problems))
    require_profile(signer.certificate_chain_pem, now)


def manifest_problems(
    definition: Mapping[str, Any],
    ingredients: Sequence[IngredientEntry] = (),
    resources: Mapping[str, bytes] | None = None,
) -> list[str]:
    """Every breach in a manifest definition: what, where, and the section of C2PA 2.4 or the rubric's rule."""
    assertions = [entry for entry in definition.get("assertions", []) if isinstance(entry, Mapping)]
    return [
        *_generator(definition),
        *_values(definition),
        *_labels(assertions),
        *_action_assertions(assertions, ingredients),
        *_ingredients(ingredients),
        *_soft_bindings(assertions),
        *_training_mining(assertions),
        *_ai_disclosure(assertions),
        *_thumbnails(resources or {}),
    ]


def unregistered_soft_bindings(definition: Mapping[str, Any]) -> tuple[str, ...]:
    """Algorithms that are not on the C2PA list (namespaced ones of ours): allowed, to be said openly."""
    found = (str(data.get("alg")) for _, data in _data(definition.get("assertions", []), "c2pa.soft-binding"))
    return tuple(alg for alg in found if alg not in registered_algorithms())


def _generator(definition: Mapping[str, Any]) -> Iterator[str]:
    if "specVersion" in definition:
        yield "specVersion stands in the claim itself (§10.2.3.2) [no_deprecated_claim_fields]"
    generators = definition.get("claim_generator_info") or [{}]
    if not generators[0].get("name"):
        yield "claim_generator_info has no name (§10.2.3.2)"
    if generators[0].get("specVersion") != SPEC_VERSION:
        yield (
            f"claim_generator_info.specVersion is {generators[0].get('specVersion')!r}, expected {SPEC_VERSION!r} "
            "[mandatory_spec_version]"
        )


def _values(value: Any, path: str = "$") -> Iterator[str]:
    """Assertions are CBOR or JSON made from this: no infinite numbers, no bytes, keys of text (§6.4)."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if isinstance(key, str):
                yield from _values(inner, f"{path}.{key}")
            else:
                yield f"{path} has a key that is no text: {key!r} (§6.4)"
    elif isinstance(value, list | tuple):
        for position, inner in enumerate(value):
            yield from _values(inner, f"{path}[{position}]")
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{path} is {value}, which neither CBOR nor JSON carries alike (§6.4)"
    elif not isinstance(value, str | int | float | bool | None):
        yield f"{path} is a {type(value).__name__}; expected text, numbers, lists and maps (§6.4)"


def _labels(assertions: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for position, assertion in enumerate(assertions):
        label, where = str(assertion.get("label", "")), f"assertions[{position}]"
        if not assertion.get("created"):
            yield f"{where} {label!r} is not marked as created: it would read as somebody else's word (§10.2.1)"
        if label.startswith("stds."):
            yield f"{where} {label!r} is deprecated (§6.3) [no_deprecated_assertions]"
        elif label.startswith(_STANDARD_NAMESPACES):
            if label not in _STANDARD_ASSERTIONS:
                yield f"{where} {label!r} is deprecated or unknown (§6.2.2) [no_unsupported_assertions]"
        elif not _REVERSE_DOMAIN.fullmatch(label):
            yield f"{where} {label!r} has no namespace of a domain (§6.2.2) [no_unrecognized_custom_assertions]"


def _action_assertions(
    assertions: Sequence[Mapping[str, Any]], ingredients: Sequence[IngredientEntry]
) -> Iterator[str]:
    found = list(_data(assertions, "c2pa.actions"))
    actions = [action for _, data in found for action in data.get("actions", [])]
    if not actions or actions[0].get("action") not in _INCEPTIONS:
        yield ("the first action is neither c2pa.created nor c2pa.opened (§18.15.3) [inception_action_position]")
    if sum(action.get("action") in _INCEPTIONS for action in actions) > 1:
        yield "there is more than one c2pa.created or c2pa.opened action (§18.15.3) [inception_action_position]"
    for where, data in found:
        if not isinstance(data.get("allActionsIncluded"), bool):
            yield f"{where} does not say allActionsIncluded [mandatory_all_actions_included]"
        elif not data["allActionsIncluded"] and any(a.get("action") == "c2pa.opened" for a in actions):
            yield f"{where} opens an asset without allActionsIncluded: true (§18.15.3) [all_actions_included_opened]"
    known = {entry.definition["label"]: entry.definition["relationship"] for entry in ingredients}
    for where, data in found:
        for position, action in enumerate(data.get("actions", [])):
            yield from _action(action, f"{where}.actions[{position}]", known)
    bound = any(action.get("action") == "c2pa.watermarked.bound" for action in actions)
    if bound and not list(_data(assertions, "c2pa.soft-binding")):
        yield "c2pa.watermarked.bound stands without a c2pa.soft-binding assertion (§18.15.4)"


def _action(action: Mapping[str, Any], where: str, ingredients: Mapping[str, str]) -> Iterator[str]:
    name = str(action.get("action", ""))
    if name.startswith("c2pa."):
        if name not in ACTIONS:
            yield f"{where} {name!r} is deprecated or unknown (§18.15.4, §18.15.11) [no_unsupported_actions]"
    elif not _REVERSE_DOMAIN.fullmatch(name):
        yield f"{where} {name!r} has no namespace of a domain (§18.15) [no_unrecognized_custom_actions]"
    yield from _source_type(action, name, where)
    when = action.get("when")
    if when is not None and not (isinstance(when, str) and _TIME.fullmatch(when)):
        yield f"{where}.when is {when!r}; expected an RFC 3339 time with its zone (§18.15.4.3)"
    agent = action.get("softwareAgent")
    if agent is not None and not (isinstance(agent, Mapping) and agent.get("name")):
        yield f"{where}.softwareAgent is no map with a name (§18.15.4.4)"
    parameters = action.get("parameters", {})
    for legacy in sorted({"description", "ingredient"} & set(parameters)):
        yield f"{where}.parameters.{legacy} is a legacy place (§18.15.4.7) [discouraged_legacy_action_parameters]"
    for custom in sorted(set(parameters) - _PARAMETERS - {"description", "ingredient"}):
        if not _REVERSE_DOMAIN.fullmatch(custom):
            yield f"{where}.parameters.{custom} has no namespace [no_unrecognized_custom_action_parameters]"
    yield from _references(parameters.get("ingredientIds", []), name, where, ingredients)


def _source_type(action: Mapping[str, Any], name: str, where: str) -> Iterator[str]:
    source_type = action.get("digitalSourceType")
    if source_type is None:
        if name == "c2pa.created":
            yield f"{where} c2pa.created has no digitalSourceType (§18.15.4.5) [mandatory_dst_for_created_action]"
        elif name in ACTIONS and name not in ACTIONS_WITHOUT_SOURCE_TYPE:
            yield f"{where} {name} has no digitalSourceType [mandatory_dst_for_perceptible_transformations]"
    elif name == "c2pa.opened":
        yield f"{where} c2pa.opened has a digitalSourceType [no_dst_for_opened_action]"
    elif source_type not in DIGITAL_SOURCE_TYPES:
        yield (
            f"{where}.digitalSourceType {source_type!r} is not in the IPTC or C2PA vocabulary (§18.15.4.5); "
            "use a URI of `provenance.vocabulary`"
        )


def _references(referred: Sequence[str], name: str, where: str, ingredients: Mapping[str, str]) -> Iterator[str]:
    for label in referred:
        if label not in ingredients:
            yield f"{where} refers to the ingredient {label!r}, which is not there (§15.10.3.2.3)"
    if name in _NEEDS_ONE_INGREDIENT and len(referred) != 1:
        yield f"{where} {name} refers to {len(referred)} ingredients, expected one [opened_action_ingredient_reference]"
    if name == "c2pa.opened" and any(ingredients.get(label) != "parentOf" for label in referred):
        yield f"{where} c2pa.opened refers to an ingredient that is not parentOf (§15.10.3.2.3)"


def _ingredients(ingredients: Sequence[IngredientEntry]) -> Iterator[str]:
    for entry in ingredients:
        relationship, where = entry.definition.get("relationship"), entry.definition.get("label")
        if relationship not in RELATIONSHIPS:
            yield f"{where} has the relationship {relationship!r} (§18.16.3) [ingredient_relationship_values]"
        if entry.thumbnail is not None and len(entry.thumbnail[1]) > MAX_THUMBNAIL_BYTES:
            size = len(entry.thumbnail[1])
            yield f"{where} has a thumbnail of {size} bytes, at most {MAX_THUMBNAIL_BYTES} are allowed"
    if sum(entry.definition.get("relationship") == "parentOf" for entry in ingredients) > 1:
        yield "more than one ingredient is parentOf (§18.16.3)"


def _soft_bindings(assertions: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for where, data in _data(assertions, "c2pa.soft-binding"):
        alg = str(data.get("alg", ""))
        if alg not in registered_algorithms() and not is_our_own(alg):
            yield (
                f"{where}: soft-binding algorithm {alg!r} is neither on the C2PA algorithm list nor in our own "
                "namespace (§18.11)"
            )
        blocks = data.get("blocks") or [{}]
        if not all(isinstance(block.get("value"), str) and block["value"] for block in blocks):
            yield f"{where}: soft binding {alg!r} has no value (§18.11)"


def _training_mining(assertions: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for where, data in _data(assertions, "cawg.training-mining"):
        for entry, value in data.get("entries", {}).items():
            if entry not in TRAINING_MINING_ENTRIES or value.get("use") not in TRAINING_MINING_USES:
                yield (
                    f"{where}: {entry}={value.get('use')!r} is unknown; entries are {sorted(TRAINING_MINING_ENTRIES)}, "
                    f"uses {sorted(TRAINING_MINING_USES)} (CAWG training and data mining §3)"
                )


def _ai_disclosure(assertions: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for where, data in _data(assertions, "c2pa.ai-disclosure"):
        if not str(data.get("modelType", "")).startswith("c2pa.types."):
            yield f"{where}.modelType is {data.get('modelType')!r}; expected a C2PA asset type (§18.28)"
        level = data.get("contentProfile", {}).get("humanOversightLevel")
        if level is not None and level not in HUMAN_OVERSIGHT_LEVELS:
            yield f"{where}.contentProfile.humanOversightLevel is {level!r} (§18.28.3)"


def _thumbnails(resources: Mapping[str, bytes]) -> Iterator[str]:
    for name, data in resources.items():
        if len(data) > MAX_THUMBNAIL_BYTES:
            yield (
                f"the thumbnail {name} has {len(data)} bytes, at most {MAX_THUMBNAIL_BYTES} are allowed; "
                "make it with `thumbnail_jpeg`"
            )


def _data(assertions: Sequence[Mapping[str, Any]], label: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The assertions with one label, each with its place."""
    for position, assertion in enumerate(assertions):
        if assertion.get("label") == label and isinstance(assertion.get("data"), Mapping):
            yield f"assertions[{position}] {label}", assertion["data"]
