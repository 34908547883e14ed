"""What a credential shows, does not show, and claims: as pieces of evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from api.evidence import Evidence
from provenance.report import CredentialReport, IngredientReport, SignerIdentity, ValidationCode
from provenance.soft_bindings import is_our_own, registered_algorithms

# A store that is read by itself, or beside another encoding of its picture, cannot match that file's bytes.
BINDING_CODES = frozenset(
    {"assertion.dataHash.mismatch", "assertion.bmffHash.mismatch", "assertion.boxesHash.mismatch"}
)

_ANYONE_CAN_SIGN = "Anyone can sign with a certificate of their own making: what it says is a claim."


def credential_evidence(
    report: CredentialReport, *, established: Literal["local", "remote"] = "local"
) -> Iterator[Evidence]:
    """What a file's own credential shows, and every integrity failure of its ingredients.

    established: `remote` where the credential was fetched from where the file points to.
    """
    details = _details(report)
    match report.state:
        case "none":
            yield Evidence(
                "credential", "none", "the file carries no credential", "Most files carry none, and it can be removed."
            )
        case "invalid":
            yield Evidence(
                "credential",
                "broken",
                f"the credential fails its integrity check ({_parts(report)}): changed since signing",
                "This does not say who changed what, or why.",
                details,
                established,
            )
        case "valid":
            yield Evidence(
                "credential",
                "intact_untrusted",
                f"the credential is intact, {_signed(report.signer)}, {_why_untrusted(report)}",
                _ANYONE_CAN_SIGN,
                details,
                established,
            )
        case "trusted":
            tests = ", by an anchor that was added for tests only" if report.trusted_for_tests_only else ""
            yield Evidence(
                "credential",
                "trusted_for_tests_only" if tests else "trusted",
                f"the credential is intact, {_signed(report.signer)}, who is on the trust list{tests}",
                "It is known who says so; that does not make it true.",
                details,
                established,
            )
    if report.state == "valid":
        for claim in report.claims:
            yield Evidence(
                "credential",
                "claimed_untrusted",
                f"an untrusted signer claims: {claim.removeprefix('declared_')}",
                "A claim, no conclusion.",
                None,
                established,
            )
    yield from _signing_time(report)
    yield from _ingredients(report.ingredients)
    yield from _other_marks(report)
    if report.remote_manifest_url:
        yield Evidence(
            "credential",
            "remote_not_fetched",
            "the file points to a credential elsewhere, which was not fetched",
            "",
            {"url": report.remote_manifest_url},
        )


def recovered_evidence(record_id: str, manifest_id: str, report: CredentialReport | None) -> Evidence:
    """The credential that is kept for a record, checked again; `report` is of its store by itself."""
    if report is None:
        return Evidence(
            "credential", "recovered_erased", f"the credential that was kept for record {record_id} was erased"
        )
    details = {"manifest": manifest_id, **_details(report)}
    broken = unbound_failures(report)
    if broken:
        codes = ", ".join(sorted({code.code for code in broken}))
        return Evidence(
            "credential",
            "recovered_broken",
            f"the credential that is kept for record {record_id} fails its integrity check ({codes})",
            "The record in the ledger stands by itself.",
            details,
        )
    return Evidence(
        "credential",
        "recovered",
        f"the credential issued with record {record_id} was found again through the picture; its signature is intact",
        "Its hash is of the file that was released, not of this one.",
        details,
    )


def unbound_failures(report: CredentialReport) -> tuple[ValidationCode, ...]:
    """Failures of a store that is read without its file: all but those of the binding to the file's bytes."""
    if report.state == "none" or (report.state == "invalid" and not report.codes):
        return (ValidationCode("org.imprimatur.unreadable", "failure", "The credential cannot be read.", ""),)
    return tuple(code for code in report.failures if code.code not in BINDING_CODES)


def _signed(signer: SignerIdentity | None) -> str:
    return f"signed by {signer.name!r}" if signer else "signer unknown"


def _why_untrusted(report: CredentialReport) -> str:
    if report.certificate_problems:
        return "whose certificate was not in order"
    return "who is not on the trust list"


def _parts(report: CredentialReport) -> str:
    """Which part failed: the codes, each once, with the plain-language meaning of the first."""
    codes = list(dict.fromkeys(code.code for code in report.failures))
    if not codes:
        return report.problem or "unreadable"
    return ", ".join(codes) + f": {report.failures[0].explanation.rstrip('.').lower()}"


