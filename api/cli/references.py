"""`imprimatur references`: the index of listed works."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from api.cli.output import EXIT_FAILURE, emit, json_option, reports_errors, service
from api.cli.verify import expand
from api.errors import ServiceError


@click.group()
def command() -> None:
    """The index of listed works: rights are claimed by someone and not judged here."""


@command.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--rights", "rights_claim", help="Who claims rights in these works.")
@json_option
@reports_errors
def add(folder: Path, rights_claim: str | None, as_json: bool) -> None:
    """Add every image file under FOLDER."""
    with service() as opened:
        from tqdm import tqdm

        with tqdm(desc="indexing", unit="image", leave=False, disable=None, file=sys.stderr) as bar:

            def progress(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            report = opened.add_references(folder, rights_claim=rights_claim, progress=progress)
        size = opened.references.size()
    document = {
        "added": len(report.added),
        "duplicates": list(report.duplicates),
        "broken": [{"file": path, "reason": reason} for path, reason in report.broken],
        "size": size,
    }
    if as_json:
        emit(document)
        return
    click.echo(f"{document['added']} added, {len(report.duplicates)} listed already; the index holds {size}")
    for path, reason in report.broken:
        click.echo(f"  skipped {path}: {reason}")


@command.command(name="list")
@json_option
@reports_errors
def list_references(as_json: bool) -> None:
    """List the works, one a line."""
    with service() as opened:
        for reference in opened.references.list():
            document = {
                "reference": reference.id,
                "source": reference.source,
                "sha256": reference.sha256,
                "width": reference.width,
                "height": reference.height,
                "rights_claim": reference.rights_claim,
                "added_at": reference.added_at.isoformat(),
            }
            emit(document) if as_json else click.echo(f"{reference.id}  {reference.source}")


@command.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--limit", type=click.IntRange(1, 100), default=5, show_default=True, help="Nearest works to print.")
@json_option
@reports_errors
def search(files: tuple[str, ...], limit: int, as_json: bool) -> None:
    """Find the listed works nearest to each file."""
    broken = False
    with service() as opened:
        for file in expand(files):
            try:
                image = opened.decode(opened.read_source(file))
            except ServiceError as error:
                broken = True
                message = error.to_document()
                emit({"file": file, "matches": [], **message}) if as_json else click.echo(f"{file}: {error.message}")
                continue
            result = opened.references.search(image.pixels, limit)
            matches = [
                {
                    "reference": match.reference,
                    "source": match.source,
                    "confidence": round(match.confidence, 6),
                    "distance_bits": match.distance_bits,
                }
                for match in result.matches
            ]
            if as_json:
                emit({"file": file, "matches": matches, "snapshot": result.snapshot.id})
                continue
            click.echo(f"{file}: {len(matches)} nearest of {result.snapshot.size}")
            for match in matches:
                click.echo(f"  {match['confidence']:.3f}  {match['source']}  {match['reference']}")
    if broken:
        sys.exit(EXIT_FAILURE)


@command.command()
@click.argument("reference_id")
@click.option("--reason", required=True, help="Why; it is written into the audit log.")
@json_option
@reports_errors
def withdraw(reference_id: str, reason: str, as_json: bool) -> None:
    """Take a work out of the search. Records that matched it still explain themselves."""
    with service() as opened:
        opened.withdraw_reference(reference_id, reason=reason)
        size = opened.references.size()
    if as_json:
        emit({"withdrawn": reference_id, "size": size})
    else:
        click.echo(f"withdrawn; the index holds {size}")
