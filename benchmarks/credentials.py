"""What encoding, signing and validating cost, beside plain use of the SDK: milliseconds of one core, and bytes.

python -m benchmarks.credentials --write benchmarks/results/credentials.md
"""

from __future__ import annotations

import argparse
import io
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.machine import machine
from benchmarks.watermark_attacks import Pixels, illustrations, squares
from provenance.credential import sign_credential
from provenance.development_ca import development_signer
from provenance.disclosure import DisclosureFields
from provenance.encode import ImageFormat, encode_image, thumbnail_jpeg
from provenance.fingerprint import fingerprint
from provenance.ingredients import Ingredient
from provenance.manifest import ManifestDescription, ModelStatement, SoftBinding, definition
from provenance.reader import read_credential
from provenance.sdk_signing import SIGNABLE_FORMATS
from provenance.signer import Signer
from provenance.trust import official_trust_list
from provenance.vocabulary import ISCC_ALGORITHM, WATERMARK_ALGORITHM

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "images"
FORMATS: tuple[ImageFormat, ...] = ("png", "jpeg", "webp", "avif", "tiff")
FIELDS = DisclosureFields("Example Press", "Imprimatur", "0.1.0", datetime(2026, 1, 1, tzinfo=UTC), "018f-record")
Result = TypeVar("Result")


def timed(call: Callable[[], Result], runs: int) -> tuple[Result, float]:
    """The result, and the median of the process's CPU milliseconds."""
    call()
    spent = []
    for _ in range(runs):
        started = time.process_time()
        result = call()
        spent.append(1e3 * (time.process_time() - started))
    return result, statistics.median(spent)


def pictures() -> dict[str, Pixels]:
    camera = sorted(path for path in (DATA / "cleared" / "camera").iterdir() if path.suffix.lower() == ".jpg")
    return {
        "photograph 512": squares(camera, 1, 512, native=False)[0],
        "photograph 1024": squares(camera, 1, 1024, native=True)[0],
        "illustration 512": illustrations(1, 512)[0],
    }


def description(pixels: Pixels, image_format: str, ingredients: tuple[Ingredient, ...] = ()) -> ManifestDescription:
    return ManifestDescription(
        title=f"picture.{image_format}",
        unique_id="018f-record",
        provider="Example Press",
        system="Imprimatur",
        system_version="0.1.0",
        model=ModelStatement("emblem", "1", "sha256:" + "0" * 64),
        created_at=FIELDS.created_at,
        ingredients=ingredients,
        soft_bindings=(
            SoftBinding(ISCC_ALGORITHM, fingerprint(pixels).iscc),
            SoftBinding(WATERMARK_ALGORITHM, "1a2b3c4d5e6f7081", is_watermark=True),
        ),
        thumbnail_jpeg=thumbnail_jpeg(pixels),
    )


def steps(name: str, pixels: Pixels, image_format: ImageFormat, signer: Signer, runs: int) -> str:
    _, fingerprint_ms = timed(lambda: fingerprint(pixels), runs)
    thumbnail, thumbnail_ms = timed(lambda: thumbnail_jpeg(pixels), runs)
    image, encode_ms = timed(lambda: encode_image(pixels, image_format, FIELDS), runs)
    made = description(pixels, image_format)
    signed, sign_ms = timed(lambda: sign_credential(image, image_format, made, signer), runs)
    trust = official_trust_list()
    _, read_ms = timed(lambda: read_credential(signed.data, image_format, trust), runs)
    numbers = (fingerprint_ms, encode_ms, thumbnail_ms + sign_ms, read_ms)
    return (
        f"| {name} | {image_format} | {len(image):,} | "
        + " | ".join(f"{number:.1f}" for number in numbers)
        + f" | {len(signed.data) - len(image):,} | {len(thumbnail):,} |"
    )


def plain_sdk(image: bytes, media_type: str, manifest: dict[str, Any], signer: Signer) -> bytes:
    """What c2patool does: the SDK's own settings, its thumbnail, its check after signing."""
    import c2pa

    signed = io.BytesIO()
    with (
        c2pa.Signer.from_callback(
            signer.sign, c2pa.C2paSigningAlg[signer.alg.upper()], signer.certificate_chain_pem, None
        ) as sdk_signer,
        c2pa.Context.from_dict({}) as context,
        c2pa.Builder(manifest, context) as builder,
    ):
        builder.sign(sdk_signer, media_type, io.BytesIO(image), signed)
    return signed.getvalue()


