"""Captioned scenes for training: a pure function of a seed.

A scene is one object (or two, in a named relation) on a plain coloured background or in a simple setting.
`sample_scene` draws a description; `render_scene` turns it into pixels at any size, so that the same scene
serves the diffusion model (128) and the upscaler (512).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from generator.training.glyphs import render_glyph
from generator.training.vocabulary import COLOUR_SYNONYMS, COLOURS, OBJECTS, SETTINGS, NamedObject

Split = Literal["train", "held-out"]

HELD_OUT_SHARE = 10  # one object-colour pair in ten never appears in a training scene


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an object stands: glyph, centre and side as shares of the canvas, rotation in degrees."""

    glyph: str
    x: float
    y: float
    side: float
    degrees: float


@dataclass(frozen=True, slots=True)
class Scene:
    """A description that renders to one picture.

    `objects` are the canonical names in drawing order; `colour` (with a small `tint` added to it) or `setting`
    names the background.
    """

    caption: str
    objects: tuple[str, ...]
    placements: tuple[Placement, ...]
    colour: str | None
    setting: str | None
    tint: tuple[int, int, int]
    seed: int


def is_held_out(name: str, colour: str) -> bool:
    """Whether this pair of object and background colour is kept from training."""
    digest = hashlib.sha256(f"{name}|{colour}".encode()).digest()
    return digest[0] % HELD_OUT_SHARE == 0


def _article(noun: str) -> str:
    return f"an {noun}" if noun[0].lower() in "aeiou" else f"a {noun}"


_UNCOUNTED = {"coffee", "bread", "cheese", "grapes", "cherries", "fire", "Saturn", "Earth", "planet Earth", "ice cream"}
_UNIQUE = {"sun", "moon", "globe"}


def _phrase(noun: str, adjective: str, rng: np.random.Generator) -> str:
    words = f"{adjective} {noun}".strip()
    if noun in _UNCOUNTED and not adjective:
        return words
    if noun in _UNIQUE and rng.random() < 0.5:
        return f"the {words}"
    return _article(words)


def _word(named: NamedObject, rng: np.random.Generator) -> str:
    if named.synonyms and rng.random() < 0.35:
        return str(rng.choice(named.synonyms))
    return named.name


def _colour_word(colour: str, rng: np.random.Generator) -> str:
    synonyms = COLOUR_SYNONYMS.get(colour, ())
    return str(rng.choice(synonyms)) if synonyms and rng.random() < 0.3 else colour


def _backdrop(rng: np.random.Generator, name: str, split: Split) -> tuple[str | None, str | None, str]:
    """Draw (colour, setting, words); held-out scenes always show a held-out pair on a named colour."""
    if split == "train" and rng.random() < 0.25:
        setting = str(rng.choice(list(SETTINGS)))
        return None, setting, str(rng.choice(SETTINGS[setting].phrases))
    allowed = [c for c in COLOURS if is_held_out(name, c) == (split == "held-out")]
    colour = str(rng.choice(allowed or list(COLOURS)))
    word = _colour_word(colour, rng)
    if split == "train" and rng.random() < 0.12:
        return colour, None, ""
    forms = (
        f"on {_article(word)} background",
        f"on {word}",
        f"in front of {_article(word)} background",
        f"{word} background",
    )
    return colour, None, str(rng.choice(forms, p=(0.6, 0.1, 0.1, 0.2)))


def _caption(subject: str, backdrop: str, rng: np.random.Generator) -> str:
    lead = str(
        rng.choice(
            ("", "a picture of ", "an illustration of ", "a drawing of ", "a photo of "), p=(0.6, 0.1, 0.1, 0.1, 0.1)
        )
    )
    separator = ", " if backdrop.endswith(" background") and not backdrop.startswith(("on", "in")) else " "
    return f"{lead}{subject}{separator if backdrop else ''}{backdrop}"


def _one_object(rng: np.random.Generator, split: Split, seed: int) -> Scene:
    candidates = OBJECTS
    if split == "held-out":
        candidates = tuple(o for o in OBJECTS if any(is_held_out(o.name, c) for c in COLOURS))
    named = candidates[int(rng.integers(len(candidates)))]
    noun = _word(named, rng)
    side, adjective = float(rng.uniform(0.66, 0.76)), ""
    x, y = 0.5 + float(rng.uniform(-0.03, 0.03)), 0.5 + float(rng.uniform(-0.03, 0.03))
    place = ""
    draw = rng.random()
    if split == "train" and draw < 0.08:
        side, adjective = float(rng.uniform(0.38, 0.46)), str(rng.choice(("small", "tiny", "little")))
    elif split == "train" and draw < 0.16:
        side, adjective = float(rng.uniform(0.86, 0.94)), str(rng.choice(("big", "large", "huge")))
    elif split == "train" and draw < 0.24:
        side = float(rng.uniform(0.42, 0.5))
        place = str(rng.choice(("on the left", "on the right", "at the top", "at the bottom")))
        x, y = {"left": (0.28, y), "right": (0.72, y), "top": (x, 0.28), "bottom": (x, 0.72)}[place.split()[-1]]
    colour, setting, backdrop = _backdrop(rng, named.name, split)
    subject = " ".join(filter(None, (_phrase(noun, adjective, rng), place)))
    placement = Placement(named.glyph, x, y, side, float(rng.uniform(-4, 4)))
    return Scene(_caption(subject, backdrop, rng), (named.name,), (placement,), colour, setting, _tint(rng), seed)


