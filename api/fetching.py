"""The guarded fetcher: an image by URL, without reaching into private networks (SSRF) and without surprises in size.

The host is resolved once, every address is checked, and the connection goes to the checked address itself, so that
a second DNS answer cannot lead elsewhere (DNS rebinding). Redirects are checked like the first URL.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import queue
import socket
import ssl
import threading
import time
from typing import Any
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from api.errors import ImageTooLargeError, UnreadableSourceError

_MAX_REDIRECTS = 4
_CHUNK_BYTES = 1 << 16
_REDIRECTS = (301, 302, 303, 307, 308)
_KEPT_IN_TARGET = "%/:?#[]@!$&'()*+,;=~"  # RFC 3986: reserved characters, and what is escaped already
_IPV4_IN_LAST_BITS = (
    ipaddress.IPv6Network("64:ff9b::/96"),  # NAT64, RFC 6052
    ipaddress.IPv6Network("::/96"),  # IPv4-compatible addresses, RFC 4291, deprecated
)


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
    default_port = 443 if parts.scheme == "https" else 80
    port = parts.port or default_port
    addresses = _checked_addresses(parts.hostname, port, deadline, allow_private=allow_private)
    connection = http.client.HTTPConnection(parts.hostname, port)
    connection.default_port = default_port  # left out of the Host header
    sock = _connected(addresses, port, deadline)
    try:
        if parts.scheme == "https":
            sock.settimeout(_remaining(deadline))
            sock = ssl.create_default_context().wrap_socket(sock, server_hostname=parts.hostname)
        connection.sock = _DeadlineSocket(sock, deadline)
        target = quote(parts.path or "/", safe=_KEPT_IN_TARGET)
        if parts.query:
            target += "?" + quote(parts.query, safe=_KEPT_IN_TARGET)
        connection.request("GET", target, headers={"User-Agent": "imprimatur", "Accept": "image/*"})
        with connection.getresponse() as response:
            if response.status in _REDIRECTS:
                return response.status, response.headers.get("Location", ""), b""
            return response.status, None, _body(response, max_bytes) if response.status == 200 else b""
    finally:
        connection.close()
        sock.close()


def _body(response: http.client.HTTPResponse, max_bytes: int) -> bytes:
    body = bytearray()
    if response.length is not None and response.length > max_bytes:
        raise ImageTooLargeError(f"the file at this URL has more than {max_bytes} bytes")
    while chunk := response.read1(_CHUNK_BYTES):
        body += chunk
        if len(body) > max_bytes:
            raise ImageTooLargeError(f"the file at this URL has more than {max_bytes} bytes")
    if response.length:
        raise http.client.IncompleteRead(bytes(body), response.length)
    return bytes(body)


class _DeadlineSocket:
    """What `http.client` needs of a socket, under one deadline for all reads together.

    A plain timeout starts anew with every packet: a server that sends a byte now and then would never meet it.
    """

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(_remaining(self._deadline))
        self._sock.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_DeadlineReader(self._sock, self._deadline))

    def close(self) -> None:
        """Nothing: `http.client` closes early, when the response will end with the connection."""


class _DeadlineReader(io.RawIOBase):
    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(_remaining(self._deadline))
        return self._sock.recv_into(buffer)


def _connected(addresses: list[str], port: int, deadline: float) -> socket.socket:
    """Connect to the first of the checked addresses that answers, in the resolver's order (RFC 6724)."""
    for position, address in enumerate(addresses, start=1):
        left = len(addresses) - position + 1
        try:
            return socket.create_connection((address, port), timeout=_remaining(deadline) / left)
        except OSError:
            if left == 1:
                raise
    raise OSError("the name has no address")


def _checked_addresses(host: str, port: int, deadline: float, *, allow_private: bool) -> list[str]:
    """All addresses of a host, in the resolver's order; one that is not public refuses the host."""
    addresses = list(dict.fromkeys(_resolved(host, port, deadline)))
    for address in addresses:
        ip = ipaddress.ip_address(address.split("%")[0])
        if not allow_private and not all(_is_public(inner) for inner in _with_embedded(ip)):
            raise UnreadableSourceError(f"{host} resolves to the address {ip}, which is not public")
    return addresses


def _resolved(host: str, port: int, deadline: float) -> list[str]:
    """Ask the resolver in a thread: the system's call has no time limit of its own."""
    answers: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put([str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)])
        except (OSError, ValueError) as error:
            answers.put(error)

    threading.Thread(target=ask, name="resolver", daemon=True).start()
    try:
        answer = answers.get(timeout=_remaining(deadline))
    except queue.Empty as error:
        raise TimeoutError("the host's name was not resolved in time") from error
    if isinstance(answer, Exception):
        raise answer
    return answer


def _is_public(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return ip.is_global and not ip.is_multicast


def _with_embedded(
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The address that is reached, and every IPv4 address that a gateway would make of an IPv6 one."""
    if isinstance(ip, ipaddress.IPv4Address):
        return [ip]
    if ip.ipv4_mapped is not None:
        return [ip.ipv4_mapped]
    embedded: list[ipaddress.IPv4Address | ipaddress.IPv6Address] = [ip]
    if ip.sixtofour is not None:
        embedded.append(ip.sixtofour)
    if any(ip in network for network in _IPV4_IN_LAST_BITS):
        embedded.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
    return embedded


def _remaining(deadline: float) -> float:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError("the transfer took too long")
    return remaining
