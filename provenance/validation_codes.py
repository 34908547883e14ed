"""C2PA validation status codes (C2PA 2.4 §15.2.2), sorted and said in plain language."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

# Codes that tell whether a signer is known, not whether anything changed.
_TRUST_ONLY: Final = frozenset(
    {
        "signingCredential.untrusted",
        "signingCredential.trusted",
        "timeStamp.untrusted",
        "timeStamp.trusted",
        "timeOfSigning.insideValidity",
        "timeOfSigning.outsideValidity",
        "cawg.ica.untrusted_issuer",
        "cawg.identity.untrusted",
    }
)
_TRUST_ONLY_PREFIX: Final = "signingCredential.ocsp."
_REVOKED: Final = "signingCredential.ocsp.revoked"

# Codes about the signer's certificate at the time of signing: nothing in the file need have changed.
_CERTIFICATE: Final = frozenset(
    {"signingCredential.expired", "signingCredential.invalid", "claimSignature.outsideValidity"}
)
_REVOCATIONS: Final = frozenset({_REVOKED, "signingCredential.revoked"})

_NOT_FAILURES_SUFFIXES: Final = (".match", ".validated", ".insideValidity", ".trusted", ".accessible", ".skipped")
_NOT_FAILURES: Final = frozenset(
    {
        "algorithm.deprecated",
        "ingredient.unknownProvenance",
        "ingredient.provenanceUnknown",
        "signingCredential.ocsp.notRevoked",
        "signingCredential.ocsp.inaccessible",
        "assertion.dataHash.additionalExclusionsPresent",
        "assertion.bmffHash.additionalExclusionsPresent",
        "assertion.boxesHash.additionalExclusionsPresent",
        "manifest.unknownProvenance",
        "timeStamp.malformed",
        "timeStamp.outsideValidity",
    }
)

EXPLANATIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "claimSignature.validated": "The signature over the claim is correct.",
        "claimSignature.insideValidity": "The certificate was valid at the time of signing.",
        "claimSignature.outsideValidity": "The certificate was not valid at the time of signing.",
        "claimSignature.mismatch": "The signature does not fit the claim: the claim changed since signing.",
        "claimSignature.missing": "The claim has no signature.",
        "claim.missing": "The manifest has no claim.",
        "claim.multiple": "The manifest has more than one claim.",
        "claim.malformed": "The claim does not follow the specification.",
        "claim.cbor.invalid": "The claim cannot be parsed.",
        "claim.hardBindings.missing": "The claim is not bound to the content of a file.",
        "assertion.hashedURI.match": "This statement is as it was when it was signed.",
        "assertion.hashedURI.mismatch": "This statement changed since signing.",
        "assertion.dataHash.match": "The file's content is as it was when it was signed.",
        "assertion.dataHash.mismatch": "The file's content changed since signing.",
        "assertion.boxesHash.match": "The file's content is as it was when it was signed.",
        "assertion.boxesHash.mismatch": "The file's content changed since signing.",
        "assertion.bmffHash.match": "The file's content is as it was when it was signed.",
        "assertion.bmffHash.mismatch": "The file's content changed since signing.",
        "assertion.missing": "A statement that was signed is no longer there.",
        "assertion.undeclared": "A statement is there that was not signed.",
        "assertion.inaccessible": "A statement that was signed is stored elsewhere and was not fetched.",
        "assertion.notRedacted": "A statement that should be blacked out is still there.",
        "assertion.selfRedacted": "The manifest blacks out its own statements, which is not allowed.",
        "assertion.action.malformed": "The list of actions does not follow the specification.",
        "assertion.action.ingredientMismatch": "An action refers to an ingredient that is not there.",
        "assertion.cbor.invalid": "A statement cannot be parsed.",
        "assertion.json.invalid": "A statement cannot be parsed.",
        "ingredient.manifest.validated": "The ingredient's own credential is as it was when it was included.",
        "ingredient.claimSignature.validated": "The ingredient's signature is as it was when it was included.",
        "ingredient.claimSignature.mismatch": "The ingredient's signature changed since it was included.",
        "ingredient.claimSignature.missing": "The ingredient's signature is no longer there.",
        "ingredient.manifest.missing": "The ingredient's credential is no longer there.",
        "ingredient.manifest.mismatch": "The ingredient's credential changed since it was included.",
        "ingredient.hashedURI.mismatch": "Something that belongs to the ingredient changed since it was included.",
        "ingredient.unknownProvenance": "The ingredient came without a credential.",
        "ingredient.malformed": "The ingredient's entry does not follow the specification.",
        "signingCredential.trusted": "The signer's certificate leads to an entry of the trust list.",
        "signingCredential.untrusted": "The signer is not on the trust list; anyone can make such a certificate.",
        "signingCredential.invalid": "The signer's certificate does not follow the certificate profile.",
        "signingCredential.expired": "The signer's certificate had expired.",
        "signingCredential.ocsp.skipped": "Whether the certificate was revoked was not asked online.",
        "signingCredential.ocsp.revoked": "The signer's certificate was revoked before signing.",
        "signingCredential.ocsp.notRevoked": "The certificate's issuer said that it was not revoked.",
        "signingCredential.ocsp.unknown": "The certificate's issuer does not know whether it was revoked.",
        "signingCredential.ocsp.inaccessible": "The certificate's issuer could not be asked.",
        "timeStamp.validated": "The time stamp is correct.",
        "timeStamp.trusted": "The time-stamp authority is on the trust list.",
        "timeStamp.untrusted": "The time-stamp authority is not on the trust list.",
        "timeStamp.mismatch": "The time stamp belongs to other data.",
        "timeStamp.malformed": "The time stamp cannot be parsed; it was ignored.",
        "timeStamp.outsideValidity": "The time stamp lies outside its certificate's validity; it was ignored.",
        "manifest.inaccessible": "The manifest is stored elsewhere and was not fetched.",
        "manifest.multipleParents": "The manifest names more than one parent.",
        "manifest.update.invalid": "The update manifest does not follow the specification.",
        "hashedURI.mismatch": "Something the credential refers to changed since signing.",
        "hashedURI.missing": "Something the credential refers to is no longer there.",
        "algorithm.unsupported": "The credential uses an algorithm that is not supported.",
        "general.error": "The credential could not be checked.",
        "org.imprimatur.unreadable": "The file has a credential that cannot be read.",
    }
)


def explanation(code: str) -> str:
    """Plain-language meaning of a code; for one that is not listed, a sentence that says so."""
    return EXPLANATIONS.get(code, "A result that this program has no explanation for; see the code.")


def is_trust_only(code: str) -> bool:
    """True where a code says nothing about integrity. A revoked certificate is not a mere matter of trust."""
    return code in _TRUST_ONLY or (code.startswith(_TRUST_ONLY_PREFIX) and code != _REVOKED)


def is_certificate_matter(code: str) -> bool:
    """True where a code says that the certificate was expired, revoked or unfit: the signer counts for nothing then."""
    return code in _CERTIFICATE or code in _REVOCATIONS


def is_integrity_failure(code: str) -> bool:
    """Whether a code that was recorded for an ingredient names a failed integrity check.

    Old manifests list codes without saying which of them failed, so a code counts as a failure unless it is
    known not to be one.
    """
    return not (
        is_trust_only(code) or code in _CERTIFICATE or code in _NOT_FAILURES or code.endswith(_NOT_FAILURES_SUFFIXES)
    )
