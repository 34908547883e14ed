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
    from generator.training.render import render_scene
    from generator.training.scenes import sample_scene

    return [render_scene(sample_scene(seed, "held-out"), side) for seed in range(count)]


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


def cropped(share_of_area: float) -> Attack:
    """A part of the picture with its proportions, anywhere; each picture has a place of its own."""

    def attack(pixels: Pixels) -> Pixels:
        place = np.random.default_rng(int(pixels[::7, ::7].sum()))
        height, width = pixels.shape[:2]
        rows, columns = round(height * share_of_area**0.5), round(width * share_of_area**0.5)
        top, left = int(place.integers(0, height - rows + 1)), int(place.integers(0, width - columns + 1))
        return np.ascontiguousarray(pixels[top : top + rows, left : left + columns])

    return attack


def padded(share: float, level: int = 255) -> Attack:
    """A frame of one grey around it, on each edge a share of the side."""

    def attack(pixels: Pixels) -> Pixels:
        rows, columns = (round(side * share) for side in pixels.shape[:2])
        return np.pad(pixels, ((rows, rows), (columns, columns), (0, 0)), constant_values=level)

    return attack


def collage(pixels: Pixels) -> Pixels:
    """The picture as the upper left of four, the others plain colours."""
    height, width = pixels.shape[:2]
    page = np.empty((2 * height, 2 * width, 3), np.uint8)
    page[:height, width:], page[height:, :width], page[height:, width:] = (200, 60, 60), (60, 60, 200), (240, 240, 240)
    page[:height, :width] = pixels
    return page


def rotated(degrees: float) -> Attack:
    return lambda pixels: np.asarray(Image.fromarray(pixels).rotate(degrees, Image.Resampling.BICUBIC))


def mirrored(pixels: Pixels) -> Pixels:
    return np.ascontiguousarray(pixels[:, ::-1])


def quarter_turn(pixels: Pixels) -> Pixels:
    return np.ascontiguousarray(np.rot90(pixels))


# What a mark should survive.
ATTACKS: dict[str, Attack] = {
    "none": lambda pixels: pixels,
    "JPEG 70": coded("JPEG", 70),
    "JPEG 50": coded("JPEG", 50),
    "WebP 75": coded("WEBP", 75),
    "WebP 60": coded("WEBP", 60),
    "half the size": scaled(0.5),
    "0.73 of the size": scaled(0.73),
    "twice the size": scaled(2.0),
    "cropped to 90 % of the area": cropped(0.9),
    "cropped to 75 % of the area": cropped(0.75),
    "cropped to 50 % of the area": cropped(0.5),
    "padded by 20 %": padded(0.2),
    "rotated by 4°": rotated(4),
    "rotated by -4°": rotated(-4),
    "turned by 90°": quarter_turn,
    "mirrored": mirrored,
    "blur σ 1": filtered(ImageFilter.GaussianBlur(1)),
    "noise σ 8": noise(8),
    "brightness +30 %": levels(1.0, 38),
    "brightness -30 %": levels(1.0, -38),
    "contrast +40 %": levels(1.4, 0),
    "contrast -40 %": levels(0.6, 0),
    "grey": grey,
    "overlay on a fifth": overlay,
    "screenshot (padded, 0.66, JPEG 70)": chained(padded(0.1, 240), scaled(0.66), coded("JPEG", 70)),
    "social media (0.7, JPEG 75)": chained(scaled(0.7), coded("JPEG", 75)),
}

# What a person would do who wants it gone, or who does not care.
REMOVALS: dict[str, Attack] = {
    "cropped to 50 %, JPEG 70": chained(cropped(0.5), coded("JPEG", 70)),
    "cropped to 30 % of the area": cropped(0.3),
    "a third of the size": scaled(1 / 3),
    "JPEG 25": coded("JPEG", 25),
    "median 5×5": filtered(ImageFilter.MedianFilter(5)),
    "median 9×9": filtered(ImageFilter.MedianFilter(9)),
    "blur σ 3": filtered(ImageFilter.GaussianBlur(3)),
    "noise σ 25": noise(25),
    "rotated by 10°": rotated(10),
    "one of four in a collage": collage,
}
