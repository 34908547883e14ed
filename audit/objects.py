"""The object store: content-addressed, encrypted under the subject's vault key, local or remote."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from audit.errors import (
    ObjectCorruptError,
    ObjectError,
    ObjectMissingError,
    StorageFullError,
    VaultCorruptError,
)
from audit.keyfiles import sync_folder
from audit.records import ObjectReference
from audit.sealing import NONCE_BYTES, derive, seal, unseal
from audit.vault import SubjectKey, Vault

MAGIC = b"IMPOBJ1\n"  # format version 1
TAG_BYTES = 16

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SUBJECT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class ObjectStore:
    """Stores and gives back bytes by the SHA-256 of their plaintext.

    An object's key derives from its subject's vault key, so erasing the subject makes it unreadable wherever a
    copy is. Path: `<subject id>/<first two digits>/<sha256>`.

    Args:
        url: `file:///folder`, a plain path, or any address that fsspec knows (`s3://bucket/prefix`).
        vault: gives the subjects' keys.
    """

    def __init__(self, url: str, vault: Vault) -> None:
        from fsspec.core import url_to_fs

        self._files, self._root = url_to_fs(url)
        self._is_local = "file" in _protocols(self._files)
        self._vault = vault

    def put(self, data: bytes, subject: str, role: str = "image") -> ObjectReference:
        """Stores `data`; durable when this returns. Storing the same again is harmless.

        Args:
            subject: whose it is, as for `Vault.put`.
            role: what it is, as a retention rule names it; kept in the reference and with the key.

        Raises:
            StorageFullError: the disk or quota is full; nothing is left behind.
            ObjectError: the store cannot be written.
        """
        return self._put(data, self._vault.subject_key(subject, role), role)

    def put_beside(self, data: bytes, other: ObjectReference, role: str) -> ObjectReference:
        """Stores `data` under the key of another object, so that the two are erased together; as `put` otherwise.

        Raises:
            ErasedError: the other object's subject was erased.
            StorageFullError, ObjectError: as for `put`.
        """
        return self._put(data, self._vault.key_of(other.subject_id), role)

    def _put(self, data: bytes, holder: SubjectKey, role: str) -> ObjectReference:
        digest = hashlib.sha256(data).hexdigest()
        sealed = MAGIC + seal(_object_key(holder, digest), data, _context(holder.subject_id, digest))
        path = self._path(holder.subject_id, digest)
        with _storage_errors(f"store object {digest}"):
            if self._is_local:
                _write_atomically(Path(path), sealed)
            else:
                self._files.pipe_file(path, sealed)
            stored_size = self._files.size(path)
        if stored_size != len(sealed):
            raise ObjectError(
                f"object {digest} has {stored_size} bytes in the store, {len(sealed)} were written; try again"
            )
        return ObjectReference(digest, holder.subject_id, len(data), role)

    def get(self, reference: ObjectReference, holder: SubjectKey | None = None) -> bytes:
        """The plaintext, checked against its digest.

        Args:
            holder: the key of its subject, where the caller has it already; who reads many objects asks once a subject.

        Raises:
            ObjectMissingError: the store has no such object.
            ErasedError: its subject was erased.
            ObjectCorruptError: it does not open, or is not what its digest says.
        """
        holder = holder or self._vault.key_of(reference.subject_id)
        path = self._path(reference.subject_id, reference.sha256)
        try:
            with _storage_errors(f"read object {reference.sha256}"):
                sealed: bytes = self._files.cat_file(path)
        except FileNotFoundError as error:
            raise ObjectMissingError(f"the store has no object {reference.sha256}") from error
        if sealed[: len(MAGIC)] != MAGIC:
            raise ObjectCorruptError(f"object {reference.sha256} is in no known format")
        try:
            data = unseal(
                _object_key(holder, reference.sha256),
                sealed[len(MAGIC) :],
                _context(reference.subject_id, reference.sha256),
            )
        except VaultCorruptError as error:
            raise ObjectCorruptError(f"object {reference.sha256} does not open: {error}") from error
        if hashlib.sha256(data).hexdigest() != reference.sha256:
            raise ObjectCorruptError(f"object {reference.sha256} has other content than its digest says")
        return data

    def exists(self, reference: ObjectReference) -> bool:
        """Whether the store has the object (it may still not open)."""
        with _storage_errors(f"look for object {reference.sha256}"):
            return bool(self._files.exists(self._path(reference.subject_id, reference.sha256)))

    def discard(self, reference: ObjectReference) -> None:
        """Removes one object that no event names; harmless if it is gone already.

        Raises:
            ObjectError: the store refuses.
        """
        path = self._path(reference.subject_id, reference.sha256)
        with _storage_errors(f"discard object {reference.sha256}"), suppress(FileNotFoundError):
            self._files.rm_file(path)

    def erase(self, subject_id: str) -> int:
        """Removes all objects of a subject; gives how many. The vault's erasure already made them unreadable.

        Raises:
            ObjectError: the store refuses.
        """
        folder = f"{self._root}/{_checked(_SUBJECT_ID, subject_id)}"
        with _storage_errors("erase objects"):
            self._files.invalidate_cache()
            if not self._files.exists(folder):
                return 0
            count = len(self._files.find(folder))
            self._files.rm(folder, recursive=True)
        return count

    def _path(self, subject_id: str, digest: str) -> str:
        _checked(_DIGEST, digest)
        return f"{self._root}/{_checked(_SUBJECT_ID, subject_id)}/{digest[:2]}/{digest}"


def sealed_size(size: int) -> int:
    """Bytes that an object of `size` bytes takes in the store."""
    return len(MAGIC) + NONCE_BYTES + size + TAG_BYTES


def _object_key(holder: SubjectKey, digest: str) -> bytes:
    return derive(holder.key, f"object/{digest}")


def _context(subject_id: str, digest: str) -> bytes:
    return f"object {digest} subject {subject_id}".encode()


def _checked(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise ObjectError(f"{text[:100]!r} is no part of an object's name; expected {pattern.pattern}")
    return text


def _protocols(files: Any) -> tuple[str, ...]:
    protocol = files.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


def _write_atomically(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.parent / f".{path.name}.{secrets.token_hex(8)}"
    try:
        with open(temporary, "xb", opener=_owner_only) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        for folder in (path.parent, path.parent.parent, path.parent.parent.parent):
            sync_folder(folder)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise


def _owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


@contextmanager
def _storage_errors(doing: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageFullError(f"could not {doing}: the disk is full; free space and try again") from error
        raise ObjectError(f"could not {doing}: {error}") from error
