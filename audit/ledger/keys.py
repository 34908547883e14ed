"""The ledger's Ed25519 key and its public half, in the text form that Go's note tools use."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from audit import keyfiles
from audit.errors import CheckpointError, KeyFileError

ED25519_TYPE = b"\x01"  # C2SP signed-note, signature types
_PRIVATE_PREFIX = "PRIVATE+KEY+"  # golang.org/x/mod/sumdb/note's form of a signer


@dataclass(frozen=True)
class LedgerPublicKey:
    """Who signs the ledger.

    Args:
        origin: the log's name, like `example.com/imprimatur`; no spaces, no `+`.
        key: 32 bytes (RFC 8032).
    """

    origin: str
    key: bytes

    def __post_init__(self) -> None:
        require_origin(self.origin)
        if len(self.key) != 32:
            raise CheckpointError(f"an Ed25519 public key has 32 bytes, not {len(self.key)}")

    @property
    def key_id(self) -> bytes:
        """SHA-256(origin ‖ 0x0A ‖ 0x01 ‖ key)[:4] (C2SP signed-note)."""
        return hashlib.sha256(self.origin.encode() + b"\n" + ED25519_TYPE + self.key).digest()[:4]

    def __str__(self) -> str:
        """`origin+keyid+base64`, to be published and handed to auditors out of band."""
        return f"{self.origin}+{self.key_id.hex()}+{base64.b64encode(ED25519_TYPE + self.key).decode()}"

    @classmethod
    def parse(cls, text: str) -> LedgerPublicKey:
        """Reads what `str` gives.

        Raises:
            CheckpointError: `text` is no Ed25519 verifier key, or its key id does not fit.
        """
        parts = text.strip().split("+", 2)
        if len(parts) == 3:
            try:
                encoded = base64.b64decode(parts[2], validate=True)
            except (binascii.Error, ValueError):
                encoded = b""
            if encoded[:1] == ED25519_TYPE and len(encoded) == 33:
                parsed = cls(parts[0], encoded[1:])
                if parsed.key_id.hex() == parts[1]:
                    return parsed
        raise CheckpointError(f"{text[:120]!r} is no ledger public key; expected origin+keyid+base64")

    def verify(self, signature: bytes, message: bytes) -> None:
        """Checks an Ed25519 signature.

        Raises:
            CheckpointError: it does not fit.
        """
        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature, message)
        except (InvalidSignature, ValueError) as error:
            raise CheckpointError(
                f"the signature of {self.origin} (key {self.key_id.hex()}) does not fit the checkpoint"
            ) from error


class LedgerKey:
    """The private key that signs checkpoints."""

    def __init__(self, origin: str, private_key: Ed25519PrivateKey) -> None:
        self._private_key = private_key
        self.public = LedgerPublicKey(origin, private_key.public_key().public_bytes_raw())

    @property
    def origin(self) -> str:
        return self.public.origin

    @classmethod
    def generate(cls, origin: str) -> LedgerKey:
        """A new random key."""
        return cls(origin, Ed25519PrivateKey.generate())

    @classmethod
    def load_or_create(cls, path: Path, origin: str) -> LedgerKey:
        """The key in the file at `path`, which is made (mode 0600) if it does not exist.

        Raises:
            KeyFileError: the file cannot be read or written, or holds a key of another origin.
        """
        fresh = cls.generate(origin)
        content = keyfiles.create_once(path, fresh.export()) if not path.exists() else keyfiles.read(path)
        key = cls.parse(content, path)
        if key.origin != origin:
            raise KeyFileError(
                f"{path} holds the key of log {key.origin!r}, not {origin!r}; set the origin that the log "
                "began with, or name another key file for another log"
            )
        return key

    @classmethod
    def parse(cls, content: bytes, path: Path) -> LedgerKey:
        """Reads what `export` gave; `path` is for the message.

        Raises:
            KeyFileError: the content is no ledger key.
        """
        try:
            text = content.decode("ascii").strip()
            origin, key_id, encoded = text.removeprefix(_PRIVATE_PREFIX).split("+", 2)
            secret = base64.b64decode(encoded, validate=True)
            key = cls(origin, Ed25519PrivateKey.from_private_bytes(secret[1:]))
            is_well_formed = text.startswith(_PRIVATE_PREFIX) and secret[:1] == ED25519_TYPE
        except (ValueError, CheckpointError) as error:
            raise KeyFileError(f"{path} holds no ledger key; restore it from your backup") from error
        if not is_well_formed or key.public.key_id.hex() != key_id:
            raise KeyFileError(f"{path} holds a damaged ledger key; restore it from your backup")
        return key

    def export(self) -> bytes:
        """The key as text: `PRIVATE+KEY+origin+keyid+base64`. Keep it secret."""
        secret = base64.b64encode(ED25519_TYPE + self._private_key.private_bytes_raw()).decode()
        return f"{_PRIVATE_PREFIX}{self.origin}+{self.public.key_id.hex()}+{secret}\n".encode()

    def sign(self, message: bytes) -> bytes:
        """Ed25519 signature, 64 bytes."""
        return self._private_key.sign(message)


def require_origin(origin: str) -> None:
    """Checks a log's name.

    Raises:
        CheckpointError: it is empty, too long, or has spaces, control characters or `+`.
    """
    is_clean = origin.isprintable() and not any(c.isspace() or c == "+" for c in origin)
    if not origin or len(origin) > 256 or not is_clean:
        raise CheckpointError(
            f"origin {origin[:80]!r} is refused; expected a name like example.com/imprimatur, without spaces or +"
        )
