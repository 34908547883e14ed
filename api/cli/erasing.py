"""`imprimatur audit erase`, `hold` and `retention`: personal data and how long it stays."""

from __future__ import annotations

import click

from api.cli.output import emit, json_option, reports_errors, service
from api.errors import InvalidInputError


@click.command()
@click.option("--subject", help="Whose data: TENANT/user/NAME, TENANT/key/ID, ...")
@click.option("--tenant", help="With --user: whose user; default: the tenant of the command line.")
@click.option("--user", help="The `user` that requests named.")
@click.option("--ground", required=True, help="On whose request, or under which rule; goes into the log.")
@json_option
@reports_errors
def erase(subject: str | None, tenant: str | None, user: str | None, ground: str, as_json: bool) -> None:
    """Erase all personal data of a subject for good: prompts, names, pixels. Proofs stay valid."""
    with service() as opened:
        name = _subject(subject, tenant or opened.settings.tenant, user)
        erasure, completed = opened.erasing.erase(name, ground=ground, caller=opened.local_caller())
    document = {
        "subject": name,
        "subject_ids": list(erasure.subject_ids),
        "items": sum(erasure.items.values()),
        "objects": completed.objects,
        "epoch": erasure.epoch_after,
        "destroyed_epoch_key": erasure.epoch_key,
        "erased_at": erasure.erased_at.isoformat(),
    }
    if as_json:
        emit(document)
    else:
        click.echo(
            f"erased {document['items']} items and {completed.objects} objects of {name}; epoch key"
            f" {erasure.epoch_key} is destroyed"
        )
        click.echo("Replace the backups of the keys folder now: an old copy would open old backups.", err=True)


@click.group()
def hold() -> None:
    """Legal holds: what they cover is neither erased nor expires."""


@hold.command(name="add")
@click.option("--subject", help="Hold a subject's data: TENANT/user/NAME, ...")
@click.option("--user", help="Hold a user's data, by the `user` that requests named; with --tenant.")
@click.option("--tenant", help="Hold all data of a tenant, or with --user whose user it is.")
@click.option("--record", "records", multiple=True, metavar="ID", help="Hold the data of a record; may be repeated.")
@click.option("--reason", required=True, help="The matter, by its reference; goes into the log.")
@json_option
@reports_errors
def add_hold(
    subject: str | None, user: str | None, tenant: str | None, records: tuple[str, ...], reason: str, as_json: bool
) -> None:
    """Place a legal hold."""
    with service() as opened:
        if user is not None:
            subject, tenant = _subject(subject, tenant or opened.settings.tenant, user), None
        placed = opened.erasing.place_hold(
            reason=reason, caller=opened.local_caller(), subject=subject, tenant=tenant, records=records
        )
    if as_json:
        emit({"hold_id": placed.id, "scope": placed.scope, "placed_at": placed.placed_at.isoformat()})
    else:
        click.echo(placed.id)


@hold.command(name="list")
@click.option("--all", "everything", is_flag=True, help="Also those that were released.")
@json_option
@reports_errors
def list_holds(everything: bool, as_json: bool) -> None:
    """List the legal holds."""
    with service() as opened:
        for found, subject in opened.erasing.holds(released=everything):
            covered = found.tenant or ", ".join(found.records) or subject or "an erased subject"
            document = {
                "hold_id": found.id,
                "scope": found.scope,
                "covers": covered,
                "reason": found.reason,
                "placed_at": found.placed_at.isoformat(),
                "released_at": found.released_at.isoformat() if found.released_at else None,
            }
            state = f"released {found.released_at:%Y-%m-%d}" if found.released_at else "in force"
            line = f"{found.id}  {found.placed_at:%Y-%m-%d}  {state}  {found.scope} {covered}: {found.reason}"
            emit(document) if as_json else click.echo(line)


@hold.command(name="release")
@click.argument("hold_id", metavar="ID")
@click.option("--reason", required=True, help="Why; goes into the log.")
@json_option
@reports_errors
def release_hold(hold_id: str, reason: str, as_json: bool) -> None:
    """Release a legal hold."""
    with service() as opened:
        opened.erasing.release_hold(hold_id, reason=reason, caller=opened.local_caller())
    emit({"released": hold_id}) if as_json else click.echo("released")


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would be erased, and erase nothing.")
@json_option
@reports_errors
def retention(dry_run: bool, as_json: bool) -> None:
    """Erase what the retention rules (IMPRIMATUR_RETENTION_PATH) keep no longer. Run it daily."""
    with service() as opened:
        report = opened.erasing.apply_retention(caller=opened.local_caller(), dry_run=dry_run)
    document = {
        "dry_run": dry_run,
        "expired": len(report.expired),
        "items": sum(report.erasure.items.values()) if report.erasure else 0,
        "objects": report.objects,
        "withheld": report.withheld,
    }
    if as_json:
        emit(document)
    else:
        verb = "would be erased" if dry_run else "erased"
        click.echo(f"{len(report.expired)} keys {verb}; {report.withheld} kept by legal holds")


def _subject(subject: str | None, tenant: str, user: str | None) -> str:
    if (subject is None) == (user is None):
        raise InvalidInputError("name --subject or --user, and not both", parameter="subject")
    return subject if subject is not None else f"{tenant}/user/{user}"
