"""Pixels to the bytes that will be signed: PNG, JPEG, WebP, AVIF or TIFF with the disclosure inside."""

from __future__ import annotations

import io
from typing import Final, Literal

from PIL import Image

from provenance import xmp
from provenance.disclosure import DisclosureFields
from provenance.errors import EncodingError, UnsupportedFormatError
from provenance.pixels import Pixels, require_pixels

ImageFormat = Literal["png", "jpeg", "webp", "avif", "tiff"]

PNG_COMPRESSION: Final = 3
"""zlib's Z_RLE. Beside level 3 without it: half the time (1024×1024 photographs: 70 ms, not 130) for files a twentieth
smaller; enlarged drawings are an eighth larger, pages of text three quarters."""

JPEG_QUALITY: Final = 95
WEBP_QUALITY: Final = 92
AVIF_QUALITY: Final = 90
AVIF_SPEED: Final = 8  # libavif: 0 slowest to 10; from 6 to 8 halves the time for files a few percent larger
MAX_SIDE: Final = {"png": 65_535, "jpeg": 65_535, "webp": 16_383, "avif": 65_535, "tiff": 65_535}

_TIFF_XMP: Final = 700  # XMP specification part 3 §3.3
_TIFF_BYTE: Final = 1

THUMBNAIL_SIDE: Final = 256
THUMBNAIL_QUALITY: Final = 70
THUMBNAIL_MAX_BYTES: Final = 30_000


def encode_image(pixels: Pixels, image_format: ImageFormat, disclosure: DisclosureFields) -> bytes:
    """Encode (height, width, 3) uint8 RGB with an XMP packet: IPTC source type, AI system, AIGC label.

    PNG and TIFF (Deflate) are lossless; JPEG quality 95 and AVIF quality 90 without chroma subsampling, WebP quality
    92. Nothing else is written: no prompt, no EXIF. Raises `UnsupportedFormatError`, `PixelsError`, `EncodingError`.
    """
    if image_format not in MAX_SIDE:
        raise UnsupportedFormatError(
            f"Format {image_format!r} cannot be written; expected one of {', '.join(MAX_SIDE)}."
        )
    require_pixels(pixels)
    if max(pixels.shape[:2]) > MAX_SIDE[image_format]:
        raise EncodingError(
            f"{pixels.shape[1]}×{pixels.shape[0]} pixels do not fit into {image_format}, whose sides end at "
            f"{MAX_SIDE[image_format]}; choose png or a smaller size."
        )
    packet, out, image = xmp.packet(disclosure), io.BytesIO(), Image.fromarray(pixels)
    try:
        if image_format == "png":
            image.save(out, "PNG", compress_level=1, compress_type=PNG_COMPRESSION, pnginfo=_png_text(packet))
        elif image_format == "jpeg":
            image.save(out, "JPEG", quality=JPEG_QUALITY, subsampling=0, optimize=True, xmp=packet)
        elif image_format == "webp":
            image.save(out, "WEBP", quality=WEBP_QUALITY, method=4, xmp=packet)
        elif image_format == "avif":
            image.save(out, "AVIF", quality=AVIF_QUALITY, speed=AVIF_SPEED, subsampling="4:4:4", xmp=packet)
        else:
            image.save(out, "TIFF", compression="tiff_adobe_deflate", tiffinfo=_tiff_tags(packet))
    except (OSError, ValueError) as error:
        raise EncodingError(f"The picture could not be encoded as {image_format} ({error}).") from error
    return out.getvalue()


def thumbnail_jpeg(pixels: Pixels) -> bytes:
    """A small JPEG for the credential: longest side 256, at most 30,000 bytes."""
    image = Image.fromarray(require_pixels(pixels))
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
    for quality in (THUMBNAIL_QUALITY, 50, 30, 10):
        out = io.BytesIO()
        image.save(out, "JPEG", quality=quality)
        if out.tell() <= THUMBNAIL_MAX_BYTES:
            break
    return out.getvalue()


def _png_text(packet: bytes) -> object:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", packet.decode("utf-8"))
    return info


def _tiff_tags(packet: bytes) -> object:
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    tags = ImageFileDirectory_v2()
    tags[_TIFF_XMP] = packet
    tags.tagtype[_TIFF_XMP] = _TIFF_BYTE
    return tags
