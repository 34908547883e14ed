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
@json_option
@reports_errors
def command(sources: tuple[str, ...], fail_on: tuple[str, ...], as_json: bool) -> None:
    """Tell what can be known about the origin of images. Nothing of them is stored."""
    broken = failing = False
    with service() as opened:
        for source in expand(sources):
            document = _document(opened, source)
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


def _document(opened: Imprimatur, source: str) -> dict[str, Any]:
    try:
        report = opened.verification.verify(opened.read_source(source), opened.local_caller())
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
    if document["record_id"]:
        click.echo(f"  record {document['record_id']}")
