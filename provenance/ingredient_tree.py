"""Every ingredient in a manifest store, with every integrity failure, also those that the SDK's summary leaves out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from provenance.loose_json import mapping, mappings, text, validation_code
from provenance.printable import printable
from provenance.report import IngredientReport, ValidationCode
from provenance.validation_codes import is_integrity_failure

MAX_DEPTH: Final = 32
MAX_NODES: Final = 1_000

_INGREDIENT_LABEL: Final = re.compile(r"c2pa\.ingredient(\.v\d+)?(__\d+)?$")
_MANIFEST_URI: Final = re.compile(r"self#jumbf=/c2pa/([^/]+)")


@dataclass(frozen=True)
class Ingredients:
    """every: all ingredients of all manifests. tree: those that the active manifest leads to, nested; `is_cut` where
    it is deeper or larger than `MAX_DEPTH` and `MAX_NODES` allow.
    """

    every: tuple[IngredientReport, ...]
    tree: tuple[IngredientReport, ...]
    is_cut: bool


def ingredients_of(store: Mapping[str, Any], detailed: Mapping[str, Any]) -> Ingredients:
    """The ingredient assertions as written, joined with what this validation found (`ingredientDeltas`)."""
    signers = {
        str(label): text(mapping(manifest.get("signature_info")).get("common_name"))
        for label, manifest in mapping(store.get("manifests")).items()
        if isinstance(manifest, dict)
    }
    found_now = _found_now(store)
    listed: dict[str, list[IngredientReport]] = {}
    for label, manifest in sorted(mapping(detailed.get("manifests")).items()):  # the SDK gives any order
        assertions = mapping(mapping(manifest).get("assertion_store"))
        for name, data in sorted(assertions.items(), key=_place):
            if _INGREDIENT_LABEL.match(name) and isinstance(data, dict):
                own = _own_manifest(data)
                failures = [*_recorded_failures(data), *found_now.get(f"{label}/{name}", ())]
                listed.setdefault(str(label), []).append(
                    IngredientReport(
                        title=text(data.get("dc:title")) or "(no title)",
                        relationship=text(data.get("relationship")) or "",
                        manifest_label=printable(label),
                        failures=tuple(dict.fromkeys(failures)),
                        own_manifest=None if own is None else printable(own),
                        signer=signers.get(own) if own is not None else None,
                    )
                )
    every = tuple(one for ingredients in listed.values() for one in ingredients)
    building = _Tree({printable(label): tuple(ingredients) for label, ingredients in listed.items()})
    tree = building.below(printable(str(store.get("active_manifest"))), 1, frozenset())
    return Ingredients(every, tree, building.is_cut)


class _Tree:
    """Nests the ingredients; a store may be circular, or branch without end."""

    def __init__(self, listed: Mapping[str, tuple[IngredientReport, ...]]) -> None:
        self._listed = listed
        self._nodes = 0
        self.is_cut = False

    def below(self, label: str, depth: int, above: frozenset[str]) -> tuple[IngredientReport, ...]:
        children = []
        for ingredient in self._listed.get(label, ()):
            self._nodes += 1
            if depth > MAX_DEPTH or self._nodes > MAX_NODES or label in above:
                self.is_cut = True
                break
            own = ingredient.own_manifest
            deeper = self.below(own, depth + 1, above | {label}) if own is not None else ()
            children.append(replace(ingredient, depth=depth, children=deeper))
        return tuple(children)


def _place(assertion: tuple[str, Any]) -> tuple[int, str]:
    """In the order of their numbers: `c2pa.ingredient`, `c2pa.ingredient__1`, ..., `c2pa.ingredient__10`."""
    return len(assertion[0]), assertion[0]


def _own_manifest(ingredient: Mapping[str, Any]) -> str | None:
    """The label in the reference to the ingredient's manifest (v3: `activeManifest`, before: `c2pa_manifest`)."""
    reference = mapping(ingredient.get("activeManifest")) or mapping(ingredient.get("c2pa_manifest"))
    found = _MANIFEST_URI.match(str(reference.get("url", "")))
    return found[1] if found else None


def _found_now(store: Mapping[str, Any]) -> dict[str, list[ValidationCode]]:
    """Failures that this validation found in ingredients, by `<manifest>/<assertion>`."""
    found: dict[str, list[ValidationCode]] = {}
    for delta in mappings(mapping(store.get("validation_results")).get("ingredientDeltas")):
        uri = str(delta.get("ingredientAssertionURI", ""))
        manifest, name = _MANIFEST_URI.match(uri), uri.rsplit("/", 1)[-1]
        if manifest is not None:
            failures = mappings(mapping(delta.get("validationDeltas")).get("failure"))
            found.setdefault(f"{manifest[1]}/{name}", []).extend(
                validation_code(entry, "failure")
                for entry in failures
                if is_integrity_failure(str(entry.get("code", "")))
            )
    return found


def _recorded_failures(ingredient: Mapping[str, Any]) -> Iterator[ValidationCode]:
    """Integrity failures in `validationStatus` (ingredient v1, v2) and `validationResults` (v3)."""
    for entry in mappings(ingredient.get("validationStatus")):
        if entry.get("success") is not True and is_integrity_failure(str(entry.get("code", ""))):
            yield validation_code(entry, "failure")
    results = mapping(ingredient.get("validationResults"))
    deltas = [mapping(delta.get("validationDeltas")) for delta in mappings(results.get("ingredientDeltas"))]
    for result in (mapping(results.get("activeManifest")), *deltas):
        for entry in mappings(result.get("failure")):
            if is_integrity_failure(str(entry.get("code", ""))):
                yield validation_code(entry, "failure")
