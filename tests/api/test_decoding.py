"""The guarded decoder: what each kind of file becomes, and what is refused."""

from __future__ import annotations

import hashlib
import io
import struct
import time
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms, PngImagePlugin

from api.decoding import FORMATS, DecodedImage, DecodeLimits, decode
from api.errors import ImageTooLargeError, InvalidInputError, UndecodableImageError

LIMITS = DecodeLimits(max_bytes=4 * 1024 * 1024, max_pixels=4_000_000)
LOSSLESS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "WEBP": {"lossless": True},
    "TIFF": {"compression": "tiff_lzw"},
    "BMP": {},
}
LOSSY: dict[str, dict[str, Any]] = {"JPEG": {"quality": 95, "subsampling": 0}, "AVIF": {"quality": 95}}


def _picture(width: int = 48, height: int = 32) -> NDArray[np.uint8]:
    """Smooth colours that differ at every corner, so that lossy formats stay close and turns show."""
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return np.stack([across, down, (255 - across) / 2 + down / 4], axis=-1).astype(np.uint8)


def _saved(image: Image.Image, file_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def _encoded(file_format: str) -> bytes:
    return _saved(Image.fromarray(_picture()), file_format, **(LOSSLESS | LOSSY).get(file_format, {}))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png(width: int, height: int, depth: int, colour: int, data: bytes, *, extra: bytes = b"") -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + _chunk(b"IDAT", zlib.compress(data)) + _chunk(b"IEND", b"")


def _pixels(data: bytes) -> list[list[int]]:
    """The first row of an image."""
    return [[int(value) for value in pixel] for pixel in decode(data, LIMITS).pixels[0]]


@pytest.mark.parametrize("file_format", LOSSLESS)
def test_lossless_formats_give_the_pixels_that_were_saved(file_format: str) -> None:
    decoded = decode(_encoded(file_format), LIMITS)

    np.testing.assert_array_equal(decoded.pixels, _picture())
    assert decoded.format == file_format
    assert decoded.notes == ()


@pytest.mark.parametrize("file_format", LOSSY)
def test_lossy_formats_give_nearly_the_pixels_that_were_saved(file_format: str) -> None:
    decoded = decode(_encoded(file_format), LIMITS)

    assert np.abs(decoded.pixels.astype(int) - _picture().astype(int)).mean() < 3
    assert decoded.format == file_format


def test_a_gif_gives_its_palettes_colours() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)

    assert _pixels(_saved(image, "GIF")) == [[10, 20, 30], [200, 100, 50]]


def test_every_listed_format_is_tried_here() -> None:
    assert {*LOSSLESS, *LOSSY, "GIF"} == set(FORMATS)


def test_a_decoded_image_tells_of_its_source_and_cannot_be_changed() -> None:
    data = _encoded("PNG")
    decoded = decode(data, LIMITS)

    assert (decoded.width, decoded.height) == (48, 32)
    assert decoded.pixels.dtype == np.uint8
    assert decoded.media_type == "image/png"
    assert decoded.sha256 == hashlib.sha256(data).hexdigest()
    assert decoded.source == data
    with pytest.raises(ValueError, match="read-only"):
        decoded.pixels[0, 0] = 0


def test_sixteen_bit_grey_is_scaled_and_not_clipped() -> None:
    levels = [0, 128, 129, 257, 32_768, 65_279, 65_535]
    data = _png(len(levels), 1, 16, 0, b"\0" + struct.pack(f">{len(levels)}H", *levels))
    decoded = decode(data, LIMITS)

    assert decoded.pixels[0, :, 0].tolist() == [round(level / 257) for level in levels]
    assert (decoded.pixels == decoded.pixels[:, :, :1]).all()
    assert decoded.notes == ("16-bit grey scaled to 8 bits",)


def test_sixteen_bit_grey_tiff_of_either_byte_order_is_scaled() -> None:
    values = np.array([[0, 1000, 32_768, 65_535]], dtype=np.uint16)
    for prefix in (b"II*\0", b"MM\0*"):
        data = _saved(Image.fromarray(values), "TIFF") if prefix[:1] == b"I" else _big_endian_tiff(values)
        assert data.startswith(prefix)
        assert decode(data, LIMITS).pixels[0, :, 0].tolist() == [0, 4, 128, 255]


