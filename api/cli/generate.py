"""`imprimatur generate`: one governed request from the command line."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from api.cli.output import EXIT_REFUSED, emit, json_option, reports_errors, service
from api.errors import InvalidInputError, OutputNotWrittenError

if TYPE_CHECKING:
    from api.composition import Imprimatur
    from api.generate import ImageResult
    from generator.canvas import Extension

_FORMATS = {
    ".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp", ".avif": "avif", ".tif": "tiff", ".tiff": "tiff",
}  # fmt: skip


class _Size(click.ParamType[tuple[int, int]]):
    name = "WxH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        width, separator, height = str(value).lower().partition("x")
        if not separator or not (width.isdecimal() and height.isdecimal()):
            self.fail(f"{value!r} is not a size such as 512x512", param, ctx)
        return int(width), int(height)


class _Sides(click.ParamType["Extension"]):
    name = "PIXELS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Extension:
        from generator.canvas import Extension

        try:
            return value if isinstance(value, Extension) else Extension.parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.argument("prompt", default="")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write; default: the record's id."
)
@click.option("--task", help="text-to-image, image-to-image, inpaint, ...; default: what the other options ask for.")
@click.option("--image", help="Picture to start from: a file or URL.")
@click.option("--mask", help="Picture as large as the image, white where it is to be repainted: a file or URL.")
@click.option("--strength", type=float, help="How much of the image is given up, 0 to 1.")
@click.option("--extend", type=_Sides(), help="Pixels to add around the image: 64, or left=128,bottom=64.")
@click.option("--scale", type=int, help="How many times to enlarge the image.")
@click.option("--seed", type=int, help="Equal seeds give equal images; default: random.")
@click.option("--size", type=_Size(), help="Width and height in pixels, as 512x512.")
@click.option("--steps", type=int, help="Denoising steps.")
@click.option("--guidance", type=float, help="Classifier-free guidance scale.")
@click.option("--scheduler", help="Sampling scheduler; see `imprimatur models show`.")
@click.option("--negative-prompt", help="What the image should not show.")
@click.option("--model", help="Model of the catalogue; see `imprimatur models list`.")
@click.option("--count", type=int, default=1, show_default=True, help="Images, with the seeds N, N+1, ...")
@click.option("--disclose-prompt", is_flag=True, help="Write the prompt into the credential, for everybody to read.")
@json_option
@reports_errors
def command(
    prompt: str,
    output: Path | None,
    task: str | None,
    image: str | None,
    mask: str | None,
    strength: float | None,
    extend: Extension | None,
    scale: int | None,
    seed: int | None,
    size: tuple[int, int] | None,
    steps: int | None,
    guidance: float | None,
    scheduler: str | None,
    negative_prompt: str | None,
    model: str | None,
    count: int,
    disclose_prompt: bool,
    as_json: bool,
) -> None:
    """Generate an image from PROMPT, or from a picture: checked, marked, signed and logged, with a receipt beside it.

    With --image alone the picture is changed as a whole, with --mask inside the mask, with --extend it is continued
    beyond its borders, with --scale enlarged. --task variation makes others like it.
    """
    image_format = _format(output)
    with service() as opened:
        from tqdm import tqdm

        from api.generate import Order
        from api.inputs import task_for
        from generator.request import GenerationRequest

        request = GenerationRequest(
            prompt=prompt,
            task=task or task_for(image=image, mask=mask, extend=extend, scale=scale),
            negative_prompt=negative_prompt,
            width=size[0] if size else None,
            height=size[1] if size else None,
            steps=steps,
            guidance=guidance,
            scheduler=scheduler,
            strength=strength,
            extend=extend,
            scale=scale,
            seed=seed,
            count=count,
            model=model,
        )
        order = Order(
            request,
            opened.local_caller(),
            image_format or opened.settings.image_format,
            image=_read(opened, image, "image"),
            mask=_read(opened, mask, "mask"),
            disclose_prompt=disclose_prompt,
        )
        with tqdm(desc="generating", unit="step", leave=False, disable=None, file=sys.stderr) as bar:

            def progress(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            result = opened.generation.run(order, progress=progress)
        files = [
            write_image(made, output, order.image_format, several=len(result.images) > 1) for made in result.images
        ]
    document = {
        "record_id": result.record_id,
        "decision": result.outcome.value,
        "files": [str(image) for image, _ in filter(None, files)],
        "receipts": [str(receipt) for _, receipt in filter(None, files)],
        "seed": result.images[0].seed,
        "findings": [finding for image in result.images for finding in image.findings],
        "records": [
            {
                "record_id": image.record_id,
                "decision": image.outcome.value,
                "categories": image.decision["categories"],
                "seed": image.seed,
                "file": str(written[0]) if written else None,
                "receipt": str(written[1]) if written else None,
            }
            for image, written in zip(result.images, files, strict=True)
        ],
    }
    if as_json:
        emit(document)
    else:
        _print(document)
    if result.outcome.value != "release":
        sys.exit(EXIT_REFUSED)


def _read(opened: Imprimatur, source: str | None, parameter: str) -> bytes | None:
    """The bytes of a file or URL; an error names the option."""
    if source is None:
        return None
    try:
        return opened.read_source(source)
    except InvalidInputError as error:
        error.parameter = parameter
        raise


def _format(output: Path | None) -> str | None:
    """The file format that the output's name asks for; checks that the folder can be written."""
    if output is None:
        return None
    if not output.parent.is_dir() or not os.access(output.parent, os.W_OK):
        raise InvalidInputError(f"the folder {output.parent} does not exist or cannot be written", parameter="output")
    if output.suffix.lower() not in _FORMATS:
        raise InvalidInputError(f"'{output.name}' should end in {', '.join(_FORMATS)}", parameter="output")
    return _FORMATS[output.suffix.lower()]


def write_image(
    image: ImageResult, output: Path | None, image_format: str, *, several: bool
) -> tuple[Path, Path] | None:
    """Write a released image and its receipt; returns both paths, or None if there is nothing to write."""
    if image.data is None or image.receipt is None:
        return None
    suffix = output.suffix if output else f".{image_format}"
    path = output or Path(f"{image.record_id}{suffix}")
    if several and output is not None:
        path = output.with_name(f"{output.stem}-{image.seed}{suffix}")
    receipt = path.with_name(path.name + ".receipt.json")
    write_whole(path, image.data)
    write_whole(receipt, image.receipt.to_json().encode())
    return path, receipt


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that its name never stands for a part of it."""
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise OutputNotWrittenError(
            f"{path} could not be written ({error.strerror}); the image is released and kept under its record"
        ) from error


def _print(document: dict[str, Any]) -> None:
    for record in document["records"]:
        if record["file"]:
            click.echo(f"{record['file']}  released, seed {record['seed']}, record {record['record_id']}")
            click.echo(f"  receipt  {record['receipt']}")
        else:
            reasons = ", ".join(record["categories"])
            click.echo(f"{record['decision']}: {reasons}; record {record['record_id']}")
