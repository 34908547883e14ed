"""The guarded decoder: the one way in which foreign bytes become pixels."""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from api.errors import ImageTooLargeError, ServiceError, UndecodableImageError

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "TIFF", "GIF", "BMP")
MAX_SIDE = 30_000  # beyond this, libraries below us use 16-bit coordinates or excessive memory


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """Checked before any pixel is decoded."""

    max_bytes: int = 64 * 1024 * 1024
    max_pixels: int = 100_000_000


@dataclass(frozen=True, slots=True, eq=False)
class DecodedImage:
    """Immutable pixels with what is needed to speak of their source.

    `pixels`: uint8, shape (height, width, 3), RGB, upright, sRGB, read-only. `sha256`: of the source's bytes.
    `format`: Pillow's name ("PNG", "JPEG", ...). `notes`: what decoding had to change, for the report.
    """

    pixels: NDArray[np.uint8]
    source: bytes
    sha256: str
    format: str
    notes: tuple[str, ...]

    @property
    def media_type(self) -> str:
        """Media type of the source ("image/png", ...)."""
        return f"image/{self.format.lower()}"

    @property
    def width(self) -> int:
        """Pixels from left to right, after EXIF orientation."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Pixels from top to bottom, after EXIF orientation."""
        return int(self.pixels.shape[0])


def decode(data: bytes, limits: DecodeLimits) -> DecodedImage:
    """Decode one still image.

    16-bit channels are scaled to 8 bits, CMYK and palettes become RGB, an embedded colour profile is converted to
    sRGB, transparency is laid over white, EXIF orientation is applied; `notes` says which of these happened.

    Raises:
        UndecodableImageError: no image of a listed format, animated, truncated or damaged.
        ImageTooLargeError: more bytes or pixels than `limits`, found before decoding.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    if len(data) > limits.max_bytes:
        raise ImageTooLargeError(f"file has {len(data)} bytes; at most {limits.max_bytes} are accepted")
    if not data:
        raise UndecodableImageError("the file is empty")
    notes: list[str] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's bomb warning: the limit below is ours and is an error
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                _check_size(image.size, limits)
                frames = getattr(image, "n_frames", 1)
                if frames > 1 and image.format != "TIFF":
                    raise UndecodableImageError(
                        f"the file is an animation of {frames} frames; send a still image, or one frame of it"
                    )
                if frames > 1:
                    notes.append(f"first of {frames} pages")
                file_format = str(image.format)
                image.load()
                upright = ImageOps.exif_transpose(image)
                if upright.size != image.size or image.getexif().get(0x0112, 1) != 1:
                    notes.append("EXIF orientation applied")
                pixels = np.array(_to_rgb(upright, notes), dtype=np.uint8)
    except ServiceError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageTooLargeError(f"the image has too many pixels: {error}") from error
    except UnidentifiedImageError as error:
        raise UndecodableImageError(f"no image in a format that is read here ({', '.join(FORMATS)})") from error
    except MemoryError as error:
        raise ImageTooLargeError("decoding the image needs more memory than is allowed") from error
    except Exception as error:
        raise UndecodableImageError(f"the image is damaged or truncated: {error}") from error
    pixels.setflags(write=False)
    return DecodedImage(pixels, data, hashlib.sha256(data).hexdigest(), file_format, tuple(notes))


def _check_size(size: tuple[int, int], limits: DecodeLimits) -> None:
    width, height = size
    if width * height > limits.max_pixels or max(width, height) > MAX_SIDE:
        raise ImageTooLargeError(
            f"the image is {width}×{height} pixels; at most {limits.max_pixels} pixels"
            f" and {MAX_SIDE} a side are accepted"
        )


def _to_rgb(image, notes: list[str]):  # type: ignore[no-untyped-def]
    """Convert any Pillow mode to RGB, saying in `notes` what was done."""
    from PIL import Image

    if image.mode in ("I;16", "I;16B", "I;16L", "I"):
        # Pillow clips these on conversion instead of scaling them.
        values = np.asarray(image).astype(np.float64)
        notes.append("16-bit grey scaled to 8 bits")
        return Image.fromarray(np.clip(np.round(values / 257.0), 0, 255).astype(np.uint8)).convert("RGB")
    image = _to_srgb(image, notes)
    if image.mode == "CMYK":
        notes.append("CMYK converted to RGB")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        rgba = image.convert("RGBA")
        if rgba.getextrema()[3][0] < 255:
            notes.append("transparency laid over white")
        background = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(background, rgba).convert("RGB")
    return image.convert("RGB")


def _to_srgb(image, notes: list[str]):  # type: ignore[no-untyped-def]
    """Apply an embedded ICC profile; a damaged one is ignored and noted."""
    from PIL import ImageCms

    profile_bytes = image.info.get("icc_profile")
    if not profile_bytes or image.mode not in ("RGB", "CMYK", "L"):
        return image
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(profile_bytes))
        if "sRGB" in ImageCms.getProfileDescription(profile):
            return image
        converted = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        notes.append("colour profile could not be read and was ignored")
        return image
    notes.append("colour profile converted to sRGB")
    return converted