def _big_endian_tiff(values: NDArray[np.uint16]) -> bytes:
    """Baseline TIFF 6.0 of one strip, 16-bit grey, in Motorola byte order."""
    height, width = values.shape
    strip = values.astype(">u2").tobytes()
    entries = [
        (256, 3, width), (257, 3, height), (258, 3, 16), (259, 3, 1), (262, 3, 1),
        (273, 4, 8), (277, 3, 1), (278, 3, height), (279, 4, len(strip)),
    ]  # fmt: skip
    directory = struct.pack(">H", len(entries))
    for tag, kind, value in entries:
        directory += struct.pack(">HHI", tag, kind, 1) + (
            struct.pack(">HH", value, 0) if kind == 3 else struct.pack(">I", value)
        )
    return b"MM\0*" + struct.pack(">I", 8 + len(strip)) + strip + directory + struct.pack(">I", 0)


def test_sixteen_bit_colour_is_scaled_to_within_one_level() -> None:
    levels = [0, 0x00FF, 0x0100, 0x7FFF, 0x8000, 0xFF00, 0xFFFF, 0x1234, 0xABCD]
    data = _png(3, 1, 16, 2, b"\0" + struct.pack(">9H", *levels))
    got = decode(data, LIMITS).pixels.reshape(-1).tolist()

    assert all(abs(value - level / 257) <= 1 for value, level in zip(got, levels, strict=True))
    assert (got[0], got[6]) == (0, 255)


def test_a_sixteen_bit_grey_key_colour_becomes_white() -> None:
    key = _chunk(b"tRNS", struct.pack(">H", 1000))
    data = _png(2, 1, 16, 0, b"\0" + struct.pack(">2H", 1000, 65_535 // 2), extra=key)

    assert _pixels(data) == [[255, 255, 255], [127, 127, 127]]


def test_pixels_of_a_kind_that_has_no_fixed_range_are_refused_not_guessed() -> None:
    data = _saved(Image.fromarray(np.full((2, 2), 0.5, dtype=np.float32)), "TIFF")

    with pytest.raises(UndecodableImageError, match="8 or 16 bits"):
        decode(data, LIMITS)


def test_a_cmyk_jpeg_becomes_rgb() -> None:
    decoded = decode(_saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95), LIMITS)

    red, green, blue = (int(value) for value in decoded.pixels[8, 8])
    assert red > 240
    assert max(green, blue) < 15
    assert decoded.notes == ("CMYK converted to RGB",)


def test_transparency_is_laid_over_white() -> None:
    rgba = Image.new("RGBA", (3, 1))
    rgba.putdata([(200, 0, 0, 255), (200, 0, 0, 0), (0, 0, 0, 128)])
    grey = Image.new("LA", (3, 1))
    grey.putdata([(10, 255), (10, 0), (0, 128)])

    assert _pixels(_saved(rgba, "PNG")) == [[200, 0, 0], [255, 255, 255], [127, 127, 127]]
    assert _pixels(_saved(grey, "PNG")) == [[10, 10, 10], [255, 255, 255], [127, 127, 127]]
    assert decode(_saved(rgba, "PNG"), LIMITS).notes == ("transparency laid over white",)
    assert decode(_saved(rgba, "WEBP", lossless=True, exact=True), LIMITS).pixels[0, 1].tolist() == [255, 255, 255]


def test_an_opaque_alpha_channel_changes_nothing_and_is_not_noted() -> None:
    opaque = Image.fromarray(_picture()).convert("RGBA")
    decoded = decode(_saved(opaque, "PNG"), LIMITS)

    np.testing.assert_array_equal(decoded.pixels, _picture())
    assert decoded.notes == ()


@pytest.mark.parametrize("transparency", [1, bytes([255, 0, 255])])
def test_a_palettes_transparent_colour_becomes_white(transparency: int | bytes) -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([10, 20, 30, 90, 0, 0, 70, 80, 90])
    image.putdata([0, 1, 2])

    data = _saved(image, "PNG", transparency=transparency)

    assert _pixels(data) == [[10, 20, 30], [255, 255, 255], [70, 80, 90]]


def test_a_key_colour_of_rgb_and_grey_becomes_white() -> None:
    rgb = Image.new("RGB", (2, 1), (1, 2, 3))
    rgb.putpixel((1, 0), (9, 9, 9))
    grey = Image.new("L", (2, 1), 7)
    grey.putpixel((1, 0), 99)

    assert _pixels(_saved(rgb, "PNG", transparency=(1, 2, 3))) == [[255, 255, 255], [9, 9, 9]]
    assert _pixels(_saved(grey, "PNG", transparency=7)) == [[255, 255, 255], [99, 99, 99]]


def test_one_bit_images_become_black_and_white() -> None:
    image = Image.new("1", (2, 1), 0)
    image.putpixel((1, 0), 1)

    assert _pixels(_saved(image, "PNG")) == [[0, 0, 0], [255, 255, 255]]


UPRIGHT = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
# How EXIF 2.32 says the stored array relates to the upright one, written out for each value.
STORED = {
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1, :],
    5: UPRIGHT.T,
    6: np.rot90(UPRIGHT),
    7: UPRIGHT[::-1, ::-1].T,
    8: np.rot90(UPRIGHT, -1),
}


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", STORED)
def test_exif_orientation_turns_the_pixels_upright(orientation: int, file_format: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.repeat(STORED[orientation][:, :, None], 3, axis=2))
    decoded = decode(_saved(stored, file_format, exif=exif, **LOSSLESS[file_format]), LIMITS)

    assert decoded.pixels[:, :, 0].tolist() == UPRIGHT.tolist()
    if file_format != "TIFF":  # Pillow turns TIFF itself, as the specification of that format asks
        assert decoded.notes == (("EXIF orientation applied",) if orientation != 1 else ())


