"""`imprimatur audit`: reading, proving and checking the log."""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Any

import click

from api.cli import erasing, report
from api.cli.output import EXIT_FAILURE, emit, json_option, reports_errors, service
from api.errors import InvalidInputError


@click.group()
def command() -> None:
    """The audit log: records, proofs, receipts, checkpoints, fsck, reports."""


command.add_command(report.command, "report")
for _command in (erasing.erase, erasing.hold, erasing.retention):
    command.add_command(_command)


@command.command()
@click.argument("record_id", metavar="ID")
@json_option
@reports_errors
def show(record_id: str, as_json: bool) -> None:
    """Show a record with all its events."""
    with service() as opened:
        document = opened.results.record(record_id, opened.local_caller())
    if as_json:
        emit(document)
        return
    print_record(document)


def print_record(document: dict[str, Any]) -> None:
    """Print a record with its events for a person."""
    click.echo(f"{document['record_id']}  {document['state']}")
    if document["prompt"]:
        click.echo(f"  prompt   {document['prompt'].get('prompt', 'erased')!r}")
    for event in document["events"]:
        click.echo(f"  {event['time']}  {event['kind']:<10} leaf {event['index']}  event {event['id']}")
        for line in _facts(event["fields"]):
            click.echo(f"      {line}")


def _facts(fields: dict[str, Any]) -> list[str]:
    """The facts of an event that a reader looks for first, one a line."""
    lines = []
    if model := fields.get("model"):
        lines.append(f"model {model['id']}, digest {model['digest']}")
    if policy := fields.get("policy"):
        lines.append(f"policy {policy['id']} {policy['version']}, decision {fields['decision']['outcome']}")
    for finding in fields.get("findings") or ():
        lines.append(
            f"{finding['outcome']:<6} {finding['category']}: score {finding['score']},"
            f" threshold {finding['threshold']}, by {finding['check']} {finding['version']}"
        )
    if nearest := fields.get("nearest_reference"):
        lines.append(f"nearest reference {nearest['reference'] or 'none'}, index snapshot {nearest['snapshot']}")
    if mark := fields.get("watermark"):
        lines.append(f"watermark {mark['payload']}, read back from the final file")
    if credential := fields.get("credential"):
        lines.append(f"credential {credential['manifest']}")
    if digest := fields.get("image_sha256"):
        lines.append(f"image SHA-256 {digest}")
    if message := fields.get("message") or fields.get("reason"):
        lines.append(str(message))
    return lines


@command.command(name="list")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Newest records to list.")
@json_option
@reports_errors
def list_records(limit: int, as_json: bool) -> None:
    """List the newest records."""
    with service() as opened:
        for record in opened.records.newest(tenant=None, limit=limit):
            document = {
                "record_id": record.record_id,
                "state": record.state,
                "tenant": record.tenant,
                "created_at": record.created_at.isoformat(),
            }
            line = f"{record.created_at:%Y-%m-%d %H:%M:%S}  {record.state:<9} {record.tenant}  {record.record_id}"
            emit(document) if as_json else click.echo(line)


@command.command()
@click.argument("record_id", metavar="ID")
@json_option
@reports_errors
def prove(record_id: str, as_json: bool) -> None:
    """Prove that every event of a record is in the ledger, against the newest checkpoint."""
    with service() as opened:
        proofs = opened.results.proofs(record_id, opened.local_caller())
        key = str(opened.log.public_key)
    document = {"record_id": record_id, "log_key": key, "proofs": proofs}
    if as_json:
        emit(document)
        return
    for proof in proofs:
        click.echo(f"{proof['kind']}: leaf {proof['index']} of {proof['size']}, {len(proof['proof'])} hashes")
    click.echo(proofs[-1]["checkpoint"])


@command.command(name="check-receipt")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--image", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Also check the image file itself."
)
@click.option("--log-key", help="The log's public key, had from elsewhere: check offline, without the log.")
@json_option
@reports_errors
def check_receipt(path: Path, image: Path | None, log_key: str | None, as_json: bool) -> None:
    """Check a receipt: signature, inclusion, and that the log still holds what it held then."""
    from audit import receipt as receipts
    from audit.errors import AuditUnavailableError, CheckpointError, ReceiptError
    from audit.ledger import LedgerPublicKey

    document: dict[str, Any]
    try:
        receipt = receipts.parse(path.read_bytes())
        if log_key is not None:
            try:
                checked = receipts.check(receipt, LedgerPublicKey.parse(log_key))
            except CheckpointError as error:
                raise InvalidInputError(str(error), parameter="log-key") from error
        else:
            with service() as opened:
                checked = receipts.check_against_log(receipt, opened.log)
        if image is not None:
            receipts.check_image(receipt, image.read_bytes())
    except AuditUnavailableError:
        raise
    except ReceiptError as error:
        document = {"file": str(path), "ok": False, "problem": type(error).__name__, "message": str(error)}
    else:
        document = {
            "file": str(path),
            "ok": True,
            "record_id": checked.record_id,
            "image_sha256": checked.image_sha256,
            "image_checked": image is not None,
            "log_checked": log_key is None,
            "released_at": checked.time.isoformat(),
            "leaf": checked.index,
            "size": checked.size,
        }
    if as_json:
        emit(document)
    elif document["ok"]:
        click.echo(f"{path}: holds; record {document['record_id']}, leaf {document['leaf']} of {document['size']}")
        click.echo(f"  image SHA-256 {document['image_sha256']}")
    else:
        click.echo(f"{path}: does NOT hold: {document['message']}")
    if not document["ok"]:
        sys.exit(EXIT_FAILURE)


