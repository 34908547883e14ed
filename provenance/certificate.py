"""The C2PA certificate profile (C2PA 2.4 §14.5.1), checked before anything is signed with a certificate."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from provenance.errors import CertificateProfileError

C2PA_CLAIM_SIGNING: Final = x509.ObjectIdentifier("1.3.6.1.4.1.62558.2.1")
ExtensionT = TypeVar("ExtensionT", bound=x509.ExtensionType)

ALLOWED_PURPOSES: Final = frozenset({ExtendedKeyUsageOID.EMAIL_PROTECTION, C2PA_CLAIM_SIGNING})
FORBIDDEN_PURPOSES: Final = frozenset({ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE})
_EXCLUSIVE_PURPOSES: Final = frozenset({ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.OCSP_SIGNING})


def earliest_expiry(chain_pem: str) -> datetime:
    """When the first certificate of a PEM chain ends."""
    return min(one.not_valid_after_utc for one in x509.load_pem_x509_certificates(chain_pem.encode("ascii")))


def leaf_digest(chain_pem: str) -> str:
    """SHA-256 of the signing certificate, hexadecimal."""
    return x509.load_pem_x509_certificate(chain_pem.encode("ascii")).fingerprint(hashes.SHA256()).hex()


def require_profile(chain_pem: str, now: datetime) -> None:
    """Raise `CertificateProfileError`, naming every breach, unless the leaf may sign a claim at `now`."""
    try:
        chain = x509.load_pem_x509_certificates(chain_pem.encode("ascii", "replace"))
    except ValueError as error:
        raise CertificateProfileError((f"the chain is not PEM X.509 ({error})",)) from error
    problems = [f"leaf: {problem} (C2PA §14.5.1)" for problem in _leaf_problems(chain[0], now)]
    problems += [f"chain: {problem} (C2PA §14.5)" for problem in _chain_problems(chain, now)]
    if problems:
        raise CertificateProfileError(tuple(problems))


def _leaf_problems(leaf: x509.Certificate, now: datetime) -> list[str]:
    problems = []
    if leaf.version is not x509.Version.v3:
        problems.append("not X.509 version 3")
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        problems.append(
            f"valid from {leaf.not_valid_before_utc:%Y-%m-%d} to {leaf.not_valid_after_utc:%Y-%m-%d}, "
            f"but it is {now:%Y-%m-%d}"
        )
    problems += [
        f"subject has no {name}"
        for oid, name in ((NameOID.ORGANIZATION_NAME, "O"), (NameOID.COMMON_NAME, "CN"))
        if not leaf.subject.get_attributes_for_oid(oid)
    ]
    extensions = _extensions(leaf)
    if extensions is None:
        return [*problems, "its extensions cannot be parsed"]
    return problems + _extension_problems(extensions, self_signed=leaf.issuer == leaf.subject)


def _extensions(certificate: x509.Certificate) -> x509.Extensions | None:
    try:
        return certificate.extensions
    except (ValueError, x509.DuplicateExtension):
        return None


def _extension_problems(extensions: x509.Extensions, *, self_signed: bool) -> list[str]:
    problems = []
    key_usage = _find(extensions, x509.KeyUsage)
    if key_usage is None or not key_usage.critical:
        problems.append("key usage is absent or not critical")
    elif not key_usage.value.digital_signature or key_usage.value.key_cert_sign:
        problems.append("key usage must assert digitalSignature and not keyCertSign")
    purposes = _find(extensions, x509.ExtendedKeyUsage)
    if purposes is None:
        problems.append("extended key usage is absent")
    else:
        present = set(purposes.value)
        if present & FORBIDDEN_PURPOSES:
            problems.append("extended key usage must not be anyExtendedKeyUsage")
        if not present & ALLOWED_PURPOSES:
            problems.append(
                "extended key usage names neither emailProtection nor "
                f"c2pa-kp-claimSigning ({C2PA_CLAIM_SIGNING.dotted_string})"
            )
        if present & _EXCLUSIVE_PURPOSES:
            problems.append("extended key usage mixes in time stamping or OCSP signing")
    basic = _find(extensions, x509.BasicConstraints)
    if basic is not None and basic.value.ca:
        problems.append("it is a certificate authority")
    if _find(extensions, x509.AuthorityKeyIdentifier) is None and not self_signed:
        problems.append("authority key identifier is absent")
    if self_signed:
        problems.append("it is self-signed")
    if _find(extensions, x509.SubjectKeyIdentifier) is None:
        problems.append("subject key identifier is absent")
    return problems


def _find(extensions: x509.Extensions, kind: type[ExtensionT]) -> x509.Extension[ExtensionT] | None:
    try:
        return extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None


def _chain_problems(chain: list[x509.Certificate], now: datetime) -> list[str]:
    problems = []
    for index, (certificate, issuer) in enumerate(pairwise(chain)):
        try:
            certificate.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            problems.append(f"certificate {index + 1} did not issue certificate {index}; order is leaf first")
        if not issuer.not_valid_before_utc <= now <= issuer.not_valid_after_utc:
            problems.append(f"certificate {index + 1} is outside its validity")
    problems += [
        f"certificate {index} has a key that C2PA does not allow"
        for index, certificate in enumerate(chain)
        if not isinstance(
            certificate.public_key(),
            ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey,
        )
    ]
    return problems
