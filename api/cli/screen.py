"""`imprimatur screen`: the prompt checks alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import click

from api.cli.output import EXIT_FAILURE, emit, json_option, reports_errors, service
from api.errors import InvalidInputError, InvalidPromptError

_BATCH = 256


@click.command()
@click.argument("prompts", nargs=-1)
@click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="JSON lines: strings, or objects with 'text'.",
)
@json_option
@reports_errors
def command(prompts: tuple[str, ...], path: Path | None, as_json: bool) -> None:
    """Examine PROMPTS, or each line of a JSON-lines file. Nothing is generated and no record is made."""
    if bool(prompts) == (path is not None):
        raise click.UsageError("give prompts, or --file, and not both")
    broken = False
    with service() as opened:
        source: Iterable[str] = prompts if path is None else _texts(path)
        texts = iter(source)
        while batch := list(islice(texts, _BATCH)):
            for answer in opened.screening.screen(batch):
                broken |= "error" in answer
                emit(answer) if as_json else click.echo(_line(answer))
    if broken:
        sys.exit(EXIT_FAILURE)


def _line(answer: dict[str, Any]) -> str:
    if "error" in answer:
        return f"error    {answer['error']['message']}"
    reasons = ", ".join(sorted({f["category"] for f in answer["findings"] if f["outcome"] in ("block", "flag")}))
    return f"{answer['outcome']:<8} {answer['score']:.3f}  {answer['text']!r}  {reasons}".rstrip()


def _texts(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except ValueError as error:
                raise InvalidInputError(f"{path.name}, line {number}: not JSON: {error}") from error
            text = value.get("text") if isinstance(value, dict) else value
            if not isinstance(text, str):
                raise InvalidPromptError(f"{path.name}, line {number}: expected a string or an object with 'text'")
            yield text
