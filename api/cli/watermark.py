"""`imprimatur watermark`: laboratory marks, and reading marks."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from api.cli.output import EXIT_FAILURE, emit, json_option, reports_errors, service
from api.cli.verify import expand
from api.errors import InvalidInputError, OutputNotWrittenError, ServiceError

_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_JPEG_QUALITY = 95
_PAYLOAD_BITS = 64


@click.group()
def command() -> None:
    """Embed a laboratory watermark, detect watermarks, change the service's key.

    Only the generation flow marks with the service's key. A laboratory mark leads to no record.
    """


class _Payload(click.ParamType[int]):
    name = "HEX"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            payload = int(str(value), 16)
        except ValueError:
            self.fail(f"{value!r} is not hexadecimal", param, ctx)
        if not 0 <= payload < 1 << _PAYLOAD_BITS:
            self.fail(f"a payload has at most {_PAYLOAD_BITS} bits: 16 hexadecimal digits", param, ctx)
        return payload


@command.command()
@click.argument("source", metavar="IN")
@click.argument("output", metavar="OUT", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--payload", type=_Payload(), required=True, help="Up to 64 bits, 16 hexadecimal digits.")
@json_option
@reports_errors
def embed(source: str, output: Path, payload: int, as_json: bool) -> None:
    """Write the picture IN with a laboratory mark to OUT (PNG, JPEG or WebP by its name)."""
    from PIL import Image

    from provenance.errors import WatermarkError

    if output.suffix.lower() not in _FORMATS:
        raise InvalidInputError(f"'{output.name}' should end in {', '.join(_FORMATS)}", parameter="OUT")
    with service() as opened:
        pixels = opened.decode(opened.read_source(source)).pixels
        try:
            marked = opened.marking.laboratory.embed(pixels, payload)
        except WatermarkError as error:
            raise InvalidInputError(str(error), parameter="IN") from error
    try:
        options: dict[str, Any] = {"lossless": True} if output.suffix.lower() == ".webp" else {}
        if _FORMATS[output.suffix.lower()] == "JPEG":
            options = {"quality": _JPEG_QUALITY, "subsampling": 0}
        Image.fromarray(marked).save(output, _FORMATS[output.suffix.lower()], **options)
    except OSError as error:
        raise OutputNotWrittenError(f"{output} could not be written: {error}") from error
    document = {"file": str(output), "payload": f"{payload:016x}", "key": "laboratory"}
    emit(document) if as_json else click.echo(f"{output}: laboratory mark {payload:016x}")


@command.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@json_option
@reports_errors
def detect(files: tuple[str, ...], as_json: bool) -> None:
    """Look for a mark of the service or of the laboratory in each FILE, or in each picture of a folder.

    The geometry says how the picture lies against the one that was marked: scale, tilt, mirroring, turn.
    """
    broken = False
    with service() as opened:
        for file in expand(files):
            document: dict[str, Any] = {"file": file, "detected": False, "payload": None, "confidence": 0.0}
            try:
                found = opened.marking.find(opened.decode(opened.read_source(file)).pixels)
            except ServiceError as error:
                broken = True
                document |= error.to_document()
            else:
                if found is not None and found.detection.payload is not None:
                    document |= {
                        "detected": True,
                        "payload": f"{found.detection.payload:016x}",
                        "confidence": found.detection.confidence,
                        "key": found.kind,
                        "false_positive_rate": found.detection.false_positive_rate,
                        "record_id": found.record.record_id if found.record else None,
                        "geometry": asdict(found.detection.geometry),
                    }
            emit(document) if as_json else click.echo(_line(document))
    if broken:
        sys.exit(EXIT_FAILURE)


@command.command()
@json_option
@reports_errors
def rotate(as_json: bool) -> None:
    """Make the next service key. It marks from each process's next start on; marks of older keys stay readable."""
    from api.marking import ServiceKeys

    with service() as opened:
        number = ServiceKeys(opened.settings.keys_dir).rotate(opened.append)
    emit({"key_number": number}) if as_json else click.echo(f"key number {number} marks from the next start on")


def _line(document: dict[str, Any]) -> str:
    if "error" in document:
        return f"{document['file']}: could not be examined: {document['error']['message']}"
    if not document["detected"]:
        return f"{document['file']}: no mark found"
    return f"{document['file']}: {document['key']} mark {document['payload']}, confidence {document['confidence']:.2f}"
