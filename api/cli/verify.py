"""`imprimatur verify`: what can be known about the origin of images."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from api.cli.output import EXIT_FAILURE, EXIT_REFUSED, emit, json_option, reports_errors, service
from api.conclusions import CONCLUSIONS
from api.errors import ServiceError
from api.fetching import is_url

if TYPE_CHECKING:
    from api.composition import Imprimatur

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".webp", ".avif", ".tif", ".tiff", ".gif", ".bmp"})


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="FILE... | URL | FOLDER")
@click.option(
    "--fail-on",
    multiple=True,
    type=click.Choice(CONCLUSIONS),
    help="Exit with 1 if this conclusion holds for any file; may be repeated.",
)
@click.option("--trust-list", help="Judge by an earlier trust list, named by its digest (see `trust show`).")
@json_option
@reports_errors
def command(sources: tuple[str, ...], fail_on: tuple[str, ...], trust_list: str | None, as_json: bool) -> None:
    """Tell what can be known about the origin of images. Nothing of them is stored."""
    broken = failing = False
    with service() as opened:
        for source in expand(sources):
            document = _document(opened, source, trust_list)
            broken |= "error" in document
            failing |= bool(set(fail_on) & set(document["conclusions"]))
            emit(document) if as_json else print_report(document)
    sys.exit(EXIT_FAILURE if broken else EXIT_REFUSED if failing else 0)


def expand(sources: tuple[str, ...]) -> Iterator[str]:
    """Files and URLs as given; of a folder, the image files below it in the order of their names."""
    for source in sources:
        if not is_url(source) and Path(source).is_dir():
            files = (path for path in Path(source).rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
            yield from sorted(str(path) for path in files if path.is_file())
        else:
            yield source


def _document(opened: Imprimatur, source: str, trust_list: str | None) -> dict[str, Any]:
    try:
        report = opened.verification.verify(opened.read_source(source), opened.local_caller(), trust_list=trust_list)
    except ServiceError as error:
        empty: dict[str, Any] = {
            "file": source,
            "conclusion": None,
            "conclusions": [],
            "evidence": [],
            "record_id": None,
        }
        return {**empty, **error.to_document()}
    return {"file": source, **report.to_document()}


def print_report(document: dict[str, Any]) -> None:
    """Print one file's report for a person."""
    click.echo(document["file"])
    if "error" in document:
        click.echo(f"  could not be examined: {document['error']['message']}")
        return
    click.echo(f"  {document['conclusion']}: {document['statement']}")
    for evidence in document["evidence"]:
        click.echo(f"  - {evidence['technique']} ({evidence['status']}): {evidence['summary']}")
        if evidence["technique"] == "credential" and "signer" in evidence["details"]:
            _print_credential(evidence["details"])
    if document["record_id"]:
        click.echo(f"  record {document['record_id']}")


def _print_credential(details: dict[str, Any]) -> None:
    """Who signed and when, by which list that was judged, what is claimed, and what went in."""
    signer, trust = details["signer"], details["trust_list"]
    if signer:
        click.echo(f"      signer: {signer['name']} (issued by {signer['issuer']})")
        if signer["time"]:
            trusted = "trusted" if signer["time_is_trusted"] else "not trusted"
            click.echo(f"      time of signing: {signer['time']} (authority {trusted})")
        if signer["valid_from"]:
            click.echo(f"      certificate valid: {signer['valid_from']} to {signer['valid_to']}")
        click.echo(f"      revocation: {signer['revocation'].replace('_', ' ')}")
    if trust:
        dated = f" of {trust['dated']}" if trust["dated"] else ""
        click.echo(f"      judged by: {trust['name']}{dated}, digest {trust['digest'][:16]}")
    for standing, claims in details["claims"].items():
        if claims:
            click.echo(f"      claims ({standing}): {', '.join(claims)}")
    _print_ingredients(details["ingredients"], "      ")
    for code in details["codes"]:
        if code["outcome"] == "failure":
            click.echo(f"      {code['code']}: {code['explanation']}")


def _print_ingredients(ingredients: list[dict[str, Any]], indent: str) -> None:
    for ingredient in ingredients:
        failures = ", ".join(code["code"] for code in ingredient["failures"])
        signer = f", signed by {ingredient['signer']}" if ingredient["signer"] else ""
        broken = f": BROKEN ({failures})" if failures else ""
        click.echo(f"{indent}ingredient {ingredient['title']} ({ingredient['relationship']}{signer}){broken}")
        _print_ingredients(ingredient["ingredients"], indent + "  ")
