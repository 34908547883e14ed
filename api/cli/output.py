"""What every command shares: JSON on standard output, errors and exit codes, the opened service."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NoReturn, ParamSpec

import click

from api.errors import InvalidInputError, NotFoundError, RefusedError, ServiceError

if TYPE_CHECKING:
    from api.composition import Imprimatur

_P = ParamSpec("_P")

EXIT_REFUSED = 1
EXIT_USAGE = 2
EXIT_FAILURE = 3

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output, and nothing else.")


def emit(document: object) -> None:
    """Print one JSON document on a line of its own."""
    click.echo(json.dumps(document, ensure_ascii=False, allow_nan=False))


def exit_code(error: ServiceError) -> int:
    """The process's exit code for an error."""
    if isinstance(error, RefusedError):
        return EXIT_REFUSED
    return EXIT_USAGE if isinstance(error, InvalidInputError | NotFoundError) else EXIT_FAILURE


def reports_errors(function: Callable[_P, None]) -> Callable[_P, None]:
    """Decorate a command with an `as_json` parameter: typed errors become a message and an exit code."""

    @functools.wraps(function)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except ServiceError as error:
            _fail(error, as_json=bool(kwargs.get("as_json")))

    return run


def _fail(error: ServiceError, *, as_json: bool) -> NoReturn:
    if as_json:
        emit(error.to_document())
    click.echo(f"imprimatur: {error.message}", err=True)
    sys.exit(exit_code(error))


@contextlib.contextmanager
def service() -> Iterator[Imprimatur]:
    """The composed service, with logs on standard error."""
    from pydantic import ValidationError

    from api.composition import Imprimatur
    from api.errors import ConfigurationError
    from api.settings import Settings

    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        settings = Settings()
    except ValidationError as error:
        problems = "; ".join(f"IMPRIMATUR_{p['loc'][0]}: {p['msg']}".upper() for p in error.errors() if p["loc"])
        raise ConfigurationError(f"settings: {problems}") from error
    with Imprimatur(settings) as opened:
        yield opened