def _signing_time(report: CredentialReport) -> Iterator[Evidence]:
    """Whether the certificate was in order when it signed; a stamp by an unknown authority is anybody's word."""
    signer = report.signer
    if signer is None:
        return
    for problem in report.certificate_problems:
        yield Evidence(
            "credential",
            "certificate_not_in_order",
            f"the signing certificate was not in order ({problem.code}): {problem.explanation.rstrip('.').lower()}",
            "Nothing in the file has changed; but nothing shows that the certificate's owner signed in its time.",
        )
    if signer.time is not None and not signer.time_is_trusted:
        yield Evidence(
            "credential",
            "time_not_established",
            f"the time of signing ({signer.time.isoformat()}) was stamped by an authority that is not on the list",
            "Anyone can run such an authority and give it any time.",
        )


def _ingredients(ingredients: Sequence[IngredientReport]) -> Iterator[Evidence]:
    for ingredient in ingredients:
        if ingredient.failures:
            codes = ", ".join(dict.fromkeys(code.code for code in ingredient.failures))
            yield Evidence(
                "credential",
                "ingredient_integrity_problem",
                f"the credential records an integrity failure of the ingredient {ingredient.title!r} ({codes})",
                "It is about a picture that was used, not about this file's own credential.",
                {"manifest": ingredient.manifest_label, "codes": [_code(code) for code in ingredient.failures]},
            )


def _other_marks(report: CredentialReport) -> Iterator[Evidence]:
    """Soft bindings of other makers, which this program cannot read, and where they can be checked."""
    registered = registered_algorithms()
    for binding in report.soft_bindings:
        known = registered.get(binding.alg)
        if known is not None and known.kind == "watermark" and not is_our_own(binding.alg):
            yield Evidence(
                "credential",
                "unreadable_mark",
                f"the credential says that the picture carries the mark {binding.alg!r}, which is not read here",
                "Its maker's own program can read it.",
                {"algorithm": binding.alg, "see": known.url},
            )


def _details(report: CredentialReport) -> dict[str, Any]:
    trust = report.trust
    return {
        "state": report.state,
        "manifest": report.manifest_label,
        "content_manifest": report.content_manifest,
        "claim_generator": report.claim_generator,
        "title": report.title,
        "problem": report.problem,
        "signer": _signer(report.signer),
        "trust_list": trust and {"name": trust.name, "dated": trust.dated, "digest": trust.digest},
        "trusted_for_tests_only": report.trusted_for_tests_only,
        "claims": {"trusted" if report.state == "trusted" else "untrusted": list(report.claims)},
        "actions": [
            {
                "action": action.action,
                "digital_source_type": action.digital_source_type,
                "when": action.when,
                "software_agent": action.software_agent,
            }
            for action in report.actions
        ],
        "soft_bindings": [{"alg": binding.alg, "value": binding.value} for binding in report.soft_bindings],
        "ingredients": [_ingredient(ingredient) for ingredient in report.tree],
        "ingredients_cut": report.tree_is_cut,
        "codes": [_code(code) for code in report.codes],
    }


def _signer(signer: SignerIdentity | None) -> dict[str, Any] | None:
    if signer is None:
        return None
    return {
        "name": signer.name,
        "issuer": signer.issuer,
        "serial": signer.serial,
        "algorithm": signer.algorithm,
        "valid_from": signer.valid_from and signer.valid_from.isoformat(),
        "valid_to": signer.valid_to and signer.valid_to.isoformat(),
        "valid_at_signing": signer.valid_at_signing,
        "revocation": signer.revocation,
        "time": signer.time and signer.time.isoformat(),
        "time_is_trusted": signer.time_is_trusted,
    }


def _ingredient(ingredient: IngredientReport) -> dict[str, Any]:
    return {
        "title": ingredient.title,
        "relationship": ingredient.relationship,
        "manifest": ingredient.own_manifest,
        "signer": ingredient.signer,
        "failures": [_code(code) for code in ingredient.failures],
        "ingredients": [_ingredient(child) for child in ingredient.children],
    }


def _code(code: ValidationCode) -> dict[str, str]:
    return {"code": code.code, "outcome": code.outcome, "where": code.where, "explanation": code.explanation}
