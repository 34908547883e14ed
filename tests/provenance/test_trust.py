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
from sqlalchemy import Engine

import provenance.trust
from provenance.certificate import C2PA_CLAIM_SIGNING
from provenance.credential import sign_credential
from provenance.errors import TrustListError
from provenance.reader import read_credential
from provenance.signer import PemSigner
from provenance.tables import metadata
from provenance.trust import (
    C2PA_TIME_STAMP_LIST,
    C2PA_TRUST_LIST,
    TrustAnchor,
    TrustList,
    anchors_of,
    official_trust_list,
)
from provenance.trust.store import LOOK_EVERY_S, TrustStore
from tests.provenance.pictures import description, encoded, now, textured

FOLDER = Path(provenance.trust.__file__).parent


def test_the_official_list_loads_with_all_its_certificates() -> None:
    assert official_trust_list().anchors_pem.count("BEGIN CERTIFICATE") == 30
    assert official_trust_list().time_stamps_pem.count("BEGIN CERTIFICATE") == 22


LISTS = pytest.mark.parametrize(
    ("name", "official", "count"),
    [(C2PA_TRUST_LIST, "C2PA-TRUST-LIST.pem", 30), (C2PA_TIME_STAMP_LIST, "C2PA-TSA-TRUST-LIST.pem", 22)],
)


@LISTS
def test_the_shipped_list_is_the_official_one(shared_data: Path, name: str, official: str, count: int) -> None:
    assert (FOLDER / name).read_bytes() == (shared_data / "c2pa" / "conformance" / official).read_bytes()


@LISTS
def test_the_attribution_names_the_file_that_is_there(name: str, official: str, count: int) -> None:
    attribution = (FOLDER / "ATTRIBUTION.txt").read_text("utf-8")
    digest = hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()
    assert re.search(rf"`{re.escape(name)}` \| {count} \| `{digest}`", attribution)
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

    configured, emails_only = (
        TrustList.of(root),
        TrustList(anchors_of(root, "signer", "test"), key_purposes=("1.3.6.1.5.5.7.3.4",)),
    )

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


def test_a_list_is_the_same_again_from_its_document() -> None:
    official = official_trust_list()
    again = TrustList.from_document(official.document)
    assert again == official
    assert again.digest == official.digest
    assert (official.name, official.dated) == ("C2PA Trust List", "2026-11-22")


@pytest.mark.parametrize("document", [b"", b"{}", b"[]", b'{"format":2}', b'{"format":1,"anchors":[{}]}'])
def test_a_document_that_is_no_list_is_a_typed_error(document: bytes) -> None:
    with pytest.raises(TrustListError):
        TrustList.from_document(document)


def _anchor(signer: PemSigner, *, test_only: bool = False) -> tuple[TrustAnchor, ...]:
    return anchors_of(signer.certificate_chain_pem, "signer", "own", test_only=test_only)[1:]


def test_an_anchor_is_added_once(signer: PemSigner) -> None:
    once = official_trust_list().with_anchors(_anchor(signer))
    assert once.with_anchors(_anchor(signer)) == once
    assert len(once.anchors) == 53


def test_trust_through_a_test_anchor_is_labelled(signer: PemSigner) -> None:
    signed = sign_credential(encoded(textured(1, 64), "png"), "png", description(), signer, clock=now)
    production, testing = (
        official_trust_list().with_anchors(_anchor(signer, test_only=only)) for only in (False, True)
    )

    assert not read_credential(signed.data, "png", production).trusted_for_tests_only
    report = read_credential(signed.data, "png", testing)
    assert report.state == "trusted"
    assert report.trusted_for_tests_only
    assert report.trust is not None
    assert report.trust.digest == testing.digest


@pytest.fixture(scope="module")
def trust_engine(engine: Engine) -> Engine:
    metadata.create_all(engine)
    return engine


def test_a_change_reaches_other_processes_and_the_list_before_is_kept(trust_engine: Engine, signer: PemSigner) -> None:
    clock = {"now": 0.0}
    here, there = (
        TrustStore(trust_engine, official_trust_list(), now, monotonic=lambda: clock["now"]) for _ in range(2)
    )
    before = there.current()
    assert before == official_trust_list()

    changed = before.with_anchors(_anchor(signer))
    with trust_engine.begin() as connection:
        here.change(connection, changed)
    clock["now"] += LOOK_EVERY_S + 1

    assert here.current() == there.current() == changed
    assert here.snapshot(before.digest) == before
    with pytest.raises(TrustListError, match="No trust list"):
        here.snapshot("0" * 64)