def plain_read(data: bytes, media_type: str) -> Any:
    import c2pa

    trust = official_trust_list()
    settings = {
        "verify": {"remote_manifest_fetch": False},
        "trust": {"trust_anchors": trust.anchors_pem, "trust_config": "\n".join(trust.key_purposes) + "\n"},
    }
    with c2pa.Context.from_dict(settings) as context, c2pa.Reader(media_type, io.BytesIO(data), context=context) as one:
        return json.loads(one.json())


def beside(pixels: Pixels, image_format: ImageFormat, signer: Signer, runs: int) -> str:
    media_type = SIGNABLE_FORMATS[image_format]
    image = encode_image(pixels, image_format, FIELDS)
    made = description(pixels, image_format)
    manifest = {key: value for key, value in definition(made).items() if key != "thumbnail"}
    ours, ours_ms = timed(lambda: sign_credential(image, image_format, description(pixels, image_format), signer), runs)
    _, fingerprint_ms = timed(lambda: fingerprint(pixels), runs)
    plain, plain_ms = timed(lambda: plain_sdk(image, media_type, manifest, signer), runs)
    trust = official_trust_list()
    _, read_ms = timed(lambda: read_credential(ours.data, image_format, trust), runs)
    _, plain_read_ms = timed(lambda: plain_read(plain, media_type), runs)
    return (
        f"| {image_format} | {ours_ms - fingerprint_ms:.1f} | {plain_ms:.1f} | {read_ms:.1f} | {plain_read_ms:.1f} | "
        f"{len(ours.data) - len(image):,} | {len(plain) - len(image):,} |"
    )


def with_ingredients(pixels: Pixels, signer: Signer, runs: int) -> Iterator[str]:
    image = encode_image(pixels, "png", FIELDS)
    parent = sign_credential(image, "png", description(pixels, "png"), signer)
    for label, data in (("unsigned", image), ("signed", parent.data)):
        used = (Ingredient(data, "image/png", "parentOf", "original.png", thumbnail_jpeg(pixels)),)
        made = description(pixels, "png", used)
        signed, sign_ms = timed(lambda made=made: sign_credential(image, "png", made, signer), runs)  # type: ignore[misc]
        _, read_ms = timed(lambda signed=signed: read_credential(signed.data, "png", None), runs)  # type: ignore[misc]
        yield f"| one {label} parent | {sign_ms:.1f} | {read_ms:.1f} | {len(signed.data) - len(image):,} |"


def report(runs: int) -> Iterator[str]:
    yield "# Credentials"
    yield ""
    yield (
        f"{datetime.now(UTC):%Y-%m-%d}, {machine()}, Python {platform.python_version()}. "
        f"`python -m benchmarks.credentials --runs {runs}`."
    )
    yield ""
    yield (
        "CPU milliseconds of the process, median. Signing includes the thumbnail, the lint, the development signer "
        "(ES256), and the validation of the result; reading is against the official trust lists."
    )
    yield ""
    yield (
        "| picture | format | file bytes | fingerprint | encode | sign and validate | read | credential bytes | "
        "of which thumbnail |"
    )
    yield "| --- | --- |" + " ---: |" * 7
    with tempfile.TemporaryDirectory() as folder:
        signer = development_signer(Path(folder), lambda: datetime.now(UTC))
        shown = pictures()
        for name, pixels in shown.items():
            for image_format in FORMATS:
                yield steps(name, pixels, image_format, signer, runs)
        large = shown["photograph 1024"]
        yield ""
        yield "## Beside plain use of the SDK"
        yield ""
        yield (
            "The same photograph of 1024×1024 and the same statements, signed as c2patool does: the SDK's settings, "
            "its own thumbnail, its own check after signing; read with its summary alone. Ours includes the thumbnail, "
            "the lint, and for reading the whole tree of ingredients."
        )
        yield ""
        yield "| format | sign, ours | sign, plain | read, ours | read, plain | bytes, ours | bytes, plain |"
        yield "| --- |" + " ---: |" * 6
        for image_format in FORMATS:
            yield beside(large, image_format, signer, runs)
        yield ""
        yield "## With ingredients"
        yield ""
        yield "The photograph of 1024×1024 as PNG, made from a picture like itself."
        yield ""
        yield "| ingredients | sign and validate | read | credential bytes |"
        yield "| --- |" + " ---: |" * 3
        yield from with_ingredients(large, signer, runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--write", type=Path, default=None, help="also write the table to this file")
    options: Any = parser.parse_args()
    lines = []
    for line in report(options.runs):
        print(line, flush=True)
        lines.append(line)
    if options.write:
        options.write.parent.mkdir(parents=True, exist_ok=True)
        options.write.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
