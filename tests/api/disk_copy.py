"""What an adversary does who has a copy of the whole disk and every key: look for personal data, try the keys."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit.sealing import NONCE_BYTES


def contents(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file below a folder, with its bytes."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path, path.read_bytes()


def forms(secret: bytes) -> dict[str, bytes]:
    """Ways in which bytes are written down: as they are, in hexadecimal, in base64, compressed."""
    return {
        "plain": secret,
        "hexadecimal": secret.hex().encode(),
        "base64": base64.b64encode(secret)[:-4],
        "utf-16": secret.decode("utf-8", "ignore").encode("utf-16-le") if len(secret) < 200 else secret,
        "deflate": zlib.compress(secret)[2:-4] if len(secret) < 200 else secret,
    }


def traces(folder: Path, secrets: dict[str, bytes]) -> list[str]:
    """Where any of the secrets stands in any form: "name (form) in file"."""
    wanted = [(name, form, data) for name, secret in secrets.items() for form, data in forms(secret).items()]
    return [
        f"{name} ({form}) in {path.relative_to(folder)}"
        for path, content in contents(folder)
        for name, form, data in wanted
        if data in content
    ]


def opens_with(key: bytes, sealed: bytes, contexts: list[bytes]) -> bool:
    """Whether AES-GCM opens `sealed` under `key` with any of the associated data."""
    for context in contexts:
        try:
            AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)
        except (InvalidTag, ValueError):
            continue
        return True
    return False
