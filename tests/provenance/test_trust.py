from __future__ import annotations

import hashlib
import re
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

import provenance.trust
from provenance.certificate import C2PA_CLAIM_SIGNING
from provenance.credential import sign_credential
from provenance.errors import TrustListError
from provenance.reader import read_credential
from provenance.signer import PemSigner
from provenance.trust import C2PA_TRUST_LIST, TrustList, official_trust_list
from tests.provenance.pictures import description, encoded, now, textured

FOLDER = Path(provenance.trust.__file__).parent


def test_the_official_list_loads_with_all_its_certificates() -> None:
    assert official_trust_list().anchors_pem.count("BEGIN CERTIFICATE") == 30


def test_the_shipped_list_is_the_official_one(shared_data: Path) -> None:
    official = shared_data / "c2pa" / "conformance" / "C2PA-TRUST-LIST.pem"
    assert (FOLDER / C2PA_TRUST_LIST).read_bytes() == official.read_bytes()


def test_the_attribution_names_the_file_that_is_there() -> None:
    attribution = (FOLDER / "ATTRIBUTION.txt").read_text("utf-8")
    digest = hashlib.sha256((FOLDER / C2PA_TRUST_LIST).read_bytes()).hexdigest()
    assert re.search(rf"`{re.escape(C2PA_TRUST_LIST)}` \| 30 \| `{digest}`", attribution)
    assert "CC BY 4.0" in attribution


def test_the_purpose_of_the_official_list_is_accepted() -> None:
    assert "1.3.6.1.4.1.62558.2.1" in official_trust_list().key_purposes
    assert "1.3.6.1.5.5.7.3.4" in official_trust_list().key_purposes


def test_a_trust_list_of_others_does_not_trust_us(signer: PemSigner, development_trust: TrustList) -> None:
    signed = sign_credential(encoded(textured(1, 64), "png"), "png", description(), signer, clock=now)
    states = [read_credential(signed.data, "png", trust).state for trust in (official_trust_list(), development_trust)]
    assert states == ["valid", "trusted"]


def test_a_signer_with_the_purpose_of_the_official_list_is_trusted_through_our_configuration() -> None:
    """The SDK's default knows only emailProtection; this also shows that our settings reach it (a misspelled one
    would be accepted without a word)."""
    root, signer = _claim_signer()
    signed = sign_credential(encoded(textured(1, 64), "png"), "png", description(), signer, clock=now)

    configured, emails_only = TrustList.of(root), TrustList(root, key_purposes=("1.3.6.1.5.5.7.3.4",))

    assert read_credential(signed.data, "png", configured).state == "trusted"
    assert read_credential(signed.data, "png", emails_only).state != "trusted"


def _claim_signer() -> tuple[str, PemSigner]:
    """A root, and a signer below it whose certificate names the C2PA claim-signing purpose only."""
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = _certificate("Root", "Root", root_key, root_key, ca=True)
    leaf = _certificate("Leaf", "Root", key, root_key, ca=False)
    return root, PemSigner(leaf + root, key)


def _certificate(
    subject: str, issuer: str, key: ec.EllipticCurvePrivateKey, issuer_key: ec.EllipticCurvePrivateKey, *, ca: bool
) -> str:
    def name(common_name: str) -> x509.Name:
        parts = ((NameOID.ORGANIZATION_NAME, "Example"), (NameOID.COMMON_NAME, common_name))
        return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])

    usage = x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - timedelta(days=1))
        .not_valid_after(now() + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if not ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage([C2PA_CLAIM_SIGNING]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


@pytest.mark.parametrize("content", [b"", b"no certificate", b"\xff\xfe"])
def test_what_is_no_list_is_a_typed_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "list.pem").write_bytes(content)
    with pytest.raises(TrustListError, match=r"list\.pem"):
        TrustList.load(tmp_path / "list.pem")


def test_a_missing_list_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(TrustListError, match="cannot be read"):
        TrustList.load(tmp_path / "absent.pem")
