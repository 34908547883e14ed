"""Secret key files: created once even when processes race, readable by their owner only, destroyed for good."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from audit.errors import KeyFileError


def create_once(path: Path, content: bytes) -> bytes:
    """Content of the key file at `path`, which is written with `content` if it does not exist.

    The file appears complete or not at all, with mode 0600: a temporary file is written, synced and linked to
    its name; of several processes that do so, one wins and all return the winner's content.

    Raises:
        KeyFileError: the folder or file cannot be written or read.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.parent / f".{path.name}.{secrets.token_hex(8)}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            try:
                _write_all(descriptor, content)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            try:
                os.link(temporary, path)
            except FileExistsError:
                return read(path)
        finally:
            temporary.unlink()
        sync_folder(path.parent)
    except OSError as error:
        raise KeyFileError(f"cannot write the key file {path}: {error}; check the folder's rights") from error
    return content


def read(path: Path) -> bytes:
    """Content of a key file.

    Raises:
        KeyFileError: it is missing, or others than its owner may read it.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if mode & 0o077:
                raise KeyFileError(
                    f"the key file {path} has mode {mode & 0o777:o}; others can read it: chmod 600 {path}"
                )
            return file.read()
    except OSError as error:
        raise KeyFileError(f"cannot read the key file {path}: {error}") from error


def destroy(path: Path) -> None:
    """Overwrites a key file, removes it and syncs both; does nothing if it is gone already.

    Overwriting reaches the old blocks on file systems that write in place. On copy-on-write file systems,
    flash storage and in backups an older copy can outlive it.

    Raises:
        KeyFileError: the file cannot be overwritten or removed.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY)
    except FileNotFoundError:
        return
    except OSError as error:
        raise KeyFileError(f"cannot destroy the key file {path}: {error}") from error
    try:
        size = os.fstat(descriptor).st_size
        _write_all(descriptor, secrets.token_bytes(size))
        os.fsync(descriptor)
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise KeyFileError(f"cannot destroy the key file {path}: {error}") from error
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Makes a rename, link or removal in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
