"""Secret key files: made on first use, readable by the service's user only, safe when two processes start at once."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path

from api.errors import ConfigurationError


def secret_file(path: Path, make: Callable[[], bytes] = lambda: secrets.token_bytes(32)) -> bytes:
    """Return the file's bytes; where there is none, make it with mode 0600.

    The new content is written to a temporary file and linked into place, which fails if another process was first:
    then that process's key is used.

    Raises:
        ConfigurationError: the file cannot be read or made, or others may read it.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _create(path, make())
        if path.stat().st_mode & 0o077:
            raise ConfigurationError(f"{path} can be read by other users; set its mode to 0600")
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"key file {path} cannot be used: {error.strerror}") from error


def _create(path: Path, content: bytes) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(name, path)
        except FileExistsError:
            return
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        os.unlink(name)