@command.command()
@json_option
@reports_errors
def fsck(as_json: bool) -> None:
    """Rebuild the ledger from the events, compare everything, name what differs."""
    with service() as opened:
        report = opened.fsck()
    document = {
        "ok": report.ok,
        "events": report.events,
        "waiting": report.waiting,
        "differences": list(report.differences),
        "not_checked": list(report.not_checked),
    }
    if as_json:
        emit(document)
    else:
        click.echo(f"{report.events} events: {'no difference' if report.ok else 'DIFFERENCES'}")
        for reason in report.not_checked:
            click.echo(f"  not checked: {reason}")
        for difference in report.differences:
            click.echo(f"  {difference}")
    if not report.ok:
        sys.exit(EXIT_FAILURE)


@command.command()
@click.option("--stamp", is_flag=True, help="Have it stamped by the time-stamp authority (RFC 3161).")
@json_option
@reports_errors
def checkpoint(stamp: bool, as_json: bool) -> None:
    """Sign and print a checkpoint of everything recorded so far."""
    with service() as opened:
        stamped = opened.checkpointing.stamped() if stamp else None
        signed = stamped.checkpoint if stamped else opened.checkpoint()
        key = str(opened.log.public_key)
    if as_json:
        document = {"size": signed.size, "root": signed.root.hex(), "note": signed.note, "log_key": key}
        if stamped is not None:
            document |= {
                "stamped_at": stamped.time.isoformat(),
                "authority": stamped.authority,
                "stamp": base64.b64encode(stamped.response).decode(),
            }
        emit(document)
        return
    click.echo(signed.note, nl=False)
    click.echo(f"log key: {key}", err=True)
    if stamped is not None:
        click.echo(f"stamped {stamped.time.isoformat()} by {stamped.authority}", err=True)


@command.command()
@click.argument("old_size", metavar="OLD", type=click.IntRange(min=0))
@click.argument("new_size", metavar="[NEW]", type=click.IntRange(min=0), required=False)
@json_option
@reports_errors
def consistency(old_size: int, new_size: int | None, as_json: bool) -> None:
    """Prove that the ledger of NEW leaves (the newest checkpoint) extends that of its first OLD leaves."""
    from audit.errors import LedgerError, UnknownEventError

    with service() as opened:
        newest = opened.checkpoint()
        size = newest.size if new_size is None else new_size
        try:
            proof = opened.log.consistency(old_size, size)
            roots = [opened.log.root(one) for one in (old_size, size)]
        except (LedgerError, UnknownEventError) as error:
            raise InvalidInputError(str(error)) from error
    document = {
        "from": old_size,
        "to": size,
        "old_root": base64.b64encode(roots[0]).decode(),
        "new_root": base64.b64encode(roots[1]).decode(),
        "proof": [base64.b64encode(entry).decode() for entry in proof],
        "checkpoint": newest.note if size == newest.size else None,
    }
    if as_json:
        emit(document)
        return
    click.echo(f"{old_size} leaves, root {document['old_root']}")
    click.echo(f"{size} leaves, root {document['new_root']}")
    for entry in proof:
        click.echo(f"  {base64.b64encode(entry).decode()}")


@command.command(name="check-checkpoint")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--log-key", required=True, help="The log's public key, had from elsewhere.")
@click.option("--stamp", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="RFC 3161 response on it.")
@click.option(
    "--anchors",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Root certificates of the time-stamp authority (PEM), had from elsewhere.",
)
@json_option
@reports_errors
def check_checkpoint(path: Path, log_key: str, stamp: Path | None, anchors: Path | None, as_json: bool) -> None:
    """Check a checkpoint's signature, and a time stamp on it, offline."""
    from audit.errors import AuditError, LedgerError
    from audit.ledger import LedgerPublicKey
    from audit.ledger.checkpoint import verify
    from audit.stamping import StampTrust

    if (stamp is None) != (anchors is None):
        raise InvalidInputError("a time stamp is checked with --stamp and --anchors together", parameter="stamp")
    document: dict[str, Any] = {"file": str(path), "ok": True}
    try:
        signed = verify(path.read_bytes().decode("utf-8", "replace"), LedgerPublicKey.parse(log_key))
        document |= {"origin": signed.origin, "size": signed.size, "root": signed.root.hex()}
        if stamp is not None and anchors is not None:
            verified = StampTrust.load(anchors).verify(stamp.read_bytes(), signed)
            document |= {"stamped_at": verified.time.isoformat(), "authority": verified.authority}
    except LedgerError as error:
        document = {"file": str(path), "ok": False, "problem": type(error).__name__, "message": str(error)}
    except AuditError as error:
        raise InvalidInputError(str(error)) from error
    if as_json:
        emit(document)
    elif document["ok"]:
        click.echo(f"{path}: holds; {document['size']} leaves, root {document['root']}")
        if stamp is not None:
            click.echo(f"  stamped {document['stamped_at']} by {document['authority']}")
    else:
        click.echo(f"{path}: does NOT hold: {document['message']}")
    if not document["ok"]:
        sys.exit(EXIT_FAILURE)
