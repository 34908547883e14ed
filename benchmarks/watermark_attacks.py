"""Pictures and attacks of the watermark benchmark; every attack is a function from pixels to pixels."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Pixels = NDArray[np.uint8]
Attack = Callable[[Pixels], Pixels]


def squares(files: Sequence[Path], count: int, side: int, *, native: bool) -> list[Pixels]:
    """`count` square pictures spread over `files`: centre crops, of native pixels or scaled to fill the square."""
    found = []
    for path in files[:: max(1, len(files) // count)]:
        image = Image.open(path).convert("RGB")
        if not native:
            scale = side / min(image.size)
            image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
        if min(image.size) < side:
            continue
        left, top = (image.width - side) // 2, (image.height - side) // 2
        found.append(np.asarray(image.crop((left, top, left + side, top + side))))
        if len(found) == count:
            break
    return found


def illustrations(count: int, side: int) -> list[Pixels]:
    """Flat illustrations: the training scenes of the embedded generator."""
    from generator.training.scenes import render_scene, sample_scene

    return [render_scene(sample_scene(seed, "held-out"), side)[0] for seed in range(count)]


def coded(image_format: str, quality: int) -> Attack:
    def attack(pixels: Pixels) -> Pixels:
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, image_format, quality=quality)
        return np.asarray(Image.open(out).convert("RGB"))

    return attack


def scaled(*factors: float) -> Attack:
    """Resized by each factor of the original size in turn."""

    def attack(pixels: Pixels) -> Pixels:
        image = Image.fromarray(pixels)
        size = image.size
        for factor in factors:
            image = image.resize((round(size[0] * factor), round(size[1] * factor)), Image.Resampling.BICUBIC)
        return np.asarray(image)

    return attack


def levels(gain: float, offset: float) -> Attack:
    def attack(pixels: Pixels) -> Pixels:
        changed: Pixels = np.clip((pixels.astype(np.float32) - 128) * gain + 128 + offset, 0, 255).astype(np.uint8)
        return changed

    return attack


def noise(sigma: float) -> Attack:
    def attack(pixels: Pixels) -> Pixels:
        disturbed = pixels + np.random.default_rng(1).normal(0, sigma, pixels.shape)
        noisy: Pixels = np.clip(disturbed, 0, 255).astype(np.uint8)
        return noisy

    return attack


def filtered(image_filter: ImageFilter.Filter | ImageFilter.MultibandFilter) -> Attack:
    return lambda pixels: np.asarray(Image.fromarray(pixels).filter(image_filter))


def chained(*attacks: Attack) -> Attack:
    def attack(pixels: Pixels) -> Pixels:
        for step in attacks:
            pixels = step(pixels)
        return pixels

    return attack


def grey(pixels: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(pixels).convert("L").convert("RGB"))


def overlay(pixels: Pixels) -> Pixels:
    """A white bar with writing over a fifth of the picture."""
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    top = round(image.height * 0.75)
    draw.rectangle((0, top, image.width, top + image.height // 5), fill=(255, 255, 255))
    draw.text((20, top + 20), "BREAKING NEWS", fill=(0, 0, 0))
    return np.asarray(image)


def cropped(share: float) -> Attack:
    """The middle `share` of each side."""

    def attack(pixels: Pixels) -> Pixels:
        height, width = pixels.shape[:2]
        rows, columns = round(height * share), round(width * share)
        top, left = (height - rows) // 2, (width - columns) // 2
        return np.ascontiguousarray(pixels[top : top + rows, left : left + columns])

    return attack


def rotated(degrees: float) -> Attack:
    return lambda pixels: np.asarray(Image.fromarray(pixels).rotate(degrees, Image.Resampling.BICUBIC))


def mirrored(pixels: Pixels) -> Pixels:
    return np.ascontiguousarray(pixels[:, ::-1])


def quarter_turn(pixels: Pixels) -> Pixels:
    return np.ascontiguousarray(np.rot90(pixels))


ATTACKS: dict[str, Attack] = {
    "none": lambda pixels: pixels,
    "JPEG 90": coded("JPEG", 90),
    "JPEG 70": coded("JPEG", 70),
    "JPEG 50": coded("JPEG", 50),
    "WebP 75": coded("WEBP", 75),
    "WebP 60": coded("WEBP", 60),
    "half size and back": scaled(0.5, 1.0),
    "half size": scaled(0.5),
    "third of the size": scaled(1 / 3),
    "twice the size": scaled(2.0),
    "0.66 of the size, JPEG 70": chained(scaled(0.66), coded("JPEG", 70)),
    "brightness +30 %": levels(1.0, 38),
    "brightness -30 %": levels(1.0, -38),
    "contrast +40 %": levels(1.4, 0),
    "contrast -40 %": levels(0.6, 0),
    "grey": grey,
    "noise σ 8": noise(8),
    "blur σ 1": filtered(ImageFilter.GaussianBlur(1)),
    "median 5×5": filtered(ImageFilter.MedianFilter(5)),
    "mirrored": mirrored,
    "turned by 90°": quarter_turn,
    "overlay on a fifth": overlay,
    "cropped by 1 %": cropped(0.99),
    "cropped to 71 % of a side": cropped(0.71),
    "rotated by 2°": rotated(2),
}
