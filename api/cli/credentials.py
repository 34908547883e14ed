"""`imprimatur credentials`: the manifests that are kept."""

from __future__ import annotations

import click

from api.cli.output import emit, json_option, reports_errors, service


@click.group()
def command() -> None:
    """The repository of manifests: stamp what was signed while the time-stamp authority was away."""


@command.command()
@json_option
@reports_errors
def stamp(as_json: bool) -> None:
    """Ask the authority for the stamps that are due now; `imprimatur serve` does so by itself."""
    with service() as opened:
        stamped, waiting = opened.credentials.stamp_due(), opened.credentials.waiting_stamps()
    if as_json:
        emit({"stamped": stamped, "waiting": waiting})
    else:
        click.echo(f"{stamped} stamped, {waiting} waiting")
