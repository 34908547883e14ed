"""Fixtures of the safety tests: the encoder, photographs, rendered scenes, a filled reference index."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from sqlalchemy import Engine

from safety.duplicates.index import ReferenceIndex
from safety.prompt.encoder import MiniLmEncoder
from safety.tables import metadata

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="session")
def encoder() -> MiniLmEncoder:
    """all-MiniLM-L6-v2, the real one."""
    from safety.training.encoder import load_encoder

    return load_encoder()


@pytest.fixture(scope="session")
def photographs(shared_data: Path) -> list[Pixels]:
    """Twenty photographs of BSDS500's validation set."""
    paths = sorted((shared_data / "images" / "real" / "bsds-val").glob("*.jpg"))[:20]
    return [read_pixels(path) for path in paths]


@pytest.fixture(scope="module")
def index(engine: Engine) -> Iterator[ReferenceIndex]:
    """An empty reference index on a fresh database."""
    metadata.create_all(engine)
    yield ReferenceIndex(engine, lambda: datetime(2026, 11, 22, 12, 0, tzinfo=UTC))
    metadata.drop_all(engine)


def read_pixels(path: Path) -> Pixels:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def flat_scene(background: tuple[int, int, int], shape: str = "ellipse", side: int = 512) -> Pixels:
    """A flat picture on one colour, as the embedded model draws them."""
    image = Image.new("RGB", (side, side), background)
    draw = ImageDraw.Draw(image)
    low, high = side // 4, side // 4 * 3
    if shape == "ellipse":
        draw.ellipse((low, low, high, high), fill=(220, 40, 40))
        draw.rectangle((side // 2 - 6, low - side // 10, side // 2 + 6, low + 10), fill=(90, 60, 30))
    elif shape == "polygon":
        draw.polygon([(low, high), (side // 2, low), (high, high)], fill=(40, 160, 60))
    else:
        draw.rectangle((low, low, high, high), fill=(60, 90, 200))
        draw.ellipse((low + 20, low + 20, high - 40, high - 80), fill=(250, 220, 60))
    return np.asarray(image)


@pytest.fixture(scope="session")
def flat_scenes() -> list[Pixels]:
    """Flat pictures of three shapes on twelve colours, white and black among them."""
    colours = [(255, 255, 255), (0, 0, 0), (255, 0, 0), (0, 0, 255), (255, 255, 0), (128, 128, 128)]
    colours += [(0, 128, 0), (255, 192, 203), (128, 0, 128), (255, 165, 0), (139, 69, 19), (135, 206, 235)]
    shapes = ("ellipse", "polygon", "rectangle")
    return [flat_scene(colour, shape) for colour in colours for shape in shapes]
