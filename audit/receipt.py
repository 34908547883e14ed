"""Receipts: what goes out with a released image, so that the log cannot be rewritten without being found out.

A receipt holds the leaf, its inclusion proof, the signed checkpoint, and the event's body with its salt. The
body says which image was released and keeps the private part behind a salted commitment of its own, so a
receipt shows neither prompt nor user nor tenant.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from audit.canonical import parse_canonical
from audit.errors import (
    BodyValueError,
    CheckpointError,
    LedgerError,
    LogRewrittenError,
    ProofError,
    ReceiptDisclosureError,
    ReceiptError,
    ReceiptFormatError,
    ReceiptImageError,
    ReceiptProofError,
    ReceiptSignatureError,
    UnknownEventError,
)
from audit.events import EventId, Released, commitment
from audit.ledger import checkpoint
from audit.ledger.keys import LedgerPublicKey
from audit.ledger.leaf import Leaf
from audit.ledger.merkle import MAX_PROOF_HASHES, leaf_hash, verify_consistency, verify_inclusion
from audit.reader import AuditReader, Inclusion

FORMAT = "imprimatur-receipt/1"
MAX_RECEIPT_BYTES = 262_144  # a body of 65,535 bytes, escaped, and room for the rest

_SHA256 = re.compile(r"[0-9a-f]{64}")
_KEY_ID = re.compile(r"[0-9a-f]{8}")


@dataclass(frozen=True)
class Receipt:
    """A receipt as it reads; nothing of it is believed until `check`.

    Args:
        record_id: the record of the image.
        image_sha256: of the released file, hexadecimal.
        leaf: exact text of the leaf.
        index: the leaf's place in the tree.
        proof: inclusion proof, hashes in base64.
        checkpoint: signed note.
        salt: of the body, hexadecimal.
        body: exact text of the event's body.
        log_origin: the log that issued it.
        log_key_id: id of the key that signed, hexadecimal.
    """

    record_id: str
    image_sha256: str
    leaf: str
    index: int
    proof: tuple[str, ...]
    checkpoint: str
    salt: str
    body: str
    log_origin: str
    log_key_id: str

    def to_json(self) -> str:
        """The receipt as a JSON document."""
        return json.dumps({"format": FORMAT, **asdict(self)}, ensure_ascii=False, indent=2) + "\n"


@dataclass(frozen=True)
class CheckedReceipt:
    """What a receipt established.

    Args:
        time: when the release was recorded, by the operator's clock.
        disclosed: public fields of the event.
        size: size of the tree that the checkpoint signs.
    """

    record_id: str
    image_sha256: str
    event_id: str
    time: datetime
    index: int
    size: int
    root: bytes
    disclosed: dict[str, Any]


def build(log: AuditReader, event_id: EventId, inclusion: Inclusion | None = None) -> Receipt:
    """The receipt of a released image.

    Args:
        log: has the event.
        event_id: of a `released` event.
        inclusion: what `AuditLog.include` gave; without it the newest checkpoint is proved against.

    Raises:
        ReceiptError: the event is no release.
        UnknownEventError: there is no such event, or it is not in the ledger.
    """
    event = log.event(event_id)
    if event.kind != Released.kind:
        raise ReceiptError(f"event {event_id} is {event.kind!r}; receipts are given for released images only")
    inclusion = inclusion or log.prove(event_id)
    return Receipt(
        record_id=event.record_id or "",
        image_sha256=str(event.fields()["image_sha256"]),
        leaf=inclusion.leaf.decode(),
        index=inclusion.index,
        proof=tuple(base64.b64encode(entry).decode() for entry in inclusion.proof),
        checkpoint=inclusion.checkpoint.note,
        salt=event.salt.hex(),
        body=event.body.decode(),
        log_origin=log.public_key.origin,
        log_key_id=log.public_key.key_id.hex(),
    )


def parse(data: str | bytes) -> Receipt:
    """Reads a receipt from anywhere.

    Raises:
        ReceiptFormatError: `data` is no receipt of a known format.
    """
    if len(data) > MAX_RECEIPT_BYTES:
        raise ReceiptFormatError(f"{len(data)} bytes are too many for a receipt (at most {MAX_RECEIPT_BYTES})")
    try:
        fields = json.loads(data, object_pairs_hook=_no_duplicates, parse_constant=_no_constants)
    except (ValueError, RecursionError) as error:
        raise ReceiptFormatError(f"not a receipt: no JSON ({str(error)[:200]})") from error
    if not isinstance(fields, dict):
        raise ReceiptFormatError("not a receipt: expected a JSON object")
    if fields.pop("format", None) != FORMAT:
        raise ReceiptFormatError(f"not a receipt of format {FORMAT!r}")
    match fields:
        case {
            "record_id": str(record_id),
            "image_sha256": str(image_sha256),
            "leaf": str(leaf),
            "index": int(index),
            "proof": list(proof),
            "checkpoint": str(note),
            "salt": str(salt),
            "body": str(body),
            "log_origin": str(log_origin),
            "log_key_id": str(log_key_id),
        } if len(fields) == 10 and not isinstance(index, bool):
            hashes = tuple(entry for entry in proof if isinstance(entry, str))
        case _:
            raise ReceiptFormatError(
                "not a receipt: its fields are not record_id, image_sha256, leaf, index, proof, checkpoint, salt, "
                "body, log_origin, log_key_id with their types"
            )
    if len(hashes) != len(proof) or len(proof) > MAX_PROOF_HASHES:
        raise ReceiptFormatError(f"the proof is no list of at most {MAX_PROOF_HASHES} hashes")
    if not (_SHA256.fullmatch(image_sha256) and _SHA256.fullmatch(salt) and _KEY_ID.fullmatch(log_key_id)):
        raise ReceiptFormatError("image_sha256, salt or log_key_id is no lower-case hexadecimal of its length")
    if not 0 <= index <= checkpoint.MAX_SIZE:
        raise ReceiptFormatError("the index is out of range")
    return Receipt(record_id, image_sha256, leaf, index, hashes, note, salt, body, log_origin, log_key_id)


def check(receipt: Receipt, public_key: LedgerPublicKey) -> CheckedReceipt:
    """Checks a receipt offline, against the log's public key had out of band.

    Raises:
        ReceiptSignatureError: the checkpoint is not signed by that key.
        ReceiptProofError: the leaf is not in the tree that the checkpoint signs.
        ReceiptDisclosureError: the body is not the one that the leaf commits to, or is no release of this
            record and image.
        ReceiptFormatError: a part is malformed.
    """
    try:
        signed = checkpoint.verify(receipt.checkpoint, public_key)
    except CheckpointError as error:
        raise ReceiptSignatureError(f"signature of the checkpoint: {error}") from error
    if (receipt.log_origin, receipt.log_key_id) != (public_key.origin, public_key.key_id.hex()):
        raise ReceiptSignatureError(
            f"the receipt names log {receipt.log_origin[:80]!r}, key {receipt.log_key_id}; "
            f"it was checked against {public_key.origin!r}, key {public_key.key_id.hex()}"
        )
    leaf_bytes = _encode(receipt.leaf, "leaf")
    try:
        leaf = Leaf.parse(leaf_bytes)
    except LedgerError as error:
        raise ReceiptFormatError(f"leaf: {error}") from error
    try:
        verify_inclusion(leaf_hash(leaf_bytes), receipt.index, signed.size, _hashes(receipt), signed.root)
    except ProofError as error:
        raise ReceiptProofError(f"inclusion proof: {error}") from error
    body = _encode(receipt.body, "body")
    if commitment(bytes.fromhex(receipt.salt), body) != leaf.commitment:
        raise ReceiptDisclosureError("the leaf commits to another body than the receipt shows")
    disclosed = _disclosed(receipt, body)
    return CheckedReceipt(
        receipt.record_id,
        receipt.image_sha256,
        leaf.id,
        leaf.time,
        receipt.index,
        signed.size,
        signed.root,
        disclosed,
    )


def check_image(receipt: Receipt, image: bytes) -> None:
    """Checks that `image` is the very file that the receipt was given for.

    Raises:
        ReceiptImageError: it is another file (a re-encoded copy is another file).
    """
    digest = hashlib.sha256(image).hexdigest()
    if digest != receipt.image_sha256:
        raise ReceiptImageError(f"the file has SHA-256 {digest}, the receipt was given for {receipt.image_sha256}")


def check_against_log(receipt: Receipt, log: AuditReader) -> CheckedReceipt:
    """Checks a receipt and that the log still holds what it held when the receipt went out.

    Finds an operator who changed an event, rebuilt the tree and signed it anew, even with every key: the tree
    at the receipt's size then has another root than the one that was signed at the time.

    Raises:
        ReceiptError: as `check`.
        LogRewrittenError: the log was cut back, or its tree or leaf is another.
    """
    checked = check(receipt, log.public_key)
    try:
        root_now = log.root(checked.size)
        leaf_now = log.leaf(checked.index)
    except (UnknownEventError, LedgerError) as error:
        raise LogRewrittenError(
            f"the log cannot show the tree of {checked.size} leaves that it signed: {error}"
        ) from error
    if root_now != checked.root:
        raise LogRewrittenError(
            f"the log signed root {checked.root.hex()} for its first {checked.size} leaves, and now has "
            f"{root_now.hex()} there: what was recorded up to then has been changed"
        )
    if leaf_now != receipt.leaf.encode():
        raise LogRewrittenError(f"the log committed to another event at place {checked.index} than it shows now")
    newest = log.latest_checkpoint()
    if newest is None:
        raise LogRewrittenError("the log shows no checkpoint any more")
    try:
        proof = log.consistency(checked.size, newest.size)
        verify_consistency(checked.size, newest.size, proof, checked.root, newest.root)
    except (ProofError, UnknownEventError) as error:
        raise LogRewrittenError(
            f"the log's newest checkpoint ({newest.size} leaves) does not extend the receipt's: {error}"
        ) from error
    return checked


def _disclosed(receipt: Receipt, body: bytes) -> dict[str, Any]:
    try:
        value = parse_canonical(body)
    except BodyValueError as error:
        raise ReceiptFormatError(f"body: {error}") from error
    match value:
        case {"kind": str(kind), "record": str(record), "public": dict(disclosed)}:
            image = disclosed.get("image_sha256")
        case _:
            raise ReceiptDisclosureError("the body is no event's")
    if kind != Released.kind:
        raise ReceiptDisclosureError(f"the event is {kind[:40]!r}, not a release")
    if record != receipt.record_id:
        raise ReceiptDisclosureError(
            f"the event is of record {record[:128]!r}, the receipt says {receipt.record_id[:128]!r}"
        )
    if image != receipt.image_sha256:
        raise ReceiptDisclosureError(
            f"the event released image {str(image)[:80]!r}, the receipt says {receipt.image_sha256}"
        )
    return disclosed


def _hashes(receipt: Receipt) -> list[bytes]:
    try:
        return [base64.b64decode(entry, validate=True) for entry in receipt.proof]
    except (binascii.Error, ValueError) as error:
        raise ReceiptFormatError("the proof has a hash that is no base64") from error


def _encode(text: str, part: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ReceiptFormatError(f"the {part} is no well-formed Unicode") from error


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key occurs twice")
    return fields


def _no_constants(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")
