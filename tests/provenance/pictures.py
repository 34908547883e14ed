"""Pictures and signers that several tests share; all made here, none from outside."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from provenance.manifest import ManifestDescription, ModelStatement, SoftBinding
from provenance.pixels import Pixels
from provenance.vocabulary import ISCC_ALGORITHM, WATERMARK_ALGORITHM

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)  # where a fixed time is written down and read back


def now() -> datetime:
    """The real time: the SDK compares certificates with the machine's clock."""
    return datetime.now(UTC)


def textured(seed: int = 0, size: int = 512) -> Pixels:
    """A picture with the spectrum of a photograph: detail at every scale, an edge here and there."""
    rng = np.random.default_rng(seed)
    canvas = np.zeros((size, size, 3))
    side = 4
    while side <= size:
        layer = rng.normal(0, 70 / np.sqrt(side / 4), (side, side, 3))
        planes = [Image.fromarray(layer[..., c].astype(np.float32)).resize((size, size)) for c in range(3)]
        canvas += np.stack([np.asarray(plane) for plane in planes], axis=-1)
        side *= 2
    image = Image.fromarray(np.clip(canvas + 128, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    x, y, r = (int(value) for value in rng.integers(size // 5, size // 2, 3))
    draw.ellipse((x - r // 2, y - r // 2, x + r // 2, y + r // 2), fill=tuple(int(v) for v in rng.integers(0, 256, 3)))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(0.7)))


def flat(seed: int = 0, size: int = 512, background: tuple[int, int, int] = (120, 190, 240)) -> Pixels:
    """An illustration: shapes of one colour each on a background of one colour."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (2 * size, 2 * size), background)
    draw = ImageDraw.Draw(image)
    for shape in range(3):
        x, y = (int(value) for value in rng.integers(size // 2, size * 3 // 2, 2))
        r = int(rng.integers(size // 6, size // 2))
        box = (x - r, y - r, x + r, y + r)
        fill = tuple(int(value) for value in rng.integers(0, 256, 3))
        if shape % 2:
            draw.rectangle(box, fill=fill)
        else:
            draw.ellipse(box, fill=fill)
    return np.asarray(image.resize((size, size), Image.Resampling.LANCZOS))


def encoded(pixels: Pixels, image_format: str, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, image_format, **options)
    return out.getvalue()


def decoded(data: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def recoded(pixels: Pixels, image_format: str, quality: int) -> Pixels:
    return decoded(encoded(pixels, image_format, quality=quality))


def resized(pixels: Pixels, width: int, height: int) -> Pixels:
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))


def psnr_db(first: Pixels, second: Pixels) -> float:
    mean_square = float(np.mean((first.astype(np.float64) - second) ** 2))
    return float(10 * np.log10(255**2 / mean_square)) if mean_square else float("inf")


def description(**changes: Any) -> ManifestDescription:
    values: dict[str, Any] = {
        "title": "apple.png",
        "unique_id": "018f-record",
        "provider": "Example Press",
        "system": "Imprimatur",
        "system_version": "0.1.0",
        "model": ModelStatement("emblem", "1", "sha256:" + "0" * 64),
        "created_at": NOW,
        "soft_bindings": (
            SoftBinding(ISCC_ALGORITHM, "ISCC:EED544OR63I4FQMCIHDIIIMGNX3P7EOB6HNZDW4TBGUTYLIL47CKMJY"),
            SoftBinding(WATERMARK_ALGORITHM, "10a1b2c3d4e5f607", is_watermark=True),
        ),
    }
    return ManifestDescription(**(values | changes))
