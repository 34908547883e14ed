"""The guarded fetcher against real servers on the loopback interface."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from api.errors import ImageTooLargeError, UnreadableSourceError
from api.fetching import fetch, is_url

BODY = bytes(range(256)) * 40
MAX_BYTES = 64 * 1024
Route = Callable[[BaseHTTPRequestHandler], None]


class _Site:
    """A server with routes; remembers what was asked."""

    def __init__(self) -> None:
        self.routes: dict[str, Route] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.requests.append((self.path, dict(self.headers)))
                route = site.routes.get(self.path.partition("?")[0])
                with contextlib.suppress(ConnectionError):
                    if route is None:
                        self.send_error(404)
                    else:
                        route(self)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


@pytest.fixture
def site() -> Iterator[_Site]:
    site = _Site()
    site.routes["/image"] = _sends(BODY)
    yield site
    site.close()


def _sends(body: bytes, *, status: int = 200, declared: int | None = None, **headers: str) -> Route:
    def route(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body) if declared is None else declared))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return route


def _drips(piece: bytes, *, head: bytes = b"") -> Route:
    """Sends a small piece again and again: no single read waits long."""

    def route(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(head)
        for _ in range(400):
            handler.wfile.write(piece)
            handler.wfile.flush()
            time.sleep(0.05)

    return route


def _fetch(url: str, **options: Any) -> bytes:
    return fetch(url, **({"max_bytes": MAX_BYTES, "timeout_s": 10.0, "allow_private": True} | options))


def test_the_body_is_returned_where_private_addresses_are_allowed(site: _Site) -> None:
    assert _fetch(f"{site.url}/image") == BODY


def test_the_host_header_names_the_host_and_no_compression_is_offered(site: _Site) -> None:
    _fetch(f"http://localhost:{site.port}/image?size=1&name=a%20b#part")

    path, headers = site.requests[0]
    assert path == "/image?size=1&name=a%20b"
    assert headers["Host"] == f"localhost:{site.port}"
    assert headers["Accept-Encoding"] == "identity"


def test_paths_beyond_ascii_are_escaped(site: _Site) -> None:
    site.routes["/caf%C3%A9%20noir"] = _sends(BODY)

    assert _fetch(f"{site.url}/café noir") == BODY


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.8.9.1", "localhost", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254",
        "100.64.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1", "127.1",
        "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]", "[::ffff:a9fe:a9fe]", "[fe80::1]", "[fc00::1]",
        "[fd00:ec2::254]", "[ff02::1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[::127.0.0.1]",
        "[2002:7f00:1::]", "[2002:a00:1::1]",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public_are_refused_without_connecting(
    site: _Site, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("it connected"))

    with pytest.raises(UnreadableSourceError, match="not public"):
        _fetch(f"http://{host}:{site.port}/image", allow_private=False)
    assert site.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/a.png", "file:///etc/passwd", "gopher://example.com/", "data:image/png;base64,AAAA",
        "HTTPX://example.com", "/etc/passwd", "", "http://", "http:///path", "http://user@example.com/",
        "http://user:secret@example.com/", "http://@example.com/", "http://example.com:port/",
        "http://example.com:99999/", "http://example.com:-1/", "http://[::1", "http://[not an address]/",
    ],
)  # fmt: skip
def test_what_is_no_plain_http_url_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("it asked the resolver"))

    with pytest.raises(UnreadableSourceError):
        _fetch(url)


@pytest.mark.parametrize("url", ["http://a\0b/", f"http://{'a' * 70}.example/", "http://exa mple/", "http://..../"])
def test_names_that_no_resolver_takes_are_typed_errors(url: str) -> None:
    with pytest.raises(UnreadableSourceError):
        _fetch(url)


def test_line_breaks_in_a_url_cannot_add_headers(site: _Site) -> None:
    with contextlib.suppress(UnreadableSourceError):
        _fetch(f"{site.url}/image HTTP/1.1\r\nX-Injected: 1\r\n\r\n")

    assert all("X-Injected" not in headers for _, headers in site.requests)


def test_a_url_is_told_from_a_path() -> None:
    assert is_url("https://example.com/a.png")
    assert not is_url("folder/a.png")
    assert not is_url("C:\\a.png")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(site: _Site, status: int) -> None:
    site.routes["/old"] = _sends(b"", status=status, Location="/image")

    assert _fetch(f"{site.url}/old") == BODY


def test_a_redirect_is_checked_like_the_first_url(site: _Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.routes["/old"] = _sends(b"", status=302, Location=f"http://localhost:{site.port}/image")
    for location in ("file:///etc/passwd", "ftp://example.com/", "http://user@127.0.0.1/", "//127.0.0.1:99999/"):
        site.routes["/other"] = _sends(b"", status=302, Location=location)
        with pytest.raises(UnreadableSourceError):
            _fetch(f"{site.url}/other")

    # "public.example" is made a public address that leads to our site; its redirect leads to a private one.
    _resolve(monkeypatch, {"public.example": [["93.184.215.14"]]})
    _connect_to_site(monkeypatch, site)
    with pytest.raises(UnreadableSourceError, match=r"localhost resolves to .*, which is not public"):
        _fetch(f"http://public.example:{site.port}/old", allow_private=False)
    assert [path for path, _ in site.requests].count("/image") == 0


def test_redirect_loops_end(site: _Site) -> None:
    site.routes["/a"] = _sends(b"", status=302, Location="/b")
    site.routes["/b"] = _sends(b"", status=302, Location="/a")
    site.routes["/nowhere"] = _sends(b"", status=302)

    for path in ("/a", "/nowhere"):
        site.requests.clear()
        with pytest.raises(UnreadableSourceError, match="more than 4 redirects"):
            _fetch(site.url + path)
        assert len(site.requests) == 5


@pytest.mark.parametrize("status", [204, 206, 304, 403, 404, 500])
def test_other_statuses_are_errors_that_name_them(site: _Site, status: int) -> None:
    site.routes["/status"] = _sends(b"", status=status)

    with pytest.raises(UnreadableSourceError, match=str(status)):
        _fetch(f"{site.url}/status")


def test_a_body_of_exactly_the_limit_is_returned(site: _Site) -> None:
    assert _fetch(f"{site.url}/image", max_bytes=len(BODY)) == BODY


def test_a_body_that_is_declared_too_large_is_not_read(site: _Site) -> None:
    site.routes["/large"] = _drips(b"x", head=b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
    started = time.monotonic()

    with pytest.raises(ImageTooLargeError, match=str(MAX_BYTES)):
        _fetch(f"{site.url}/large")
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_turns_out_too_large_is_cut_off(site: _Site, chunked: bool) -> None:
    sent = 0

    def route(handler: BaseHTTPRequestHandler) -> None:
        nonlocal sent
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + (b"Transfer-Encoding: chunked\r\n\r\n" if chunked else b"\r\n"))
        piece = bytes(16_384)
        for _ in range(4_000):
            handler.wfile.write(b"4000\r\n" + piece + b"\r\n" if chunked else piece)
            sent += len(piece)

    site.routes["/endless"] = route

    with pytest.raises(ImageTooLargeError, match=str(MAX_BYTES)):
        _fetch(f"{site.url}/endless")
    assert sent < 4_000 * 16_384


def test_a_transfer_that_breaks_off_is_no_image(site: _Site) -> None:
    site.routes["/declared"] = _sends(BODY, declared=len(BODY) + 1)
    site.routes["/chunked"] = lambda handler: _write(
        handler, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n" + bytes(16)
    )

    for path in ("/declared", "/chunked"):
        with pytest.raises(UnreadableSourceError):
            _fetch(site.url + path)


def _write(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    handler.wfile.write(data)


OK = b"HTTP/1.1 200 OK\r\n"
SLOW = {
    "status line": _drips(b"x"),
    "headers": _drips(b"X-More: 1\r\n", head=OK),
    "one header": _drips(b"x", head=OK + b"X-Long: "),
    "declared body": _drips(b"x", head=OK + b"Content-Length: 5000\r\n\r\n"),
    "endless body": _drips(b"x", head=OK + b"\r\n"),
    "chunks": _drips(b"1\r\nx\r\n", head=OK + b"Transfer-Encoding: chunked\r\n\r\n"),
    "a chunk's length": _drips(b"0", head=OK + b"Transfer-Encoding: chunked\r\n\r\n"),
    "silence": lambda _handler: time.sleep(4),
}


@pytest.mark.parametrize("slow", SLOW)
def test_the_time_limit_is_for_the_whole_transfer(site: _Site, slow: str) -> None:
    site.routes["/slow"] = SLOW[slow]
    started = time.monotonic()

    with pytest.raises(UnreadableSourceError):
        _fetch(f"{site.url}/slow", timeout_s=0.6)
    assert 0.5 < time.monotonic() - started < 2.0


def test_the_time_limit_spans_redirects(site: _Site) -> None:
    def route(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(0.4)
        _sends(b"", status=302, Location="/slow")(handler)

    site.routes["/slow"] = route
    started = time.monotonic()

    with pytest.raises(UnreadableSourceError, match=r"timed out|took too long"):
        _fetch(f"{site.url}/slow", timeout_s=0.6)
    assert time.monotonic() - started < 1.6


def test_the_time_limit_holds_while_the_name_is_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: ended.wait(10) and [])
    started = time.monotonic()

    with pytest.raises(UnreadableSourceError, match="not resolved in time"):
        _fetch("http://slow.example/", timeout_s=0.3)
    assert time.monotonic() - started < 2
    ended.set()


def test_a_server_that_is_not_there_is_a_typed_error() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(UnreadableSourceError, match=r"127\.0\.0\.1"):
        _fetch(f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize(
    "answer", [b"", b"\0" * 100, b"HTTP/9.9 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 500]
)
def test_answers_that_are_no_http_are_typed_errors(site: _Site, answer: bytes) -> None:
    site.routes["/odd"] = lambda handler: _write(handler, answer)

    with pytest.raises(UnreadableSourceError):
        _fetch(f"{site.url}/odd")


def test_an_untrusted_certificate_or_no_tls_at_all_is_a_typed_error(site: _Site) -> None:
    with pytest.raises(UnreadableSourceError):
        _fetch(f"https://127.0.0.1:{site.port}/image", timeout_s=3)
    assert site.requests == []


_GETADDRINFO = socket.getaddrinfo
_CREATE_CONNECTION = socket.create_connection


def _resolve(monkeypatch: pytest.MonkeyPatch, answers: dict[str, list[list[str]]]) -> list[str]:
    """Let names resolve to the given addresses, one answer after the other; returns the names that were asked for."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, *args: Any, **options: Any) -> list[Any]:
        if host not in answers:
            return list(_GETADDRINFO(host, port, *args, **options))
        asked.append(host)
        addresses = answers[host].pop(0)
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def _connect_to_site(monkeypatch: pytest.MonkeyPatch, site: _Site, *, dead: tuple[str, ...] = ()) -> list[str]:
    """Let every address lead to the site, except dead ones; returns the addresses that were connected to."""
    connected: list[str] = []

    def create_connection(address: tuple[str, int], *args: Any, **options: Any) -> socket.socket:
        connected.append(address[0])
        if address[0] in dead:
            raise OSError("Network is unreachable")
        return _CREATE_CONNECTION(("127.0.0.1", site.port), *args, **options)

    monkeypatch.setattr(socket, "create_connection", create_connection)
    return connected


