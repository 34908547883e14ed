"""Checkpoints: the ledger's size and root in a signed note (C2SP tlog-checkpoint, signed-note)."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from audit.errors import CheckpointError
from audit.ledger.keys import LedgerKey, LedgerPublicKey
from audit.ledger.merkle import HASH_BYTES

MAX_NOTE_BYTES = 65_536
MAX_SIGNATURES = 32  # signed-note asks for at least 16
MAX_SIZE = 2**63 - 1  # PostgreSQL's bigint

_SIGNATURE_LINE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True)
class Checkpoint:
    """A ledger's state, with the note that states it.

    Args:
        origin: the log's name.
        size: leaves in the tree.
        root: RFC 6962 root, 32 bytes.
        note: the signed text.
    """

    origin: str
    size: int
    root: bytes
    note: str


def sign(size: int, root: bytes, key: LedgerKey) -> Checkpoint:
    """Signs the state. Ed25519 is deterministic: the same state gives the same note."""
    text = f"{key.origin}\n{size}\n{base64.b64encode(root).decode()}\n"
    signature = base64.b64encode(key.public.key_id + key.sign(text.encode())).decode()
    return Checkpoint(key.origin, size, root, f"{text}\n— {key.origin} {signature}\n")


def verify(note: str, public_key: LedgerPublicKey) -> Checkpoint:
    """The checkpoint that `note` states, if `public_key` signed it.

    Signatures of other keys (witnesses) are passed over, as signed-note demands.

    Raises:
        CheckpointError: the note is malformed, of another origin, or not signed by the key.
    """
    text, signatures = _split(note)
    is_signed = False
    for name, key_id, signature in signatures:
        if name == public_key.origin and key_id == public_key.key_id:
            public_key.verify(signature, text.encode())
            is_signed = True
    if not is_signed:
        raise CheckpointError(
            f"the checkpoint is not signed by {public_key.origin} (key {public_key.key_id.hex()}); "
            "check that you have the public key of the log that issued it"
        )
    checkpoint = _parse(text, note)
    if checkpoint.origin != public_key.origin:
        raise CheckpointError(f"the checkpoint is of log {checkpoint.origin[:80]!r}, expected {public_key.origin!r}")
    return checkpoint


def signing_keys(note: str) -> list[tuple[str, bytes]]:
    """(name, key id) of each signature on the note, none of them verified.

    Raises:
        CheckpointError: the note is malformed.
    """
    return [(name, key_id) for name, key_id, _ in _split(note)[1]]


def _split(note: str) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    if len(note) > MAX_NOTE_BYTES or any(character < " " and character != "\n" for character in note):
        raise CheckpointError("the note is too long or has control characters")
    try:
        note.encode()
    except UnicodeEncodeError as error:
        raise CheckpointError("the note is no well-formed Unicode") from error
    text, separator, block = note.rpartition("\n\n")
    if not separator or not block.endswith("\n"):
        raise CheckpointError("the note has no signatures; expected text, an empty line, signature lines")
    lines = block[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise CheckpointError(f"the note has {len(lines)} signatures, at most {MAX_SIGNATURES} are read")
    signatures = []
    for line in lines:
        match = _SIGNATURE_LINE.fullmatch(line)
        if match is None:
            raise CheckpointError(f"malformed signature line {line[:80]!r}")
        data = _decode(match[2], "signature")
        if len(data) < 5:
            raise CheckpointError("a signature is too short to have a key id")
        signatures.append((match[1], data[:4], data[4:]))
    return text + "\n", signatures


def _parse(text: str, note: str) -> Checkpoint:
    lines = text[:-1].split("\n")
    if len(lines) < 3 or not all(lines):
        raise CheckpointError("a checkpoint has at least three lines: origin, size, root")
    origin, size, encoded_root = lines[:3]
    if not _SIZE.fullmatch(size) or int(size) > MAX_SIZE:
        raise CheckpointError(f"tree size {size[:40]!r} is no decimal number")
    root = _decode(encoded_root, "root")
    if len(root) != HASH_BYTES:
        raise CheckpointError(f"the root has {len(root)} bytes, expected {HASH_BYTES}")
    return Checkpoint(origin, int(size), root, note)


def _decode(text: str, what: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise CheckpointError(f"the {what} is no base64") from error
    if base64.b64encode(data).decode() != text:
        raise CheckpointError(f"the {what} is base64, but not in its one canonical form")
    return data
