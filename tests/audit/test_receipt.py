import base64
import dataclasses
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from audit import AuditLog, LedgerKey, Receipt, receipt
from audit.errors import (
    LogRewrittenError,
    ReceiptDisclosureError,
    ReceiptError,
    ReceiptFormatError,
    ReceiptImageError,
    ReceiptProofError,
    ReceiptSignatureError,
)
from audit.events import commitment, encode
from audit.fsck import fsck
from audit.ledger import checkpoint
from audit.ledger.leaf import Leaf
from audit.ledger.merkle import leaf_hash, memory_reader, root
from tests.audit.conftest import ORIGIN
from tests.audit.samples import IMAGE, as_superuser, failed, released


@pytest.fixture
def issued(log: AuditLog) -> Receipt:
    """A receipt from the middle of a log."""
    for number in range(5):
        log.append(failed(number))
    event_id, inclusion = log.record(released())
    made = receipt.build(log, event_id, inclusion)
    for number in range(4):
        log.append(failed(number))
    log.checkpoint()
    return made


def test_a_receipt_reads_back_and_checks_offline(issued: Receipt, ledger_key: LedgerKey) -> None:
    parsed = receipt.parse(issued.to_json())
    assert parsed == issued
    checked = receipt.check(parsed, ledger_key.public)
    assert (checked.record_id, checked.index, checked.size) == ("record-1", 5, 6)
    assert checked.image_sha256 == checked.disclosed["image_sha256"]
    receipt.check_image(parsed, IMAGE)


def test_a_receipt_shows_no_prompt_user_tenant_or_verdict(issued: Receipt) -> None:
    text_form = issued.to_json()
    for secret in ("secret-tenant", "prompt", "findings", "policy", "seed", "emblem"):
        assert secret not in text_form


def test_a_receipt_can_be_made_later_against_a_newer_checkpoint(log: AuditLog, issued: Receipt) -> None:
    event_id = log.recent(1, kind="released")[0].id
    later = receipt.build(log, event_id)
    assert receipt.check(later, log.public_key).size == 10
    receipt.check_against_log(later, log)


def test_only_releases_have_receipts(log: AuditLog) -> None:
    event_id, inclusion = log.record(failed())
    with pytest.raises(ReceiptError, match="released images only"):
        receipt.build(log, event_id, inclusion)


def test_the_log_that_kept_its_word_passes(issued: Receipt, log: AuditLog) -> None:
    assert receipt.check_against_log(issued, log).index == 5


def test_another_image_is_refused(issued: Receipt) -> None:
    with pytest.raises(ReceiptImageError):
        receipt.check_image(issued, IMAGE + b"\0")


def test_another_logs_key_is_refused(issued: Receipt) -> None:
    with pytest.raises(ReceiptSignatureError):
        receipt.check(issued, LedgerKey.generate(ORIGIN).public)


def flip(hexadecimal: str) -> str:
    return ("0" if hexadecimal[0] != "0" else "1") + hexadecimal[1:]


OTHER_HASH = base64.b64encode(b"\1" * 32).decode()
CHANGES: list[tuple[Callable[[Receipt], dict[str, Any]], type[ReceiptError]]] = [
    (lambda r: {"record_id": "record-2"}, ReceiptDisclosureError),
    (lambda r: {"image_sha256": flip(r.image_sha256)}, ReceiptDisclosureError),
    (lambda r: {"body": r.body.replace(r.image_sha256, flip(r.image_sha256))}, ReceiptDisclosureError),
    (lambda r: {"salt": flip(r.salt)}, ReceiptDisclosureError),
    (lambda r: {"index": r.index - 1}, ReceiptProofError),
    (lambda r: {"index": 10**15}, ReceiptProofError),
    (lambda r: {"proof": r.proof[1:]}, ReceiptProofError),
    (lambda r: {"proof": (*r.proof, OTHER_HASH)}, ReceiptProofError),
    (lambda r: {"proof": (OTHER_HASH, *r.proof[1:])}, ReceiptProofError),
    (lambda r: {"proof": ("AAAA", *r.proof[1:])}, ReceiptProofError),
    (lambda r: {"proof": ("not base64!", *r.proof[1:])}, ReceiptFormatError),
    (lambda r: {"leaf": r.leaf.replace('"version":1', '"version":2')}, ReceiptFormatError),
    (lambda r: {"leaf": r.leaf + " "}, ReceiptFormatError),
    (lambda r: {"leaf": r.leaf.replace("Z", "\ud800")}, ReceiptFormatError),
    (lambda r: {"leaf": r.leaf.replace('"commitment":"', '"commitment":"' + "0" * 4)[:-4]}, ReceiptFormatError),
    (lambda r: {"checkpoint": r.checkpoint.replace("\n6\n", "\n7\n")}, ReceiptSignatureError),
    (lambda r: {"checkpoint": ""}, ReceiptSignatureError),
    (lambda r: {"log_origin": "other.example/log"}, ReceiptSignatureError),
    (lambda r: {"log_key_id": "00000000"}, ReceiptSignatureError),
]