def _two_objects(rng: np.random.Generator, seed: int) -> Scene:
    first, second = (OBJECTS[int(i)] for i in rng.choice(len(OBJECTS), 2, replace=False))
    a, b = _phrase(_word(first, rng), "", rng), _phrase(_word(second, rng), "", rng)
    side = float(rng.uniform(0.42, 0.48))
    left, right = (0.27, 0.5), (0.73, 0.5)
    top, bottom = (0.5, 0.27), (0.5, 0.73)
    relation, here, there = (
        (f"{a} and {b}", left, right),
        (f"{a} next to {b}", left, right),
        (f"{a} to the left of {b}", left, right),
        (f"{a} to the right of {b}", right, left),
        (f"{a} above {b}", top, bottom),
        (f"{a} below {b}", bottom, top),
    )[int(rng.choice(6, p=(0.3, 0.2, 0.15, 0.1, 0.15, 0.1)))]
    colour, setting, backdrop = _backdrop(rng, first.name, "train")
    placements = tuple(
        Placement(o.glyph, x, y, side, float(rng.uniform(-4, 4))) for o, (x, y) in ((first, here), (second, there))
    )
    caption = _caption(relation, backdrop, rng)
    return Scene(caption, (first.name, second.name), placements, colour, setting, _tint(rng), seed)


def _tint(rng: np.random.Generator) -> tuple[int, int, int]:
    r, g, b = (int(v) for v in rng.integers(-6, 7, 3))
    return r, g, b


def sample_scene(seed: int, split: Split = "train") -> Scene:
    """Describe the scene of this seed. Equal seeds and splits give equal scenes, on every machine."""
    rng = np.random.default_rng([seed, 0 if split == "train" else 1])
    if split == "train" and rng.random() < 0.12:
        return _two_objects(rng, seed)
    return _one_object(rng, split, seed)


def _vertical(top: tuple[int, int, int], bottom: tuple[int, int, int], rows: int) -> NDArray[np.float32]:
    ramp = np.linspace(0.0, 1.0, max(rows, 1), dtype=np.float32)[:, None]
    return np.asarray(top, np.float32) * (1 - ramp) + np.asarray(bottom, np.float32) * ramp


def _background(scene: Scene, size: int) -> NDArray[np.float32]:
    canvas = np.empty((size, size, 3), np.float32)
    if scene.setting is None:
        assert scene.colour is not None
        base = np.asarray(COLOURS[scene.colour], np.float32) + np.asarray(scene.tint, np.float32)
        light = np.linspace(1.06, 0.94, size, dtype=np.float32)[:, None, None]
        canvas[:] = base * light
        return np.clip(canvas, 0, 255) / 255.0
    setting = SETTINGS[scene.setting]
    rows = round(setting.horizon * size)
    canvas[:rows] = _vertical(setting.sky_top, setting.sky_bottom, rows)[:, None]
    shade = tuple(int(c * 0.9) for c in setting.ground)
    if rows < size:
        canvas[rows:] = _vertical(setting.ground, (shade[0], shade[1], shade[2]), size - rows)[:, None]
    if setting.stars:
        rng = np.random.default_rng([scene.seed, 2])
        radius = 0.006 * size
        grid = np.arange(size, dtype=np.float32) + 0.5
        for x, y in rng.random((26, 2)) * size:
            spot = np.clip(radius + 0.5 - np.hypot(grid[None, :] - x, grid[:, None] - y), 0, 1)
            canvas += (np.float32(235) - canvas) * spot[..., None].astype(np.float32)
    return np.clip(canvas, 0, 255) / 255.0


@lru_cache(maxsize=4)
def _shadow(size: int) -> NDArray[np.float32]:
    """A soft ellipse, alpha in [0, 0.28], for the ground under an object whose side is `size`."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size - 0.5
    distance = np.hypot(x / 0.42, (y - 0.47) / 0.07)
    soft = np.clip((1.25 - distance) / 0.6, 0, 1)
    return np.asarray(0.28 * soft * soft * (3 - 2 * soft), np.float32)


def _place(layer: NDArray[np.float32], placement: Placement, size: int, turn: bool) -> NDArray[np.float32]:
    import cv2

    source = layer.shape[0]
    scale = placement.side * size / source
    radians = np.deg2rad(placement.degrees if turn else 0.0)
    cos, sin = scale * np.cos(radians), scale * np.sin(radians)
    centre = source / 2
    matrix = np.array(
        [
            [cos, -sin, placement.x * size - cos * centre + sin * centre],
            [sin, cos, placement.y * size - sin * centre - cos * centre],
        ]
    )
    warped = cv2.warpAffine(layer, matrix, (size, size), flags=cv2.INTER_LINEAR, borderValue=(0, 0, 0, 0))
    return np.asarray(warped, np.float32)


def render_scene(scene: Scene, size: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Render to RGB uint8 (size, size, 3) and the objects' coverage, float32 (size, size) in [0, 1].

    Below 512 pixels the scene is drawn at twice the size and averaged down.
    """
    inner = size if size >= 512 else 2 * size
    canvas = _background(scene, inner)
    coverage = np.zeros((inner, inner), np.float32)
    for placement in scene.placements:
        if scene.setting not in ("sky", "night"):
            shade = _place(_shadow(inner), placement, inner, turn=False)
            canvas *= 1 - shade[..., None]
        glyph = _place(render_glyph(placement.glyph, inner), placement, inner, turn=True)
        canvas = canvas * (1 - glyph[..., 3:]) + glyph[..., :3]
        coverage = np.maximum(coverage, glyph[..., 3])
    if inner != size:
        canvas = canvas.reshape(size, 2, size, 2, 3).mean((1, 3))
        coverage = coverage.reshape(size, 2, size, 2).mean((1, 3))
    return np.rint(np.clip(canvas, 0, 1) * 255).astype(np.uint8), coverage
