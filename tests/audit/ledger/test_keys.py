"""The key and note `PeterNeumann` are the published examples of golang.org/x/mod/sumdb/note."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.errors import CheckpointError, KeyFileError
from audit.ledger.keys import LedgerKey, LedgerPublicKey

GO_PUBLIC = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_PRIVATE = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"


def test_gos_published_key_reads_and_has_gos_key_id() -> None:
    key = LedgerPublicKey.parse(GO_PUBLIC)
    assert (key.origin, key.key_id.hex()) == ("PeterNeumann", "c74f20a3")
    assert str(key) == GO_PUBLIC


def test_gos_published_private_key_has_gos_public_half() -> None:
    key = LedgerKey.parse(GO_PRIVATE.encode(), Path("go.key"))
    assert str(key.public) == GO_PUBLIC
    assert key.export().decode().strip() == GO_PRIVATE


def test_a_signature_verifies_with_its_key_and_message_only() -> None:
    key = LedgerKey.generate("log.example/a")
    signature = key.sign(b"message")
    key.public.verify(signature, b"message")
    with pytest.raises(CheckpointError):
        key.public.verify(signature, b"massage")
    with pytest.raises(CheckpointError):
        LedgerKey.generate("log.example/a").public.verify(signature, b"message")
    with pytest.raises(CheckpointError):
        key.public.verify(signature[:-1], b"message")


def test_the_key_file_is_made_once_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "ledger.key"
    first = LedgerKey.load_or_create(path, "log.example/a")
    assert str(LedgerKey.load_or_create(path, "log.example/a").public) == str(first.public)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_key_of_another_log_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.key"
    LedgerKey.load_or_create(path, "log.example/a")
    with pytest.raises(KeyFileError, match=r"log\.example/b"):
        LedgerKey.load_or_create(path, "log.example/b")


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"PRIVATE+KEY+a+b", GO_PRIVATE.replace("c74f", "c74e").encode(), GO_PRIVATE[:-8].encode()],
)
def test_a_damaged_key_file_is_refused_without_showing_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ledger.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="restore it from your backup") as caught:
        LedgerKey.load_or_create(path, "PeterNeumann")
    assert "AYEKFALV" not in str(caught.value)


@pytest.mark.parametrize("origin", ["", "a b", "a+b", "a\nb", "x" * 257, "a\u2003b"])
def test_origins_that_a_note_cannot_name_are_refused(origin: str) -> None:
    with pytest.raises(CheckpointError):
        LedgerKey.generate(origin)


@given(st.text(max_size=120) | st.just(GO_PUBLIC).flatmap(lambda t: st.integers(0, len(t)).map(lambda i: t[:i])))
def test_parsing_any_text_gives_a_key_or_the_typed_error(text: str) -> None:
    try:
        key = LedgerPublicKey.parse(text)
    except CheckpointError:
        return
    assert str(key) == text.strip()
