"""Signing with a PKCS #11 token; SoftHSM (Debian: softhsm2) is the token."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from provenance.credential import sign_credential
from provenance.errors import SignerError
from provenance.pkcs11_signer import Pkcs11Signer
from provenance.signer import PemSigner, PrivateKey, Signer
from tests.provenance.pictures import description, encoded, now, textured

MODULES = (
    Path("/usr/lib/softhsm/libsofthsm2.so"),
    Path("/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"),
    Path("/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so"),
)
PIN = "1234"
TOKEN = "imprimatur-tests"

pytest.importorskip("pkcs11", reason="needs the package python-pkcs11")
if shutil.which("softhsm2-util") is None or not any(path.exists() for path in MODULES):
    pytest.skip("needs SoftHSM (Debian: softhsm2)", allow_module_level=True)
MODULE = next(path for path in MODULES if path.exists())


def _utility(*arguments: str | Path) -> None:
    subprocess.run(["softhsm2-util", "--module", MODULE, *arguments], check=True, capture_output=True, timeout=60)


def _import(folder: Path, key: PrivateKey, number: int) -> None:
    """Put a key into the token, as number (its CKA_ID)."""
    path = folder / f"{number}.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    _utility("--import", path, "--token", TOKEN, "--pin", PIN, "--label", f"key-{number}", "--id", f"{number:02x}")
    path.unlink()


def _chain(folder: Path, name: str, key: PrivateKey) -> Path:
    """A certificate chain for a key, from a root made here; the profile is the C2PA one."""
    from provenance.development_ca import LEAF_VALIDITY, _certificate, _key_usage, _name

    root_key = ec.generate_private_key(ec.SECP256R1())
    root_name = _name("PKCS 11 test root")
    root = (
        _certificate(root_name, root_name, root_key, root_key, now(), LEAF_VALIDITY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    leaf = (
        _certificate(_name("PKCS 11 test signer"), root_name, key, root_key, now(), LEAF_VALIDITY)  # type: ignore[arg-type]  # any key
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(b"".join(one.public_bytes(serialization.Encoding.PEM) for one in (leaf, root)))
    return path


@pytest.fixture(scope="module")
def chains(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """A token with an EC P-256, an EC P-384 and an RSA key; the chain of each, by algorithm."""
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(
        f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = str(folder / "softhsm2.conf")  # read when the module is loaded
    _utility("--init-token", "--free", "--label", TOKEN, "--so-pin", "0000", "--pin", PIN)
    keys: dict[str, PrivateKey] = {
        "es256": ec.generate_private_key(ec.SECP256R1()),
        "es384": ec.generate_private_key(ec.SECP384R1()),
        "ps256": rsa.generate_private_key(65537, 2048),
    }
    for number, key in enumerate(keys.values(), 1):
        _import(folder, key, number)
    yield {alg: _chain(folder, alg, key) for alg, key in keys.items()}
    if before is None:
        del os.environ["SOFTHSM2_CONF"]
    else:
        os.environ["SOFTHSM2_CONF"] = before


@pytest.mark.parametrize("alg", ["es256", "es384", "ps256"])
def test_a_key_in_the_token_signs_credentials_that_validate(chains: dict[str, Path], alg: str) -> None:
    signer = Pkcs11Signer(MODULE, TOKEN, PIN, chains[alg])

    assert isinstance(signer, Signer)
    assert signer.alg == alg
    signed = sign_credential(encoded(textured(1, 64), "png"), "png", description(), signer, clock=now)
    assert signed.report.state == "valid"
    signer.close()


def test_the_key_is_found_by_its_certificate_and_its_label(chains: dict[str, Path]) -> None:
    Pkcs11Signer(MODULE, TOKEN, PIN, chains["es256"], key_label="key-1").close()
    with pytest.raises(SignerError, match=r"1 private keys .* labelled 'key-2', but none belongs"):
        Pkcs11Signer(MODULE, TOKEN, PIN, chains["es256"], key_label="key-2")


def test_a_chain_of_another_key_is_refused(chains: dict[str, Path], signer: PemSigner, tmp_path: Path) -> None:
    (tmp_path / "chain.pem").write_text(signer.certificate_chain_pem)
    with pytest.raises(SignerError, match="none belongs to the first certificate"):
        Pkcs11Signer(MODULE, TOKEN, PIN, tmp_path / "chain.pem")


@pytest.mark.parametrize(
    ("module", "token", "pin"),
    [(MODULE, "other", PIN), (MODULE, TOKEN, "9999"), (Path("/nonexistent.so"), TOKEN, PIN)],
    ids=["token", "pin", "module"],
)
def test_what_cannot_be_opened_is_named_with_its_cause(
    chains: dict[str, Path], module: Path, token: str, pin: str
) -> None:
    with pytest.raises(SignerError, match="check module, label and PIN") as caught:
        Pkcs11Signer(module, token, pin, chains["es256"])
    assert caught.value.__cause__ is not None


def test_a_session_that_the_token_closed_is_opened_again(chains: dict[str, Path]) -> None:
    signer = Pkcs11Signer(MODULE, TOKEN, PIN, chains["es256"])
    assert signer._session is not None
    signer._session.close()
    assert len(signer.sign(b"claim")) == 64
    signer.close()


def test_threads_share_one_token(chains: dict[str, Path]) -> None:
    signer = Pkcs11Signer(MODULE, TOKEN, PIN, chains["es256"])
    with ThreadPoolExecutor(4) as pool:
        assert {len(signature) for signature in pool.map(signer.sign, [bytes([n]) for n in range(24)])} == {64}
    signer.close()


def test_neither_pin_nor_key_shows(chains: dict[str, Path]) -> None:
    signer = Pkcs11Signer(MODULE, TOKEN, PIN, chains["es256"])
    assert PIN not in repr(signer)
    signer.close()
