"""`imprimatur trust`: whose credentials and time stamps are trusted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from api.cli.output import emit, json_option, reports_errors, service

if TYPE_CHECKING:
    from provenance.trust import TrustList

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def command() -> None:
    """Trust lists: show, update, add. Every change is logged; every list that was used can be used again."""


@command.command()
@click.option("--digest", help="An earlier list, by its digest.")
@json_option
@reports_errors
def show(digest: str | None, as_json: bool) -> None:
    """Show the trust list in force: its name, date, digest, and certificates."""
    with service() as opened:
        _print(opened.trust_list(digest), as_json=as_json)


@command.command()
@click.option("--signers", type=_FILE, help="PEM file: the C2PA trust list.")
@click.option("--time-stamps", type=_FILE, help="PEM file: the C2PA list of time-stamp authorities.")
@click.option("--name", help="What the list is called.")
@click.option("--dated", help="The list's day, such as 2026-11-22.")
@json_option
@reports_errors
def update(signers: Path | None, time_stamps: Path | None, name: str | None, dated: str | None, as_json: bool) -> None:
    """Put newer official lists in force. Without a file: those that ship with this program. Added ones stay."""
    with service() as opened:
        trust = opened.trust_lists.update(signers=signers, time_stamps=time_stamps, name=name, dated=dated)
        _print(trust, as_json=as_json, certificates=False)


@command.command()
@click.argument("file", type=_FILE)
@click.option("--label", required=True, help="Whose certificates they are, in words.")
@click.option("--time-stamps", is_flag=True, help="Trust them to stamp times, instead of to sign.")
@click.option("--test-only", is_flag=True, help="Say so wherever trust rests on them.")
@json_option
@reports_errors
def add(file: Path, label: str, time_stamps: bool, test_only: bool, as_json: bool) -> None:
    """Trust the certificates of a PEM FILE as well."""
    with service() as opened:
        kind = "time_stamp" if time_stamps else "signer"
        trust = opened.trust_lists.add(file, kind=kind, label=label, test_only=test_only)  # type: ignore[arg-type]  # one of the two
        _print(trust, as_json=as_json, certificates=False)


def _print(trust: TrustList, *, as_json: bool, certificates: bool = True) -> None:
    counts = {kind: sum(one.kind == kind for one in trust.anchors) for kind in ("signer", "time_stamp")}
    if as_json:
        emit(_document(trust))
        return
    click.echo(f"{trust.name}" + (f", of {trust.dated}" if trust.dated else ""))
    click.echo(f"digest {trust.digest}")
    click.echo(f"{counts['signer']} certificates for signers, {counts['time_stamp']} for time stamps")
    for anchor in trust.anchors if certificates else ():
        kind = "time stamps" if anchor.kind == "time_stamp" else "signers"
        tests = ", test only" if anchor.test_only else ""
        click.echo(f"  {anchor.sha256[:16]}  {anchor.expires}  {anchor.subject}  ({kind}, {anchor.source}{tests})")


def _document(trust: TrustList) -> dict[str, Any]:
    return {
        "name": trust.name,
        "dated": trust.dated,
        "digest": trust.digest,
        "key_purposes": list(trust.key_purposes),
        "anchors": [
            {
                "sha256": one.sha256,
                "subject": one.subject,
                "expires": one.expires,
                "for": one.kind,
                "source": one.source,
                "test_only": one.test_only,
            }
            for one in trust.anchors
        ],
    }
