"""`imprimatur reviews`: what a policy holds, and a person's decision on it."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Any

import click

from api.cli.output import emit, json_option, reports_errors, service

_STATES = ("waiting", "approved", "rejected", "expired", "all")
_reason = click.option("--reason", required=True, help="Why; one line, written into the audit log.")
_reviewer = click.option("--reviewer", default=getpass.getuser, help="Who decides; default: the login name.")


@click.group()
def command() -> None:
    """What a policy holds for a person: list, show, approve, reject."""


@command.command(name="list")
@click.option("--state", type=click.Choice(_STATES), default="waiting", show_default=True)
@click.option("--limit", type=click.IntRange(1, 500), default=100, show_default=True)
@json_option
@reports_errors
def list_items(state: str, limit: int, as_json: bool) -> None:
    """List held items, those that wait longest first."""
    with service() as opened:
        items = opened.reviews.items(opened.local_caller(), state=None if state == "all" else state, limit=limit)
        for item in items:
            if as_json:
                emit(item.to_document())
            else:
                until = item.expires_at.isoformat(timespec="minutes")
                click.echo(
                    f"{item.review_id}  {item.state:<8} {item.stage:<6} {','.join(item.categories)}"
                    f"  tenant {item.tenant}, until {until}"
                )
        if not items and not as_json:
            click.echo("nothing waits" if state == "waiting" else "none", err=True)


@command.command()
@click.argument("review_id")
@click.option("--image", type=click.Path(path_type=Path, dir_okay=False), help="Write the picture that waits here.")
@json_option
@reports_errors
def show(review_id: str, image: Path | None, as_json: bool) -> None:
    """Show an item: prompt, findings, policy; --image writes the picture, unsigned."""
    with service() as opened:
        caller = opened.local_caller()
        shown = opened.reviews.show(review_id, caller)
        if image is not None:
            from api.cli.generate import write_whole

            write_whole(image, opened.reviews.image(review_id, caller)[0])
    emit(shown) if as_json else _print_item(shown)


@command.command()
@click.argument("review_id")
@_reason
@_reviewer
@json_option
@reports_errors
def approve(review_id: str, reason: str, reviewer: str, as_json: bool) -> None:
    """Approve an item: an image is signed and released, a prompt is generated now."""
    with service() as opened:
        outcome = opened.reviews.approve(review_id, opened.local_caller(), reason=reason, reviewer=reviewer)
    _print_outcome(outcome, as_json=as_json)


@command.command()
@click.argument("review_id")
@_reason
@_reviewer
@json_option
@reports_errors
def reject(review_id: str, reason: str, reviewer: str, as_json: bool) -> None:
    """Reject an item: it is refused for good."""
    with service() as opened:
        outcome = opened.reviews.reject(review_id, opened.local_caller(), reason=reason, reviewer=reviewer)
    _print_outcome(outcome, as_json=as_json)


def _print_item(shown: dict[str, Any]) -> None:
    prompt = shown["prompt"] or {}
    policy = shown["policy"]
    categories = ", ".join(shown["categories"])
    click.echo(f"{shown['review_id']}  {shown['state']}, held at the {shown['stage']} for {categories}")
    click.echo(f"  record   {shown['record_id']}, tenant {shown['tenant']}")
    click.echo(f"  policy   {policy['id']} {policy['version']}, sha256 {policy['digest']}")
    click.echo(f"  held     {shown['held_at']}, until {shown['expires_at']}")
    click.echo(f"  prompt   {prompt.get('prompt', '(erased)')!r}")
    for finding in shown["findings"]:
        if finding["outcome"] in ("flag", "block"):
            click.echo(
                f"  finding  {finding['category']} ({finding['outcome']}) by {finding['check']},"
                f" {finding['score']} at threshold {finding['threshold']}"
            )
    if shown["decided"]:
        decided = shown["decided"]
        click.echo(f"  decided  {decided['decision']} at {decided['time']}: {decided['reason']}")


def _print_outcome(outcome: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        emit(outcome)
        return
    click.echo(f"{outcome['review_id']}  {outcome['state']}")
    for record in outcome["records"]:
        click.echo(f"  {record['record_id']}  {record['state']}")
