"""The time-stamp authority (RFC 3161) that a credential's signature is stamped by, and what to do when it is away."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Final, TypeVar

from provenance.errors import SigningFailedError, TimeStampError

Signed = TypeVar("Signed")

TIMEOUT_S: Final = 5.0  # an authority answers within a second; the SDK alone would wait for 30
RETRY_AFTER_S: Final = 60.0
MAX_WAITING: Final = 4  # signing threads that may hang on the authority at once


class TimeStampAuthority:
    """One authority, and whether it is worth asking just now. Thread-safe.

    After a failure it is not asked again for `retry_after_s` seconds, so that an authority that hangs does not slow
    every image down. With `required`, whoever signs fails instead of signing without a stamp. With `trust_pem`, the
    authority's certificate must lead to one of the anchors that it gives, which is checked on first contact and
    whenever the anchors have changed.
    """

    def __init__(
        self,
        url: str,
        *,
        required: bool = False,
        trust_pem: Callable[[], str] | None = None,
        timeout_s: float = TIMEOUT_S,
        retry_after_s: float = RETRY_AFTER_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url
        self.required = required
        self._trust_pem = trust_pem
        self._timeout_s = timeout_s
        self._retry_after_s = retry_after_s
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._away_until = float("-inf")
        self._problem = ""
        self._trusted_under: str | None = None
        self._waiting = threading.BoundedSemaphore(MAX_WAITING)

    @property
    def problem(self) -> str | None:
        """Why it is not being asked just now; None while it is."""
        with self._lock:
            return self._problem if self._monotonic() < self._away_until else None

    def stamped(self, sign: Callable[[str], Signed]) -> Signed:
        """The outcome of `sign(url)`, which must contact the authority.

        Raises:
            TimeStampError: the authority is away, slow, wrong, or not on the trust list.
            SignerError: the key itself failed.
        """
        if (problem := self.problem) is not None:
            raise TimeStampError(problem)
        self._require_trusted()
        try:
            return self._within_time(sign)
        except SigningFailedError as error:
            raise self._failed(f"did not stamp ({error})") from error

    def _within_time(self, sign: Callable[[str], Signed]) -> Signed:
        """Run in a thread of its own that is left behind when the authority hangs; bounded in number."""
        if not self._waiting.acquire(blocking=False):
            raise self._failed("is slow, and enough requests wait for it")
        outcome: Future[Signed] = Future()

        def run() -> None:
            try:
                outcome.set_result(sign(self.url))
            except BaseException as error:  # noqa: BLE001  (handed over to the waiting thread)
                outcome.set_exception(error)
            finally:
                self._waiting.release()

        threading.Thread(target=run, name="time-stamp", daemon=True).start()
        try:
            return outcome.result(self._timeout_s)
        except FutureTimeoutError as error:
            raise self._failed(f"did not answer within {self._timeout_s:g} s") from error

    def _failed(self, what: str) -> TimeStampError:
        with self._lock:
            self._away_until = self._monotonic() + self._retry_after_s
            self._problem = f"The time-stamp authority {self.url} {what}; asked again in {self._retry_after_s:g} s."
        return TimeStampError(self._problem)

    def _require_trusted(self) -> None:
        anchors = None if self._trust_pem is None else self._trust_pem()
        with self._lock:
            is_known = self._trusted_under == anchors
        if anchors is None or is_known:
            return
        try:
            self._within_time(lambda url: require_member(url, anchors, self._timeout_s))
        except TimeStampError as error:
            raise self._failed(f"was not accepted ({error})") from error
        with self._lock:
            self._trusted_under = anchors


def require_member(url: str, trust_pem: str, timeout_s: float) -> None:
    """Ask the authority for a stamp and follow its certificate to the anchors (C2PA 2.4 §14.5.2).

    Raises `TimeStampError` where it does not answer, answers wrongly, or no chain leads to an anchor.
    """
    from cryptography import x509
    from rfc3161_client import TimestampRequestBuilder, VerifierBuilder, decode_timestamp_response
    from rfc3161_client.errors import VerificationError

    message = secrets.token_bytes(32)
    request = TimestampRequestBuilder().data(message).build()
    answer = _post(url, request.as_bytes(), timeout_s)
    try:
        response = decode_timestamp_response(answer)
    except ValueError as error:
        raise TimeStampError(f"{url} answers with something that is no RFC 3161 response ({error})") from error
    anchors = x509.load_pem_x509_certificates(trust_pem.encode())
    builder = VerifierBuilder.from_request(request)
    for anchor in anchors:
        builder = builder.add_root_certificate(anchor)
    try:
        builder.build().verify_message(response, message)
    except (VerificationError, ValueError) as error:
        raise TimeStampError(
            f"the certificate of {url} does not lead to the list of trusted time-stamp authorities ({error}); "
            "use an authority of the list, or add its root with `imprimatur trust add --time-stamps` (C2PA §14.5.2)"
        ) from error


def _post(url: str, body: bytes, timeout_s: float) -> bytes:
    import urllib.error
    import urllib.request

    if not url.startswith(("http://", "https://")):
        raise TimeStampError(f"{url!r} is no address of a time-stamp authority; expected http:// or https://")
    request = urllib.request.Request(  # noqa: S310  (the scheme was checked)
        url, data=body, headers={"Content-Type": "application/timestamp-query"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310
            return bytes(answer.read(1 << 20))
    except urllib.error.HTTPError as error:
        error.close()
        raise TimeStampError(f"{url} answers with status {error.code}") from error
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise TimeStampError(f"{url} does not answer ({error})") from error
