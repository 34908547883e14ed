"""A certificate authority and signing certificate for development, made on first use.

Nobody vouches for these certificates: no validator trusts them, and their names say so. They exist so
that a fresh machine signs for real; production brings its own `Signer`.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from provenance.errors import SignerError
from provenance.signer import PemSigner

CHAIN_FILE = "chain.pem"
KEY_FILE = "leaf-key.pem"
ROOT_FILE = "root.pem"
WARNING = "not for production"
ROOT_VALIDITY = timedelta(days=3650)
LEAF_VALIDITY = timedelta(days=365)
RENEW_BEFORE_EXPIRY = timedelta(days=30)
CLOCK_SKEW = timedelta(minutes=5)


def development_signer(folder: Path, clock: Callable[[], datetime]) -> PemSigner:
    """The development signer whose files are in `folder`; makes them where they are absent or about to expire.

    Safe when several processes start at once: the files are written to a folder of their own that is
    renamed into place, and whoever comes second uses the winner's. Files have mode 0600. Raises `SignerError`.
    """
    current = folder / "development"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if current.is_dir() and _expires(current) - clock() < RENEW_BEFORE_EXPIRY:
            _retire(current)
        if not current.is_dir():
            _create(current, clock())
    except OSError as error:
        raise SignerError(
            f"The development certificates cannot be written to {folder} ({error}); "
            "make the folder writable or configure a signer of your own."
        ) from error
    return PemSigner.load(current / CHAIN_FILE, current / KEY_FILE, is_development=True)


def development_root_pem(folder: Path) -> str:
    """The development root's PEM, to trust it explicitly on a test machine."""
    return (folder / "development" / ROOT_FILE).read_text("ascii")


def _expires(current: Path) -> datetime:
    try:
        leaf = x509.load_pem_x509_certificates((current / CHAIN_FILE).read_bytes())[0]
    except ValueError as error:
        raise SignerError(
            f"{current / CHAIN_FILE} is not a PEM certificate ({error}); remove {current} to make new "
            "development certificates."
        ) from error
    return leaf.not_valid_after_utc


def _retire(current: Path) -> None:
    try:
        current.rename(current.with_name(f"retired-{secrets.token_hex(4)}"))
    except FileNotFoundError:  # another process retired it first
        return


def _create(current: Path, now: datetime) -> None:
    staging = current.with_name(f".new-{secrets.token_hex(8)}")
    staging.mkdir(mode=0o700)
    try:
        for name, content in _certificates(now).items():
            _write_private(staging / name, content)
        try:
            staging.rename(current)
        except OSError:
            if not current.is_dir():
                raise
            # Another process was first; its certificates are as good.
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _write_private(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _certificates(now: datetime) -> dict[str, bytes]:
    root_key, leaf_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_name = _name(f"Imprimatur development root ({WARNING})")
    root = (
        _certificate(root_name, root_name, root_key, root_key, now, ROOT_VALIDITY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    leaf = (
        _certificate(
            _name(f"Imprimatur development signer ({WARNING})"), root_name, leaf_key, root_key, now, LEAF_VALIDITY
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    return {
        CHAIN_FILE: leaf.public_bytes(pem) + root.public_bytes(pem),
        ROOT_FILE: root.public_bytes(pem),
        # The root's key is not kept: it can never sign anything else.
        KEY_FILE: leaf_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    }


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    now: datetime,
    validity: timedelta,
) -> x509.CertificateBuilder:
    """X.509 v3 with the key identifiers that C2PA 2.4 §14.5.1 asks for."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + validity)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "ZZ"),  # ISO 3166: user-assigned, no country
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, f"Imprimatur development ({WARNING})"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _key_usage(*, digital_signature: bool = False, key_cert_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=key_cert_sign,
        encipher_only=False,
        decipher_only=False,
    )