def test_a_name_that_changes_its_address_leads_only_to_the_checked_one(
    site: _Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _resolve(monkeypatch, {"rebinding.example": [["93.184.215.14"], ["127.0.0.1"], ["127.0.0.1"]]})
    connected = _connect_to_site(monkeypatch, site)

    assert _fetch("http://rebinding.example/image", allow_private=False) == BODY
    assert connected == ["93.184.215.14"]
    assert asked == ["rebinding.example"]
    assert site.requests[0][1]["Host"] == "rebinding.example"

    with pytest.raises(UnreadableSourceError, match="not public"):
        _fetch("http://rebinding.example/image", allow_private=False)


def test_one_private_address_among_public_ones_refuses_the_name(site: _Site, monkeypatch: pytest.MonkeyPatch) -> None:
    _resolve(monkeypatch, {"mixed.example": [["93.184.215.14", "10.0.0.1"]]})
    connected = _connect_to_site(monkeypatch, site)

    with pytest.raises(UnreadableSourceError, match=r"10\.0\.0\.1, which is not public"):
        _fetch("http://mixed.example/image", allow_private=False)
    assert connected == []


def test_the_next_address_is_tried_when_one_does_not_answer(site: _Site, monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = ["2606:2800:21f:cb07::1", "93.184.215.14"]
    _resolve(monkeypatch, {"both.example": [addresses]})
    connected = _connect_to_site(monkeypatch, site, dead=("2606:2800:21f:cb07::1",))

    assert _fetch("http://both.example/image", allow_private=False) == BODY
    assert connected == addresses
