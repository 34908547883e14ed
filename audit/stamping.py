"""Time stamps (RFC 3161) on checkpoints: a third party's word that the ledger stood there at that time.

What is stamped is the whole signed note of a checkpoint, as `/ledger/checkpoint` serves it. The authority's response
is kept as it came, so that any RFC 3161 tool can verify it offline, with the authority's root had out of band.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, select
from sqlalchemy.dialects.postgresql import insert as insert_or_ignore

from audit.database import database_errors
from audit.errors import KeyFileError, StampInvalidError, StampUnavailableError
from audit.ledger import checkpoint as checkpoints
from audit.ledger.checkpoint import Checkpoint
from audit.ledger.keys import LedgerPublicKey
from audit.tables import ledger_checkpoints, ledger_stamps

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

TIMEOUT_SECONDS = 10.0
MAX_RESPONSE_BYTES = 65_536
_GRANTED = 0  # PKIStatus, RFC 3161 section 2.4.2


@dataclass(frozen=True)
class Stamp:
    """A verified stamp.

    Args:
        checkpoint: what was stamped.
        time: by the authority's clock, UTC, whole seconds or finer as the authority gives it.
        authority: subject of the signing certificate (RFC 4514).
        response: the authority's response, DER.
    """

    checkpoint: Checkpoint
    time: datetime
    authority: str
    response: bytes


class StampTrust:
    """The authorities whose stamps are believed, by their root certificates.

    Whether a certificate was revoked is not looked up.
    """

    def __init__(self, roots: Sequence[Certificate]) -> None:
        self._roots = tuple(roots)

    @classmethod
    def load(cls, path: Path) -> StampTrust:
        """Reads root certificates from a PEM file.

        Raises:
            KeyFileError: it cannot be read, or holds none.
        """
        from cryptography import x509

        try:
            return cls(x509.load_pem_x509_certificates(path.read_bytes()))
        except (OSError, ValueError) as error:
            raise KeyFileError(f"{path} gives no certificates of time-stamp authorities: {error}") from error

    def verify(self, response: bytes, checkpoint: Checkpoint, nonce: int | None = None) -> Stamp:
        """The stamp that `response` puts on `checkpoint`.

        Args:
            nonce: of the request, where there is one to compare with.

        Raises:
            StampInvalidError: it is malformed, of other bytes, or not by an authority under the roots.
        """
        from rfc3161_client import VerificationError, VerifierBuilder

        decoded = _decode(response)
        builder = VerifierBuilder(roots=list(self._roots), nonce=nonce)
        try:
            builder.build().verify_message(decoded, checkpoint.note.encode())
            authority = _authority(decoded)
        except (VerificationError, ValueError) as error:
            raise StampInvalidError(
                f"the time stamp on checkpoint {checkpoint.size} does not hold: {error}; "
                "check the roots of the authority that you trust"
            ) from error
        return Stamp(checkpoint, decoded.tst_info.gen_time.astimezone(UTC), authority, response)


class Stamper:
    """Has checkpoints stamped and keeps the stamps. For any number of threads and processes at once.

    Args:
        engine: of the service role.
        url: of the authority, http or https (the response is signed; the transport need not be).
        trust: a stamp that does not verify is not kept.
    """

    def __init__(self, engine: Engine, url: str, trust: StampTrust, timeout_s: float = TIMEOUT_SECONDS) -> None:
        if not url.startswith(("http://", "https://")):
            raise StampUnavailableError(f"{url[:200]!r} is no address of a time-stamp authority; expected http(s)://")
        self._engine = engine
        self._url = url
        self._trust = trust
        self._timeout_s = timeout_s

    def stamp(self, checkpoint: Checkpoint) -> Stamp:
        """Has a stored checkpoint stamped and keeps the stamp.

        Raises:
            StampUnavailableError: the authority did not answer, or refused.
            StampInvalidError: its answer does not verify.
            AuditUnavailableError: the database is away.
        """
        from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

        builder = TimestampRequestBuilder().data(checkpoint.note.encode()).hash_algorithm(HashAlgorithm.SHA256)
        request = builder.build()
        stamp = self._trust.verify(self._post(request.as_bytes()), checkpoint, request.nonce)
        with database_errors("keep a time stamp"), self._engine.begin() as connection:
            connection.execute(
                insert_or_ignore(ledger_stamps)
                .values(
                    size=checkpoint.size, authority=stamp.authority, time=stamp.time, response=stamp.response
                )
                .on_conflict_do_nothing()
            )  # fmt: skip
        return stamp

    def _post(self, body: bytes) -> bytes:
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked
            self._url, data=body, headers={"Content-Type": "application/timestamp-query"}, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as answer:  # noqa: S310
                content: bytes = answer.read(MAX_RESPONSE_BYTES + 1)
        except (urllib.error.URLError, OSError, ValueError) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it holds the connection
            raise StampUnavailableError(
                f"the time-stamp authority {self._url} did not stamp: {error}; the checkpoint can be stamped later"
            ) from error
        if len(content) > MAX_RESPONSE_BYTES:
            raise StampInvalidError(f"the time-stamp authority {self._url} answered with too many bytes")
        status = _decode(content).status
        if status != _GRANTED:
            raise StampUnavailableError(f"the time-stamp authority {self._url} refused to stamp (status {status})")
        return content


def stored_stamps(
    engine: Engine, public_key: LedgerPublicKey, *, size: int | None = None, limit: int = 100
) -> list[tuple[Checkpoint, bytes]]:
    """Stamped checkpoints with their stamps' responses, newest first; verify with `StampTrust.verify`.

    Args:
        engine: of a role with SELECT.
        size: only of the checkpoint of that size.

    Raises:
        CheckpointError: a stored note is not signed by the log's key.
    """
    query = (
        select(ledger_checkpoints.c.note, ledger_stamps.c.response)
        .join_from(ledger_stamps, ledger_checkpoints, ledger_stamps.c.size == ledger_checkpoints.c.size)
        .order_by(ledger_stamps.c.size.desc(), ledger_stamps.c.authority)
        .limit(limit)
    )
    if size is not None:
        query = query.where(ledger_stamps.c.size == size)
    with database_errors("read time stamps"), engine.connect() as connection:
        rows = connection.execute(query).all()
    return [(checkpoints.verify(note, public_key), bytes(response)) for note, response in rows]


def _decode(response: bytes) -> Any:
    from rfc3161_client import decode_timestamp_response

    try:
        return decode_timestamp_response(response)
    except ValueError as error:
        raise StampInvalidError(f"the answer is no RFC 3161 response: {error}") from error


def _authority(decoded: Any) -> str:
    """Subject of the certificate that signed, found as the verifier found it."""
    from cryptography import x509

    (signer,) = decoded.signed_data.signer_infos
    for data in decoded.signed_data.certificates:
        certificate = x509.load_der_x509_certificate(data)
        if (certificate.issuer, certificate.serial_number) == (signer.issuer, signer.serial_number):
            return certificate.subject.rfc4514_string()
    raise ValueError("the signing certificate is not in the response")
