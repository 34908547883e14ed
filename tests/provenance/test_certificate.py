from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from provenance.certificate import C2PA_CLAIM_SIGNING, require_profile
from provenance.errors import CertificateProfileError
from tests.provenance.pictures import NOW

KEY, ISSUER_KEY = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
Extensions = dict[str, tuple[x509.ExtensionType, bool]]


def key_usage(*, digital_signature: bool = True, key_cert_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(digital_signature, False, False, False, False, key_cert_sign, False, False, False)


def good_extensions() -> Extensions:
    return {
        "basic": (x509.BasicConstraints(ca=False, path_length=None), True),
        "usage": (key_usage(), True),
        "purpose": (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False),
        "subject": (x509.SubjectKeyIdentifier.from_public_key(KEY.public_key()), False),
        "authority": (x509.AuthorityKeyIdentifier.from_issuer_public_key(ISSUER_KEY.public_key()), False),
    }


def name(**parts: str) -> x509.Name:
    oids = {"o": NameOID.ORGANIZATION_NAME, "cn": NameOID.COMMON_NAME}
    return x509.Name([x509.NameAttribute(oids[key], value) for key, value in parts.items()])


def certificate(
    extensions: Extensions,
    subject: x509.Name | None = None,
    issuer: x509.Name | None = None,
    days: tuple[int, int] = (-1, 100),
    key: ec.EllipticCurvePrivateKey = KEY,
) -> str:
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(o="Example", cn="Signer") if subject is None else subject)
        .issuer_name(name(o="Example", cn="Issuer") if issuer is None else issuer)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(NOW + timedelta(days=days[0]))
        .not_valid_after(NOW + timedelta(days=days[1]))
    )
    for extension, critical in extensions.values():
        builder = builder.add_extension(extension, critical)
    return builder.sign(ISSUER_KEY, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def issuer_certificate(days: tuple[int, int] = (-1, 100)) -> str:
    extensions: Extensions = {"basic": (x509.BasicConstraints(ca=True, path_length=0), True)}
    return certificate(extensions, name(o="Example", cn="Issuer"), days=days, key=ISSUER_KEY)


def changed(**changes: tuple[x509.ExtensionType, bool] | None) -> Extensions:
    merged = good_extensions() | {key: value for key, value in changes.items() if value is not None}
    return {key: value for key, value in merged.items() if changes.get(key, ()) is not None}


def test_a_certificate_of_the_profile_passes() -> None:
    require_profile(certificate(good_extensions()) + issuer_certificate(), NOW)


def test_the_purpose_of_the_official_trust_list_passes() -> None:
    require_profile(certificate(changed(purpose=(x509.ExtendedKeyUsage([C2PA_CLAIM_SIGNING]), False))), NOW)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: certificate(good_extensions(), days=(-20, -1)), "but it is 2026-11-22"),
        (lambda: certificate(good_extensions(), days=(1, 20)), "but it is 2026-11-22"),
        (lambda: certificate(good_extensions(), name(cn="Signer")), "subject has no O"),
        (lambda: certificate(good_extensions(), name(o="Example")), "subject has no CN"),
        (lambda: certificate(changed(usage=None)), "key usage is absent"),
        (lambda: certificate(changed(usage=(key_usage(), False))), "not critical"),
        (lambda: certificate(changed(usage=(key_usage(digital_signature=False), True))), "must assert digitalSig"),
        (lambda: certificate(changed(usage=(key_usage(key_cert_sign=True), True))), "not keyCertSign"),
        (lambda: certificate(changed(purpose=None)), "extended key usage is absent"),
        (
            lambda: certificate(changed(purpose=(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False))),
            "neither emailProtection",
        ),
        (
            lambda: certificate(
                changed(
                    purpose=(
                        x509.ExtendedKeyUsage(
                            [ExtendedKeyUsageOID.EMAIL_PROTECTION, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]
                        ),
                        False,
                    )
                )
            ),
            "anyExtendedKeyUsage",
        ),
        (
            lambda: certificate(
                changed(
                    purpose=(
                        x509.ExtendedKeyUsage(
                            [ExtendedKeyUsageOID.EMAIL_PROTECTION, ExtendedKeyUsageOID.TIME_STAMPING]
                        ),
                        False,
                    )
                )
            ),
            "mixes in time stamping",
        ),
        (lambda: certificate(changed(basic=(x509.BasicConstraints(True, None), True))), "certificate authority"),
        (lambda: certificate(changed(authority=None)), "authority key identifier"),
        (lambda: certificate(changed(subject=None)), "subject key identifier"),
        (
            lambda: certificate(good_extensions(), issuer=name(o="Example", cn="Signer")),
            "self-signed",
        ),
        (lambda: certificate(good_extensions()) + certificate(good_extensions()), "did not issue"),
        (lambda: certificate(good_extensions()) + issuer_certificate((-20, -1)), "outside its validity"),
        (lambda: "no certificate", "not PEM"),
    ],
)
def test_every_breach_is_named_with_its_section(make: Callable[[], str], problem: str) -> None:
    with pytest.raises(CertificateProfileError) as caught:
        require_profile(make(), NOW)
    assert problem in str(caught.value)
    assert all("C2PA" in entry or "PEM" in entry for entry in caught.value.problems)


def test_all_breaches_are_listed_at_once() -> None:
    with pytest.raises(CertificateProfileError) as caught:
        require_profile(certificate({}, name(cn="Signer")), NOW)
    assert len(caught.value.problems) >= 4


def test_a_chain_with_a_key_outside_c2pa_is_refused() -> None:
    key = dsa.generate_private_key(2048)
    weak = (
        x509.CertificateBuilder()
        .subject_name(name(o="Example", cn="Issuer"))
        .issuer_name(name(o="Example", cn="Issuer"))
        .public_key(key.public_key())
        .serial_number(9)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=9))
        .sign(key, hashes.SHA256())
    )
    with pytest.raises(CertificateProfileError, match="a key that C2PA does not allow"):
        require_profile(certificate(good_extensions()) + weak.public_bytes(Encoding.PEM).decode(), NOW)
