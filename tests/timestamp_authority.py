"""A time-stamp authority (RFC 3161) on loopback: `openssl ts` behind an HTTP server.

The authority is a real one, with a root of its own; what it stamps verifies with any RFC 3161 tool. Its answers carry
the signing certificate and no root, which who verifies has already. Tests can make it fail as authorities do.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_CONFIGURATION = """\
[tsa]
default_tsa = authority
[authority]
serial = {folder}/serial
crypto_device = builtin
signer_digest = sha256
default_policy = 1.3.6.1.4.1.99999.1.1
digests = sha256, sha384, sha512
accuracy = secs:1
ordering = no
tsa_name = yes
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""


class Fault(StrEnum):
    """How the authority fails while `TimestampAuthority.failing` is in force."""

    UNAVAILABLE = "answers 503"
    GARBAGE = "answers with bytes that are no response"
    REFUSES = "answers with a well-formed rejection"
    REPLAYS = "answers with an earlier stamp, of other bytes"
    HANGS = "does not answer until the fault ends"


class TimestampAuthority:
    """The running authority.

    `url`: where requests go. `root`: PEM file of the trust anchor. `certificate`: PEM file of the signing certificate.
    `requests`: how many were answered or failed so far.
    """

    def __init__(self, folder: Path, *, common_name: str = "Test time-stamp authority") -> None:
        self.folder = folder
        self.root = folder / "root.pem"
        self.certificate = folder / "tsa.pem"
        self.requests = 0
        self._fault: Fault | None = None
        self._fault_over = threading.Event()
        self._earlier: bytes | None = None
        self._one_at_a_time = threading.Lock()  # openssl reads and rewrites the serial file
        _make_certificates(folder, common_name)
        (folder / "serial").write_text("01\n")
        (folder / "tsa.cnf").write_text(_CONFIGURATION.format(folder=folder))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, name="time-stamp authority", daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """Address for requests, `http://127.0.0.1:PORT/`."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    @contextmanager
    def failing(self, fault: Fault) -> Iterator[None]:
        """Makes every answer in the block fail."""
        if fault is Fault.REPLAYS and self._earlier is None:
            raise ValueError("nothing was stamped yet that could be replayed")
        self._fault = fault
        self._fault_over.clear()
        try:
            yield
        finally:
            self._fault = None
            self._fault_over.set()

    def stamp(self, request: bytes) -> bytes:
        """The DER response to a DER request, as the server gives it."""
        with self._one_at_a_time:
            query, reply = self.folder / "request.tsq", self.folder / "reply.tsr"
            query.write_bytes(request)
            done = subprocess.run(
                ["openssl", "ts", "-reply", "-config", "tsa.cnf", "-queryfile", query, "-signer", "tsa.pem",
                 "-inkey", "tsa.key", "-out", reply],
                cwd=self.folder, capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            if done.returncode != 0:
                raise RuntimeError(f"openssl ts failed: {done.stderr}")
            return reply.read_bytes()

    def answer(self, request: bytes) -> tuple[int, bytes]:
        """HTTP status and body for a request, with the fault that is in force."""
        self.requests += 1
        match self._fault:
            case Fault.UNAVAILABLE:
                return 503, b"the authority is away"
            case Fault.GARBAGE:
                return 200, b"no DER at all"
            case Fault.REFUSES:
                return 200, self.stamp(b"not a request")
            case Fault.REPLAYS:
                assert self._earlier is not None
                return 200, self._earlier
            case Fault.HANGS:
                self._fault_over.wait(60)
                return 503, b"too late"
            case None:
                self._earlier = self.stamp(request)
                return 200, self._earlier

    def close(self) -> None:
        """Stops the server."""
        self._fault_over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def is_available() -> bool:
    """Whether the machine has `openssl`."""
    return shutil.which("openssl") is not None


def _handler(authority: TimestampAuthority) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Content-Type") != "application/timestamp-query":
                status, body = 415, b"expected application/timestamp-query"
            else:
                status, body = authority.answer(request)
            self.send_response(status)
            self.send_header("Content-Type", "application/timestamp-reply" if status == 200 else "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


def _make_certificates(folder: Path, common_name: str) -> None:
    """A root, and a leaf as RFC 3161 section 2.3 asks: critical extended key usage, time stamping alone."""
    now = datetime.now(UTC)
    root_key, leaf_key = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
    root_name, leaf_name = _name(f"{common_name} root"), _name(common_name)

    def certificate(name: x509.Name, key: rsa.RSAPrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(root_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=3650))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False
            )
        )  # fmt: skip

    root = (
        certificate(root_name, root_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    leaf = (
        certificate(leaf_name, leaf_key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "root.pem").write_bytes(root.public_bytes(pem))
    (folder / "tsa.pem").write_bytes(leaf.public_bytes(pem))
    (folder / "tsa.key").write_bytes(
        leaf_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Imprimatur tests"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=not signs_certificates,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
