from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from provenance.errors import SignerError
from provenance.signer import PemSigner, PrivateKey, Signer


def written(folder: Path, chain: str, key: object, password: bytes | None = b"secret") -> tuple[Path, Path]:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    (folder / "chain.pem").write_text(chain)
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)  # type: ignore[attr-defined]
    )
    return folder / "chain.pem", folder / "key.pem"


def test_a_pem_signer_is_a_signer(signer: PemSigner) -> None:
    assert isinstance(signer, Signer)


def test_the_private_key_never_shows(signer: PemSigner) -> None:
    assert "private_key" not in repr(signer)


def test_an_encrypted_key_opens_with_its_password(signer: PemSigner, tmp_path: Path) -> None:
    files = written(tmp_path, signer.certificate_chain_pem, signer.private_key, b"correct horse")

    assert PemSigner.load(*files, password=b"correct horse").alg == "es256"
    for password in (b"wrong", None):
        with pytest.raises(SignerError, match="cannot be read"):
            PemSigner.load(*files, password=password)


def test_a_key_in_the_clear_is_refused_outside_development(signer: PemSigner, tmp_path: Path) -> None:
    files = written(tmp_path, signer.certificate_chain_pem, signer.private_key, None)
    with pytest.raises(SignerError, match="is not encrypted; encrypt it with"):
        PemSigner.load(*files)
    assert PemSigner.load(*files, is_development=True).alg == "es256"


def test_a_key_of_another_certificate_is_refused(signer: PemSigner, tmp_path: Path) -> None:
    files = written(tmp_path, signer.certificate_chain_pem, ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(SignerError, match="does not belong to the first certificate"):
        PemSigner.load(*files, password=b"secret")


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(SignerError, match=r"absent\.pem"):
        PemSigner.load(tmp_path / "absent.pem", tmp_path / "key.pem")


def test_a_chain_that_is_no_certificate_is_refused(signer: PemSigner, tmp_path: Path) -> None:
    files = written(tmp_path, "nothing", signer.private_key)
    with pytest.raises(SignerError, match=r"not PEM X\.509"):
        PemSigner.load(*files, password=b"secret")


def test_key_types_outside_c2pa_are_refused(signer: PemSigner, tmp_path: Path) -> None:
    files = written(tmp_path, signer.certificate_chain_pem, dsa.generate_private_key(2048))
    with pytest.raises(SignerError, match="DSAPrivateKey"):
        PemSigner.load(*files, password=b"secret")


@pytest.mark.parametrize(
    ("key", "alg"),
    [
        (ec.generate_private_key(ec.SECP256R1()), "es256"),
        (ec.generate_private_key(ec.SECP384R1()), "es384"),
        (ec.generate_private_key(ec.SECP521R1()), "es512"),
        (rsa.generate_private_key(65537, 2048), "ps256"),
        (ed25519.Ed25519PrivateKey.generate(), "ed25519"),
    ],
)
def test_the_algorithm_follows_from_the_key(key: PrivateKey, alg: str) -> None:
    assert PemSigner("", key).alg == alg
    assert PemSigner("", key).sign(b"claim")


def test_weak_keys_are_refused() -> None:
    with pytest.raises(SignerError, match="not allowed by C2PA"):
        _ = PemSigner("", ec.generate_private_key(ec.SECP192R1())).alg


def test_ecdsa_signatures_are_raw_and_of_fixed_length(signer: PemSigner) -> None:
    public = x509.load_pem_x509_certificates(signer.certificate_chain_pem.encode())[0].public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    for number in range(20):
        data = bytes([number])
        signature = signer.sign(data)
        assert len(signature) == 64
        r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
        public.verify(encode_dss_signature(r, s), data, ec.ECDSA(hashes.SHA256()))
