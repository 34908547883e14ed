"""`imprimatur models`: the model catalogue."""

from __future__ import annotations

import click

from api.cli.output import emit, json_option, reports_errors, service


@click.command()
@json_option
@reports_errors
def command(as_json: bool) -> None:
    """List the models that may be used, with licence and digest."""
    with service() as opened:
        for card in opened.catalogue.cards():
            document = {
                "model": card.id,
                "title": card.title,
                "engine": card.engine,
                "licence": card.licence,
                "digest": card.digest,
                "tasks": list(card.tasks),
                "sizes": [f"{width}x{height}" for width, height in card.sizes],
            }
            sizes = ", ".join(f"{width}x{height}" for width, height in card.sizes)
            emit(document) if as_json else click.echo(f"{card.id}  {card.title}; {sizes}; {card.licence}")
