"""`imprimatur demo`: the whole product in one run, on the embedded defaults."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from api.cli.audit import print_record
from api.cli.output import EXIT_FAILURE, emit, json_option, reports_errors, service
from api.cli.verify import print_report

if TYPE_CHECKING:
    from api.composition import Imprimatur

_PROMPT = "a red apple on a blue background"
_SEED = 7
_COPY_JPEG_QUALITY = 75


@click.command()
@click.option("--prompt", default=_PROMPT, show_default=True, help="What to draw.")
@click.option("--seed", type=int, default=_SEED, show_default=True, help="Equal seeds give equal images.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("imprimatur-demo"),
    show_default=True,
    help="Where the files go.",
)
@json_option
@reports_errors
def command(prompt: str, seed: int, folder: Path, as_json: bool) -> None:
    """Generate an image, verify it, verify a re-compressed copy without metadata, and show the record."""
    folder.mkdir(parents=True, exist_ok=True)
    with service() as opened:
        document = _run(opened, prompt, seed, folder, quiet=as_json)
        document["data"] = str(opened.settings.data_dir)
    if as_json:
        emit(document)
        return
    click.echo("\nWhere everything is")
    for name in ("image", "receipt", "copy", "data"):
        click.echo(f"  {name:<8} {document[name]}")
    click.echo("  The certificate is a development one: others cannot tell who signed. See docs/credentials.md.")


def _run(opened: Imprimatur, prompt: str, seed: int, folder: Path, *, quiet: bool) -> dict[str, Any]:
    from api.cli.generate import write_image
    from api.generate import Order
    from generator.request import GenerationRequest

    def say(text: str) -> None:
        if not quiet:
            click.echo(text)

    caller = opened.local_caller()
    say(f"1. Generate {prompt!r}, seed {seed}")
    order = Order(GenerationRequest(prompt=prompt, seed=seed), caller, "png")
    result = opened.generation.run(order)
    written = write_image(result.images[0], folder / "image.png", "png", several=False)
    if written is None:
        click.echo("the default policy holds this prompt's image; see the record", err=True)
        raise SystemExit(EXIT_FAILURE)
    image, receipt = written
    say(f"   {image}, released with the receipt {receipt.name}")

    say("2. Verify that file")
    original = opened.verification.verify(image.read_bytes(), caller).to_document()
    if not quiet:
        print_report({"file": str(image), **original})

    copy = folder / "copy-without-metadata.jpg"
    copy.write_bytes(_stripped_copy(image))
    say(f"3. Verify a copy: JPEG quality {_COPY_JPEG_QUALITY}, all metadata gone")
    recovered = opened.verification.verify(copy.read_bytes(), caller).to_document()
    if not quiet:
        print_report({"file": str(copy), **recovered})

    say("4. The audit record")
    if not quiet:
        print_record(opened.results.record(result.record_id, caller))
    return {
        "record_id": result.record_id,
        "image": str(image),
        "receipt": str(receipt),
        "copy": str(copy),
        "verification": original,
        "verification_of_copy": recovered,
    }


def _stripped_copy(image: Path) -> bytes:
    """The picture as it comes back from the internet: re-compressed, without credential and metadata."""
    from PIL import Image

    out = io.BytesIO()
    with Image.open(image) as opened:
        opened.convert("RGB").save(out, "JPEG", quality=_COPY_JPEG_QUALITY)
    return out.getvalue()
