"""`imprimatur audit report`: a document and a bundle of evidence for legal review."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import click

from api.cli.output import emit, json_option, reports_errors, service
from api.errors import InvalidInputError, UnreadableSourceError

if TYPE_CHECKING:
    from api.composition import Imprimatur
    from api.reports.questions import Period, ReportQuestion

_DAY_FORMATS = ("%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z")
_INCIDENT_DAYS = 30


@click.command()
@click.option("--request", "record_id", metavar="ID", help="What happened with the request of this record?")
@click.option("--image", type=click.Path(path_type=Path, dir_okay=False), help="What does the log know of this file?")
@click.option("--from", "since", metavar="TIME", help="Start of a period, inclusive: 2026-11-01 or 2026-11-01T09:30.")
@click.option("--to", "until", metavar="TIME", help="End of the period, exclusive; default: now. Times are UTC.")
@click.option("--tenant", help="Of the period: this tenant only.")
@click.option(
    "--policy-incidents",
    is_flag=True,
    help=f"Of the period: what policies refused or held. Without --from: the last {_INCIDENT_DAYS} days.",
)
@click.option(
    "--edition",
    type=click.Choice(["full", "redacted"]),
    default="full",
    show_default=True,
    help="`redacted` leaves out personal data, secrets and unpublished pictures, and says what and why.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), default=Path("."), help="Folder to write to."
)
@json_option
@reports_errors
def command(
    record_id: str | None,
    image: Path | None,
    since: str | None,
    until: str | None,
    tenant: str | None,
    policy_incidents: bool,
    edition: str,
    output: Path,
    as_json: bool,
) -> None:
    """Make a report for legal review: a signed PDF, and a bundle that anyone can check offline."""
    period_options = (since, until, tenant, policy_incidents or None)
    with service() as opened:
        asked = _question(opened, record_id, image, period_options)
        written = opened.reports.make(
            asked,
            opened.local_caller(),
            edition=cast("Literal['full', 'redacted']", edition),
            folder=output,
        )
        document: dict[str, Any] = {
            "document": str(written.document),
            "bundle": str(written.bundle),
            "data_sha256": written.data_sha256,
            "edition": edition,
            "log_key": str(opened.log.public_key),
        }
    if as_json:
        emit(document)
        return
    click.echo(f"{document['document']}\n{document['bundle']}")
    click.echo(f"report.json has SHA-256 {document['data_sha256']}")
    click.echo("Give the log's public key to whoever checks it, by another way than the bundle:")
    click.echo(f"  {document['log_key']}")


def _question(
    opened: Imprimatur, record_id: str | None, image: Path | None, period_options: tuple[Any, ...]
) -> ReportQuestion:
    from api.reports.questions import AboutImage, AboutPeriod, AboutRequest

    asks_period = any(option is not None for option in period_options)
    if sum((record_id is not None, image is not None, asks_period)) != 1:
        raise InvalidInputError(
            "ask one question: --request ID, or --image FILE, or a period with --from, --to, --tenant,"
            " --policy-incidents"
        )
    if record_id is not None:
        return AboutRequest(record_id)
    if image is not None:
        try:
            return AboutImage(opened.read_source(str(image)), image.name)
        except UnreadableSourceError as error:
            raise InvalidInputError(error.message, parameter="image") from error
    since, until, tenant, only_stopped = period_options
    period = _period(since, until, opened.clock(), needs_start=not only_stopped)
    return AboutPeriod(period, tenant, only_stopped=bool(only_stopped))


def _period(since: str | None, until: str | None, now: datetime, *, needs_start: bool) -> Period:
    from api.reports.questions import Period

    if since is None and needs_start:
        raise InvalidInputError("a period needs --from TIME", parameter="from")
    end = now if until is None else _time(until, "to")
    return Period(end - timedelta(days=_INCIDENT_DAYS) if since is None else _time(since, "from"), end)


def _time(text: str, parameter: str) -> datetime:
    for form in _DAY_FORMATS:
        try:
            found = datetime.strptime(text, form)  # noqa: DTZ007 - a time without a zone is UTC here
        except ValueError:
            continue
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    raise InvalidInputError(
        f"{text!r} is no time; expected 2026-11-01, 2026-11-01T09:30 or 2026-11-01T09:30:00+01:00", parameter=parameter
    )
