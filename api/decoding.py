"""The guarded decoder: the one way in which foreign bytes become pixels."""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from api.errors import ImageTooLargeError, ServiceError, UndecodableImageError

if TYPE_CHECKING:
    from PIL import Image, ImageCms

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "TIFF", "GIF", "BMP")
_STILL_WITH_SEVERAL_IMAGES = {"TIFF": "pages", "MPO": "images"}  # MPO: a JPEG with previews or a stereo pair behind it
MAX_SIDE = 30_000  # beyond this, libraries below us use 16-bit coordinates or excessive memory
_TRANSPOSITIONS = {  # EXIF 2.32, tag Orientation: what brings the stored rows and columns upright
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
_ORIENTATION_TAG = 0x0112
_CONVERTIBLE_MODES = frozenset({"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"})
_SAME_COLOUR_LEVELS = 2  # rounding of 8-bit colour management; a profile that moves no colour further is sRGB


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
    from PIL import Image, UnidentifiedImageError

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
                _check_still(image, notes)
                file_format = "JPEG" if image.format == "MPO" else str(image.format)
                image.load()
                # Without a copy: Pillow hands out its bytes, which makes the array read-only.
                pixels = np.asarray(_to_rgb(_upright(image, notes), notes), dtype=np.uint8)
    except ServiceError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageTooLargeError(
            f"the image has too many pixels; at most {limits.max_pixels} are accepted ({error})"
        ) from error
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
    if min(width, height) < 1:
        raise UndecodableImageError(f"the image is {width}×{height} pixels; it holds no picture")


def _check_still(image: Image.Image, notes: list[str]) -> None:
    """Refuse animations; of a file with several still images, the first is the picture."""
    frames = int(getattr(image, "n_frames", 1))
    if frames < 2:
        return
    parts = _STILL_WITH_SEVERAL_IMAGES.get(str(image.format))
    if parts is None:
        raise UndecodableImageError(
            f"the file is an animation of {frames} frames; send a still image, or one frame of it"
        )
    notes.append(f"first of {frames} {parts}")


def _upright(image: Image.Image, notes: list[str]) -> Image.Image:
    """Apply the EXIF orientation; EXIF data that cannot be read is ignored and noted."""
    from PIL.Image import Transpose

    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
        transposition = _TRANSPOSITIONS.get(orientation)
    except Exception:  # noqa: BLE001 - Pillow's EXIF reader raises many types; the picture itself is intact
        notes.append("EXIF data could not be read and was ignored")
        return image
    if transposition is None:
        return image
    notes.append("EXIF orientation applied")
    upright = image.transpose(Transpose[transposition])
    upright.info = image.info
    return upright


def _to_rgb(image: Image.Image, notes: list[str]) -> Image.Image:
    """Convert any listed Pillow mode to RGB, saying in `notes` what was done."""
    from PIL import Image

    profile = image.info.get("icc_profile")
    if image.mode.startswith("I;16"):
        image = _scaled_to_8_bits(image, notes)
    if image.mode not in _CONVERTIBLE_MODES:
        raise UndecodableImageError(
            f"the image's pixels are of a kind that is not read here ({image.mode}); send 8 or 16 bits a channel, RGB"
        )
    colour, alpha = _split(image)
    colour = _to_srgb(colour, profile, notes)
    if colour.mode == "CMYK":
        notes.append("CMYK converted to RGB")
    if colour.mode != "RGB":
        colour = colour.convert("RGB")
    if alpha is None or alpha.getextrema()[0] == 255:
        return colour
    notes.append("transparency laid over white")
    flat = Image.new("RGB", colour.size, (255, 255, 255))
    flat.paste(colour, mask=alpha)
    return flat


def _scaled_to_8_bits(image: Image.Image, notes: list[str]) -> Image.Image:
    """16-bit grey as L or LA: 65,535 becomes 255. Pillow clips on conversion instead of scaling."""
    from PIL import Image

    values = np.asarray(image)
    scaled = values.astype(np.uint32)
    scaled += 128  # 65,535 = 257 × 255: rounds to the nearest level
    scaled //= 257
    grey = Image.fromarray(scaled.astype(np.uint8))
    notes.append("16-bit grey scaled to 8 bits")
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return grey


def _split(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Colour without transparency, and the opacity (L) if the image has any."""
    if image.has_transparency_data:
        with_alpha = image.convert("LA" if image.mode in ("1", "L", "LA", "La") else "RGBA")
        return with_alpha.convert("L" if with_alpha.mode == "LA" else "RGB"), with_alpha.getchannel("A")
    return (image.convert("RGB") if image.mode in ("P", "RGBX", "YCbCr") else image), None


def _to_srgb(image: Image.Image, profile_bytes: bytes | None, notes: list[str]) -> Image.Image:
    """Apply an embedded ICC profile (ICC.1:2022); a damaged or unfitting one is ignored and noted."""
    from PIL import ImageCms

    if not profile_bytes or image.mode not in ("RGB", "CMYK", "L"):
        return image
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(profile_bytes))
        transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), image.mode, "RGB")
        if _changes_no_colour(transform, image.mode):
            return image
        converted = ImageCms.applyTransform(image, transform)
    except (ImageCms.PyCMSError, OSError, ValueError):
        notes.append("colour profile could not be read and was ignored")
        return image
    assert converted is not None  # None only when converting in place
    notes.append("colour profile converted to sRGB")
    return converted


def _changes_no_colour(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether a profile is sRGB under whatever name: tried on a grid of colours."""
    from PIL import Image, ImageCms

    if mode == "CMYK":
        return False
    steps = np.linspace(0, 255, 16).astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(64, 64, 3)
    probe = Image.fromarray(grid).convert(mode)
    applied = ImageCms.applyTransform(probe, transform)
    assert applied is not None
    difference = np.abs(np.asarray(applied, np.int16) - np.asarray(probe.convert("RGB"), np.int16))
    return bool(difference.max() <= _SAME_COLOUR_LEVELS)