@pytest.mark.parametrize(("change", "error"), CHANGES)
def test_each_changed_part_is_named(
    issued: Receipt, ledger_key: LedgerKey, change: Callable[[Receipt], dict[str, Any]], error: type[ReceiptError]
) -> None:
    changed = dataclasses.replace(issued, **change(issued))
    assert changed != issued
    with pytest.raises(error):
        receipt.check(changed, ledger_key.public)


def test_another_event_of_the_same_log_cannot_pass_as_a_release(log: AuditLog, issued: Receipt) -> None:
    """An operator who hands out a true proof of the wrong event."""
    event_id, inclusion = log.record(failed(1))
    event = log.event(event_id)
    forged = dataclasses.replace(
        issued,
        leaf=inclusion.leaf.decode(),
        index=inclusion.index,
        proof=tuple(base64.b64encode(entry).decode() for entry in inclusion.proof),
        checkpoint=inclusion.checkpoint.note,
        salt=event.salt.hex(),
        body=event.body.decode(),
    )
    with pytest.raises(ReceiptDisclosureError, match="not a release"):
        receipt.check(forged, log.public_key)


def rewrite(owner: Engine, key: LedgerKey, index: int, new_image: bytes) -> None:
    """An operator with every key: changes an event, rebuilds leaf, tree and checkpoints, signs them anew."""
    with owner.connect() as connection:
        ids = connection.scalars(text("SELECT event_id::text FROM ledger_leaves ORDER BY index")).all()
        leaves = [bytes(x) for x in connection.scalars(text("SELECT leaf FROM ledger_leaves ORDER BY index"))]
        sizes = connection.scalars(text("SELECT size FROM ledger_checkpoints ORDER BY size")).all()
        salt, private_salt = connection.execute(
            text("SELECT salt, private_salt FROM audit_events WHERE id = CAST(:id AS uuid)"), {"id": ids[index]}
        ).one()
    forged = encode(released(new_image), bytes(salt), bytes(private_salt))
    time = Leaf.parse(leaves[index]).time
    leaves[index] = Leaf(ids[index], time, forged.commitment).encode()
    read = memory_reader([leaf_hash(leaf) for leaf in leaves])
    as_superuser(
        owner,
        "UPDATE audit_events SET kind = 'released', record_id = 'record-1', body = :body, private = :private,"
        " commitment = :commitment WHERE id = CAST(:id AS uuid)",
        "UPDATE ledger_leaves SET leaf = :leaf WHERE index = :index",
        id=ids[index],
        body=forged.body,
        private=forged.private,
        commitment=forged.commitment,
        leaf=leaves[index],
        index=index,
    )
    for size in sizes:
        signed = checkpoint.sign(size, root(size, read), key)
        as_superuser(
            owner,
            "UPDATE ledger_checkpoints SET root = :root, note = :note WHERE size = :size",
            root=signed.root,
            note=signed.note,
            size=size,
        )


def test_a_receipt_exposes_an_operator_who_rewrote_a_past_event_with_every_key(
    issued: Receipt, log: AuditLog, owner: Engine, service: Engine, ledger_key: LedgerKey
) -> None:
    rewrite(owner, ledger_key, index=5, new_image=b"another image")
    assert fsck(service, log).ok, "the rewritten log is consistent in itself, with true signatures"
    assert receipt.check(issued, ledger_key.public).index == 5
    with pytest.raises(LogRewrittenError, match="has been changed"):
        receipt.check_against_log(receipt.parse(issued.to_json()), log)


def test_a_receipt_exposes_the_change_of_an_earlier_event(
    issued: Receipt, log: AuditLog, owner: Engine, service: Engine, ledger_key: LedgerKey
) -> None:
    rewrite(owner, ledger_key, index=2, new_image=b"another image")
    assert fsck(service, log).ok
    with pytest.raises(LogRewrittenError):
        receipt.check_against_log(issued, log)


def test_a_change_of_a_later_event_is_not_this_receipts_business(
    issued: Receipt, log: AuditLog, owner: Engine, ledger_key: LedgerKey
) -> None:
    """What a receipt does not prove: anything after its checkpoint."""
    rewrite(owner, ledger_key, index=8, new_image=b"another image")
    assert receipt.check_against_log(issued, log).index == 5