@pytest.mark.parametrize("orientation", [0, 9, 4711])
def test_an_orientation_that_does_not_exist_changes_nothing(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = decode(_saved(Image.fromarray(_picture()), "PNG", exif=exif), LIMITS)

    np.testing.assert_array_equal(decoded.pixels, _picture())
    assert decoded.notes == ()


def test_damaged_exif_data_does_not_cost_the_picture() -> None:
    decoded = decode(_saved(Image.fromarray(_picture()), "PNG", exif=b"Exif\0\0XX*\0\0\0\0\0"), LIMITS)

    np.testing.assert_array_equal(decoded.pixels, _picture())
    assert decoded.notes == ("EXIF data could not be read and was ignored",)


def _swapped_profile() -> bytes:
    """A display profile whose red and green primaries are exchanged: what it does cannot be missed."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack(">I", profile[128:132])[0]
    entries = {bytes(profile[132 + 12 * i : 136 + 12 * i]): 132 + 12 * i for i in range(count)}
    red, green = entries[b"rXYZ"], entries[b"gXYZ"]
    profile[red : red + 4], profile[green : green + 4] = profile[green : green + 4], profile[red : red + 4]
    return bytes(profile)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_a_colour_profile_is_converted_to_srgb_in_every_mode(mode: str) -> None:
    image = Image.new("RGB", (4, 4), (255, 0, 0)).convert(mode)
    decoded = decode(_saved(image, "PNG", icc_profile=_swapped_profile()), LIMITS)

    red, green, blue = (int(value) for value in decoded.pixels[0, 0])
    assert green > 240
    assert max(red, blue) < 15
    assert decoded.notes == ("colour profile converted to sRGB",)


def test_the_srgb_profile_leaves_every_pixel_as_it_is() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    decoded = decode(_saved(Image.fromarray(_picture()), "PNG", icc_profile=profile), LIMITS)

    np.testing.assert_array_equal(decoded.pixels, _picture())
    assert decoded.notes == ()


@pytest.mark.parametrize("profile", [b"no profile", _swapped_profile()[:200]])
def test_a_damaged_colour_profile_is_ignored_and_noted(profile: bytes) -> None:
    decoded = decode(_saved(Image.fromarray(_picture()), "PNG", icc_profile=profile), LIMITS)

    np.testing.assert_array_equal(decoded.pixels, _picture())
    assert decoded.notes == ("colour profile could not be read and was ignored",)


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "AVIF"])
def test_animations_are_refused_with_their_number_of_frames(file_format: str) -> None:
    frames = [Image.new("RGB", (8, 8), (shade, 0, 255 - shade)) for shade in (0, 120, 255)]
    data = _saved(frames[0], file_format, save_all=True, append_images=frames[1:])

    with pytest.raises(UndecodableImageError, match="animation of 3 frames"):
        decode(data, LIMITS)


def test_of_a_tiff_with_pages_the_first_is_taken_and_noted() -> None:
    pages = [Image.new("RGB", (8, 8), colour) for colour in ((1, 2, 3), (4, 5, 6))]
    decoded = decode(_saved(pages[0], "TIFF", save_all=True, append_images=pages[1:]), LIMITS)

    assert decoded.pixels[0, 0].tolist() == [1, 2, 3]
    assert decoded.notes == ("first of 2 pages",)


def test_a_photograph_with_a_preview_behind_it_is_a_jpeg_and_no_animation() -> None:
    photograph, preview = Image.fromarray(_picture()), Image.new("RGB", (8, 8))
    decoded = decode(_saved(photograph, "MPO", save_all=True, append_images=[preview], quality=95), LIMITS)

    assert (decoded.width, decoded.height) == (48, 32)
    assert (decoded.format, decoded.media_type) == ("JPEG", "image/jpeg")
    assert decoded.notes == ("first of 2 images",)


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("kept", [0.25, 0.6, 0.9])
def test_truncated_files_are_refused(file_format: str, kept: float) -> None:
    noise = np.random.default_rng(7).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = _saved(Image.fromarray(noise), file_format)

    with pytest.raises(UndecodableImageError):
        decode(data[: int(len(data) * kept)], LIMITS)


@pytest.mark.parametrize(
    "data",
    [b"\0", b"hello, this is text", b"%PDF-1.7\n", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"P6 1 1 255\n123"],
)
def test_what_is_no_image_of_a_listed_format_is_refused_with_the_list(data: bytes) -> None:
    with pytest.raises(UndecodableImageError, match="PNG, JPEG, WEBP, AVIF, TIFF, GIF, BMP"):
        decode(data, LIMITS)


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(UndecodableImageError, match="empty"):
        decode(b"", LIMITS)


def test_an_image_without_pixels_is_refused() -> None:
    for data in (_png(0, 0, 8, 2, b""), _blank_gif()):
        with pytest.raises(InvalidInputError):
            decode(data, LIMITS)


def _blank_gif() -> bytes:
    """Screen and image of 0×0 pixels."""
    return b"GIF89a" + bytes(4) + b"\0\0\0" + b"," + bytes(8) + b"\0" + b"\x02\x02\x44\x01\0" + b";"


def test_more_bytes_than_allowed_are_refused() -> None:
    data = _encoded("PNG")

    assert decode(data, DecodeLimits(max_bytes=len(data))).width == 48
    with pytest.raises(ImageTooLargeError, match=f"{len(data)} bytes"):
        decode(data, DecodeLimits(max_bytes=len(data) - 1))


def test_the_pixel_limit_is_inclusive() -> None:
    data = _encoded("PNG")

    assert decode(data, DecodeLimits(max_pixels=48 * 32)).width == 48
    with pytest.raises(ImageTooLargeError, match="48×32"):
        decode(data, DecodeLimits(max_pixels=48 * 32 - 1))


@pytest.mark.parametrize(("width", "height"), [(50_000, 50_000), (30_001, 1), (1, 2**31 - 1), (12_000, 12_000)])
def test_a_bomb_is_refused_before_decoding(width: int, height: int) -> None:
    data = _png(width, height, 8, 2, bytes(4096))
    with pytest.raises(ImageTooLargeError):  # also imports what decoding needs, outside of the measurement
        decode(data, LIMITS)

    tracemalloc.start()
    started = time.perf_counter()
    with pytest.raises(ImageTooLargeError, match="at most 4000000"):
        decode(data, LIMITS)
    elapsed_s = time.perf_counter() - started
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert elapsed_s < 0.1
    assert peak_bytes < 1_000_000


def test_a_bomb_in_a_text_chunk_is_refused() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "A" * 80_000_000, zip=True)

    with pytest.raises(UndecodableImageError, match="too large"):
        decode(_saved(Image.fromarray(_picture()), "PNG", pnginfo=text), LIMITS)


def _outcome(data: bytes) -> DecodedImage | InvalidInputError:
    try:
        return decode(data, LIMITS)
    except InvalidInputError as error:
        return error


@given(st.binary(max_size=4096))
@settings(max_examples=150, deadline=None)
def test_arbitrary_bytes_raise_nothing_but_invalid_input(data: bytes) -> None:
    assert isinstance(_outcome(data), InvalidInputError)


@given(
    file_format=st.sampled_from(FORMATS),
    edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=12),
    cut=st.floats(0, 1),
)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_mutated_files_decode_or_raise_nothing_but_invalid_input(
    file_format: str, edits: list[tuple[float, int]], cut: float
) -> None:
    data = bytearray(_with_metadata(file_format))
    for place, value in edits:
        data[int(place * min(len(data), 600))] = value  # headers and metadata lie at the front
    outcome = _outcome(bytes(data[: max(1, int(len(data) * (0.5 + cut)))]))

    if isinstance(outcome, DecodedImage):
        assert outcome.pixels.shape == (outcome.height, outcome.width, 3)
        assert outcome.pixels.size > 0
        assert not outcome.pixels.flags.writeable


_FILES: dict[str, bytes] = {}


def _with_metadata(file_format: str) -> bytes:
    """A small file of the format, with EXIF data and a colour profile where it holds them."""
    if file_format not in _FILES:
        exif = Image.Exif()
        exif[0x0112] = 6
        takes_metadata = file_format not in ("GIF", "BMP")
        options = {"exif": exif, "icc_profile": _swapped_profile()} if takes_metadata else {}
        _FILES[file_format] = _saved(Image.fromarray(_picture(16, 8)), file_format, **options)
    return _FILES[file_format]
