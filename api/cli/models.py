"""`imprimatur models`: the model catalogue."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from api.cli.output import EXIT_FAILURE, emit, json_option, reports_errors, service

if TYPE_CHECKING:
    from generator.card import ModelCard


@click.group()
def command() -> None:
    """The models that may be used: list, show, add, verify."""


@command.command(name="list")
@json_option
@reports_errors
def list_models(as_json: bool) -> None:
    """List the models, with licence and digest."""
    with service() as opened:
        for card in opened.catalogue.cards():
            if as_json:
                emit(_summary(card))
            else:
                click.echo(f"{card.id}  {card.title}; {', '.join(card.tasks)}; {card.licence}")


@command.command()
@click.argument("model_id", metavar="MODEL")
@json_option
@reports_errors
def show(model_id: str, as_json: bool) -> None:
    """Show the card of a model: tasks, sizes, schedulers, defaults, source, files."""
    with service() as opened:
        card = opened.models.card(model_id)
    if as_json:
        emit(_document(card))
        return
    for name, value in _document(card).items():
        if name != "files" and value not in (None, [], {}):
            click.echo(f"{name:<19} {', '.join(map(str, value)) if isinstance(value, list) else value}")
    for name, digest in card.files.items():
        click.echo(f"{digest}  {name}")


@command.command()
@click.argument("source")
@click.option("--id", "model_id", help="Name in the catalogue; default: the folder's name or the hub's.")
@click.option("--title", help="One line that says what it is.")
@click.option("--licence", required=True, help="Licence of the weights, as their makers state it.")
@click.option("--training-data", default="not stated", show_default=True, help="What the makers say of their data.")
@click.option("--variant", help="Set of weights on the hub, such as fp16.")
@json_option
@reports_errors
def add(
    source: str,
    model_id: str | None,
    title: str | None,
    licence: str,
    training_data: str,
    variant: str | None,
    as_json: bool,
) -> None:
    """Add a model: a local folder, or OWNER/NAME@REVISION on the hub, which is fetched.

    Writes a card with the SHA-256 of every file into the data folder's models; a model whose files differ from it is
    not loaded. Pickled weights are refused.
    """
    with service() as opened:
        card, path = opened.models.add(
            source, model_id=model_id, title=title, licence=licence, training_data=training_data, variant=variant
        )
    if as_json:
        emit({**_summary(card), "card": str(path), "files": len(card.files)})
    else:
        click.echo(f"{card.id}  {', '.join(card.tasks)}; {len(card.files)} files, digest {card.digest}")
        click.echo(f"  card  {path}")


@command.command()
@click.argument("model_ids", metavar="[MODEL]...", nargs=-1)
@json_option
@reports_errors
def verify(model_ids: tuple[str, ...], as_json: bool) -> None:
    """Hash the files of models again, all of them by default, and compare them with their cards."""
    sound = True
    with service() as opened:
        for card in [opened.models.card(one) for one in model_ids] or opened.catalogue.cards():
            problem = opened.models.problem(card)
            sound = sound and problem is None
            if as_json:
                emit({"model": card.id, "digest": card.digest, "ok": problem is None, "problem": problem})
            else:
                click.echo(f"{card.id}  {'ok, digest ' + card.digest if problem is None else problem}")
    if not sound:
        sys.exit(EXIT_FAILURE)


def _summary(card: ModelCard) -> dict[str, Any]:
    return {
        "model": card.id,
        "title": card.title,
        "engine": card.engine,
        "licence": card.licence,
        "digest": card.digest,
        "tasks": list(card.tasks),
        "sizes": [f"{width}x{height}" for width, height in card.sizes],
    }


def _document(card: ModelCard) -> dict[str, Any]:
    return {
        **_summary(card),
        "schedulers": list(card.schedulers),
        "negative_prompts": card.negative_prompts,
        "scales": list(card.upscaling.scales) if card.upscaling else [],
        "steps": card.defaults.steps,
        "guidance": card.defaults.guidance,
        "strength": card.defaults.strength,
        "source": card.source if card.hub_id else str(Path(card.source)),
        "revision": card.revision,
        "variant": card.variant,
        "training_data": card.training_data,
        "text_encoder_digest": card.text_encoder_digest,
        "files": dict(card.files),
    }