def test_a_receipt_exposes_a_log_that_was_cut_back(issued: Receipt, log: AuditLog, owner: Engine) -> None:
    as_superuser(
        owner,
        "DELETE FROM audit_events WHERE id IN (SELECT event_id FROM ledger_leaves WHERE index >= 3)",
        "DELETE FROM ledger_leaves WHERE index >= 3",
        "DELETE FROM ledger_checkpoints WHERE size > 3",
    )
    with pytest.raises(LogRewrittenError, match="cannot show"):
        receipt.check_against_log(issued, log)


def test_a_receipt_exposes_a_leaf_that_was_exchanged_behind_the_tiles(log: AuditLog, owner: Engine) -> None:
    """Full tiles still give the old root; the leaf itself does not."""
    event_id, _ = log.record(released())
    log.append_all([failed(number) for number in range(300)])
    log.checkpoint()
    made = receipt.build(log, event_id)
    as_superuser(owner, "UPDATE ledger_leaves SET leaf = leaf || ' ' WHERE index = 0")
    with pytest.raises(LogRewrittenError, match="another event"):
        receipt.check_against_log(made, log)


def test_a_new_log_with_the_old_key_is_exposed(
    issued: Receipt, owner: Engine, service: Engine, ledger_key: LedgerKey, clock: Callable[[], datetime]
) -> None:
    as_superuser(owner, "TRUNCATE audit_events, ledger_leaves, ledger_checkpoints, ledger_queue")
    log = AuditLog(service, ledger_key, clock)
    with pytest.raises(LogRewrittenError):
        receipt.check_against_log(issued, log)
    for number in range(12):
        log.append(failed(number))
    log.checkpoint()
    with pytest.raises(LogRewrittenError):
        receipt.check_against_log(issued, log)


def test_the_disclosed_body_is_bound_to_the_leaf(issued: Receipt) -> None:
    leaf = Leaf.parse(issued.leaf.encode())
    assert commitment(bytes.fromhex(issued.salt), issued.body.encode()) == leaf.commitment


@pytest.mark.parametrize(
    "data",
    [
        "",
        "null",
        "[]",
        "{}",
        "{",
        b"\xff\xfe",
        '{"format": "imprimatur-receipt/2"}',
        '{"format": "imprimatur-receipt/1"}',
        '{"format": "imprimatur-receipt/1", "format": "imprimatur-receipt/1"}',
        "[" * 100_000,
        "x" * 300_000,
        '{"format": NaN}',
    ],
)
def test_what_is_no_receipt_is_refused(data: str | bytes) -> None:
    with pytest.raises(ReceiptFormatError):
        receipt.parse(data)


GOOD = {
    "format": receipt.FORMAT,
    "record_id": "r",
    "image_sha256": "ab" * 32,
    "leaf": "l",
    "index": 0,
    "proof": [OTHER_HASH],
    "checkpoint": "c",
    "salt": "cd" * 32,
    "body": "b",
    "log_origin": "o",
    "log_key_id": "00112233",
}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((name, None) for name in GOOD),
        *((name, 7) for name in GOOD if name != "index"),
        ("index", True),
        ("index", -1),
        ("index", 2**63),
        ("index", 1.5),
        ("proof", [OTHER_HASH] * 64),
        ("proof", [1]),
        ("salt", "cd" * 31),
        ("image_sha256", "AB" * 32),
        ("log_key_id", "xyz"),
        ("extra", 1),
    ],
)
def test_fields_of_another_type_or_shape_are_refused(field: str, value: object) -> None:
    assert receipt.parse(json.dumps(GOOD)).record_id == "r"
    with pytest.raises(ReceiptFormatError):
        receipt.parse(json.dumps({**GOOD, field: value}))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(list(GOOD)), json_values, max_size=3), st.binary(max_size=60))
def test_hostile_input_gives_typed_errors_only(changes: dict[str, Any], noise: bytes) -> None:
    key = LedgerKey.generate("log.example/fuzz")
    for data in (noise, json.dumps({**GOOD, **changes})):
        with pytest.raises(ReceiptError):
            receipt.check(receipt.parse(data), key.public)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(data=st.data())
def test_no_single_changed_character_passes(issued: Receipt, ledger_key: LedgerKey, data: st.DataObject) -> None:
    """Over the compact form, whose every character means something."""
    good = json.dumps(json.loads(issued.to_json()), ensure_ascii=False, separators=(",", ":"))
    position = data.draw(st.integers(0, len(good) - 1))
    character = data.draw(st.characters(min_codepoint=32, max_codepoint=126))
    changed = good[:position] + character + good[position + 1 :]
    try:
        if json.loads(changed) == json.loads(good):
            return  # another way to write the same receipt
    except ValueError:
        pass
    with pytest.raises(ReceiptError):
        receipt.check(receipt.parse(changed), ledger_key.public)
