"""`imprimatur inspect`: all image checks on files."""

from __future__ import annotations

import sys
from typing import Any

import click

from api.cli.output import EXIT_FAILURE, emit, json_option, reports_errors, service
from api.cli.verify import expand
from api.errors import ServiceError


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@json_option
@reports_errors
def command(files: tuple[str, ...], as_json: bool) -> None:
    """Examine images with all image checks. No record is made."""
    broken = False
    with service() as opened:
        for file in expand(files):
            document: dict[str, Any]
            try:
                findings = opened.inspect(opened.read_source(file))
            except ServiceError as error:
                broken = True
                document = {"file": file, "findings": [], **error.to_document()}
            else:
                broken |= any(finding["outcome"] == "error" for finding in findings)
                document = {"file": file, "findings": findings}
            if as_json:
                emit(document)
                continue
            click.echo(file)
            if "error" in document:
                click.echo(f"  could not be examined: {document['error']['message']}")
            for finding in document["findings"]:
                click.echo(
                    f"  {finding['outcome']:<6} {finding['category']} {finding['score']:.3f}"
                    f" (threshold {finding['threshold']:.3f}) by {finding['check']} {finding['version']}"
                )
    if broken:
        sys.exit(EXIT_FAILURE)
