"""One made report a test module, on a log of its own, and who signs its document."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy import Engine, create_engine, make_url, text

from audit import AuditLog, LedgerKey, ObjectStore, Vault
from audit.reports.signing import DocumentSigner
from audit.stamping import Stamper, StampTrust
from audit.tables import metadata
from tests.audit.conftest import ORIGIN, SERVICE
from tests.audit.reports.made import Made, make_report
from tests.timestamp_authority import TimestampAuthority


@pytest.fixture(scope="module")
def made_log(owner: Engine, database_url: str) -> Iterator[tuple[AuditLog, Engine]]:
    """An empty log and the engine of the service's role."""
    with owner.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        names = ", ".join(table.name for table in metadata.sorted_tables)
        connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))
    engine = create_engine(make_url(database_url).set(username=SERVICE))
    yield AuditLog(engine, LedgerKey.generate(ORIGIN), lambda: datetime.now(UTC)), engine
    engine.dispose()


@pytest.fixture(scope="module")
def made(
    made_log: tuple[AuditLog, Engine],
    timestamp_authority: TimestampAuthority,
    tmp_path_factory: pytest.TempPathFactory,
) -> Made:
    """A report of two releases, the first within a stamped checkpoint, and a refusal."""
    log, engine = made_log
    folder = tmp_path_factory.mktemp("made")
    vault = Vault(engine, folder / "keys", lambda: datetime.now(UTC))
    objects = ObjectStore(str(folder / "objects"), vault)
    stamper = Stamper(engine, timestamp_authority.url, StampTrust.load(timestamp_authority.root))
    return make_report(log, engine, vault, objects, folder / "staging", stamper)


@pytest.fixture(scope="session")
def signer(tmp_path_factory: pytest.TempPathFactory) -> DocumentSigner:
    """A certificate that only this test session knows."""
    folder = tmp_path_factory.mktemp("signer")
    write_certificate(folder)
    return DocumentSigner.load(folder / "certificate.pem", folder / "key.pem")


def write_certificate(folder: Path, password: bytes | None = None) -> None:
    """A self-signed certificate and its key as PEM files."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Records custodian of Example")])
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=True, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, encryption))
