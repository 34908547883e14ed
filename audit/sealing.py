"""Authenticated encryption as the vault and the object store use it: AES-256-GCM with derived keys."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from audit.errors import VaultCorruptError

KEY_BYTES = 32
NONCE_BYTES = 12  # NIST SP 800-38D section 8.2.2: random, 96 bits


def new_key() -> bytes:
    """32 random bytes."""
    return secrets.token_bytes(KEY_BYTES)


def derive(key: bytes, purpose: str) -> bytes:
    """A key for one purpose (HKDF-SHA-256, RFC 5869)."""
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=b"imprimatur/" + purpose.encode()).derive(key)


def seal(key: bytes, plaintext: bytes, associated: bytes) -> bytes:
    """nonce ‖ ciphertext ‖ tag; `associated` is authenticated and has to be the same to open."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plaintext, associated)


def unseal(key: bytes, sealed: bytes, associated: bytes) -> bytes:
    """The plaintext that `seal` was given.

    Raises:
        VaultCorruptError: another key, other associated data, or changed bytes.
    """
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], associated)
    except (InvalidTag, ValueError) as error:
        raise VaultCorruptError(
            "sealed data does not open: it was changed, moved to another row, or sealed under another key"
        ) from error


def keyed_digest(key: bytes, text: str) -> bytes:
    """HMAC-SHA-256: finds the same text again, tells nothing of it without the key."""
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
