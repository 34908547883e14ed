"""The guarded fetcher: an image by URL, without reaching into private networks (SSRF) and without surprises in size.

The host is resolved once, every address is checked, and the connection goes to the checked address itself, so that
a second DNS answer cannot lead elsewhere (DNS rebinding). Redirects are checked like the first URL.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import time
from urllib.parse import SplitResult, urljoin, urlsplit

from api.errors import ImageTooLargeError, UnreadableSourceError

_MAX_REDIRECTS = 4
_CHUNK_BYTES = 1 << 16


def is_url(source: str) -> bool:
    """Whether a command-line argument is meant as a URL."""
    return "://" in source


def fetch(url: str, *, max_bytes: int, timeout_s: float = 15.0, allow_private: bool = False) -> bytes:
    """Return the body of `url`.

    Args:
        max_bytes: a larger body is refused while it is read.
        timeout_s: for the whole call, redirects included.
        allow_private: also connect to addresses that are not public.

    Raises:
        UnreadableSourceError: scheme, host, address, status or transfer is not acceptable.
        ImageTooLargeError: the body has more than `max_bytes` bytes.
    """
    deadline = time.monotonic() + timeout_s
    for _ in range(_MAX_REDIRECTS + 1):
        parts = _checked(url)
        try:
            status, location, body = _get(parts, deadline, max_bytes, allow_private=allow_private)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise UnreadableSourceError(f"{parts.hostname}: {error}") from error
        if location is None:
            if status != 200:
                raise UnreadableSourceError(f"{parts.hostname} answered with HTTP status {status}")
            return body
        url = urljoin(url, location)
    raise UnreadableSourceError(f"more than {_MAX_REDIRECTS} redirects")


def _checked(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises on a port that is no number
    except ValueError as error:
        raise UnreadableSourceError(f"not a URL: {error}") from error
    if parts.scheme not in ("http", "https"):
        raise UnreadableSourceError(f"only http and https URLs are fetched, not '{parts.scheme}'")
    if not parts.hostname or parts.username is not None:
        raise UnreadableSourceError("the URL must name a host, and no user")
    return parts


def _get(parts: SplitResult, deadline: float, max_bytes: int, *, allow_private: bool) -> tuple[int, str | None, bytes]:
    assert parts.hostname is not None
    port = parts.port or (443 if parts.scheme == "https" else 80)
    address = _public_address(parts.hostname, port, allow_private=allow_private)
    sock = socket.create_connection((address, port), timeout=_remaining(deadline))
    if parts.scheme == "https":
        sock = ssl.create_default_context().wrap_socket(sock, server_hostname=parts.hostname)
    connection = http.client.HTTPConnection(parts.hostname, port)
    connection.sock = sock
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", target, headers={"User-Agent": "imprimatur", "Accept": "image/*"})
        sock.settimeout(_remaining(deadline))
        response = connection.getresponse()
        if response.status in (301, 302, 303, 307, 308):
            return response.status, response.headers.get("Location", ""), b""
        body = bytearray()
        while True:
            sock.settimeout(_remaining(deadline))
            chunk = response.read1(_CHUNK_BYTES)
            if not chunk:
                return response.status, None, bytes(body)
            body += chunk
            if len(body) > max_bytes:
                raise ImageTooLargeError(f"the file at this URL has more than {max_bytes} bytes")
    finally:
        connection.close()


def _public_address(host: str, port: int, *, allow_private: bool) -> str:
    addresses = {str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    for address in sorted(addresses):
        ip = ipaddress.ip_address(address.split("%")[0])
        mapped = getattr(ip, "ipv4_mapped", None) or ip
        if not allow_private and (not mapped.is_global or mapped.is_multicast):
            raise UnreadableSourceError(f"{host} resolves to the address {ip}, which is not public")
    return min(addresses)


def _remaining(deadline: float) -> float:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError("the transfer took too long")
    return remaining
