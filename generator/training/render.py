"""Scenes as pixels: glyphs with shade, shadow and a slight shift of colour on a lit background, in one of the styles.

What a caption and a layout leave open (light, shade, colour shift, clouds, stars, hatching) follows from the scene's
seed alone; learning its distribution is the denoiser's task.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from generator.training.glyphs import LARGE_PIXELS, SMALL_PIXELS, extent_of, glyph
from generator.training.scenes import Box, Scene
from generator.training.vocabulary import COLOURS, SETTINGS

Canvas = NDArray[np.float32]


def _grid(size: int) -> tuple[Canvas, Canvas]:
    axis = ((np.arange(size) + 0.5) / size).astype(np.float32)
    return axis[None, :], axis[:, None]


def _part(size: int, window: tuple[slice, slice]) -> tuple[Canvas, Canvas]:
    x, y = _grid(size)
    return x[:, window[1]], y[window[0]]


def base_background(scene: Scene, size: int) -> Canvas:
    """The background without light, clouds or stars: what its name alone says. Float (size, size, 3) in [0, 1]."""
    canvas = np.empty((size, size, 3), np.float32)
    if scene.setting is None:
        assert scene.colour is not None
        canvas[:] = np.asarray(COLOURS[scene.colour], np.float32)
        return np.asarray(canvas / 255, np.float32)
    setting = SETTINGS[scene.setting]
    _, y = _grid(size)
    ramp = np.clip(y / setting.horizon, 0, 1)[..., None]
    sky = np.asarray(setting.sky_top, np.float32) * (1 - ramp) + np.asarray(setting.sky_bottom, np.float32) * ramp
    depth = np.clip((y - setting.horizon) / max(1 - setting.horizon, 0.01), 0, 1)[..., None]
    ground = np.asarray(setting.ground, np.float32) * (1 - 0.12 * depth)
    canvas[:] = np.where(y[..., None] < setting.horizon, sky, ground)
    return np.asarray(canvas / 255, np.float32)


def _lit_background(scene: Scene, size: int, rng: np.random.Generator) -> Canvas:
    canvas = base_background(scene, size)
    x, y = _grid(size)
    if scene.setting is None:
        tint = rng.uniform(-0.025, 0.025, 3).astype(np.float32)
        angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.04, 0.14)
        centre = 0.5 + 0.3 * np.cos(angle), 0.5 + 0.3 * np.sin(angle)
        if scene.style == "flat":
            strength = 0.0
        distance = np.hypot(x - centre[0], y - centre[1])
        return np.asarray(np.clip((canvas + tint) * (1 + strength * (0.45 - distance))[..., None], 0, 1), np.float32)
    setting = SETTINGS[scene.setting]
    if setting.clouds:
        for _ in range(int(rng.integers(1, 4))):
            cx, cy, wide = rng.uniform(0.05, 0.95), rng.uniform(0.06, 0.3), rng.uniform(0.08, 0.16)
            cover = np.zeros((size, size), np.float32)
            for step in (-0.7, 0.0, 0.7):
                radius = wide * (0.55 if step else 0.8)
                away = np.hypot(x - cx - step * wide, (y - cy) * 1.25) / radius
                cover = np.maximum(cover, np.clip((1.08 - away) / 0.16, 0, 1))
            canvas += (1 - canvas) * (0.82 * cover)[..., None]
    if setting.stars:
        for sx, sy in rng.random((24, 2)):
            spot = np.clip((0.0075 - np.hypot(x - sx, y - sy)) * 160, 0, 1)
            canvas += (0.93 - canvas) * spot[..., None]
    return np.asarray(np.clip(canvas, 0, 1), np.float32)


def _matrix(box: Box, size: int, source: int, angle: float) -> NDArray[np.float64]:
    scale = box.side * size / source
    cos, sin, flip = scale * np.cos(angle), scale * np.sin(angle), -1.0 if box.mirrored else 1.0
    half = source / 2
    return np.array(
        [
            [flip * cos, -sin, box.x * size - flip * cos * half + sin * half],
            [flip * sin, cos, box.y * size - flip * sin * half - cos * half],
        ]
    )


def _window(box: Box, size: int) -> tuple[slice, slice]:
    """Rows and columns of the canvas that a box and its shadow can touch."""
    reach = 0.78 * box.side
    top, left = (max(0, int((centre - reach) * size)) for centre in (box.y, box.x))
    bottom, right = (min(size, int((centre + reach) * size) + 1) for centre in (box.y, box.x))
    return slice(top, bottom), slice(left, right)


def _glyph_layer(index: int, box: Box, size: int, window: tuple[slice, slice]) -> Canvas:
    import cv2

    source = SMALL_PIXELS if box.side * size <= SMALL_PIXELS * 1.1 else LARGE_PIXELS
    rows, columns = window
    matrix = _matrix(box, size, source, np.deg2rad(box.degrees))
    matrix[:, 2] -= columns.start, rows.start
    shape = columns.stop - columns.start, rows.stop - rows.start
    warped = cv2.warpAffine(glyph(index, source), matrix, shape, flags=cv2.INTER_LINEAR)
    return np.asarray(warped, np.float32) / np.float32(255)


def _turn_hue(layer: Canvas, degrees: float) -> Canvas:
    """Rotate colours about the grey axis (Haeberli's matrix); premultiplied colours stay premultiplied."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    third, root = (1 - cos) / 3, np.sqrt(1 / 3) * sin
    matrix = np.array(
        [
            [cos + third, third - root, third + root],
            [third + root, cos + third, third - root],
            [third - root, third + root, cos + third],
        ],
        np.float32,
    )
    turned = layer.copy()
    turned[..., :3] = np.clip(layer[..., :3] @ matrix.T, 0, layer[..., 3:])
    return turned


def _shadow(box: Box, size: int, window: tuple[slice, slice], height: float, slant: float) -> Canvas:
    """Alpha of a soft ellipse on the ground under a box, in a window of the canvas."""
    x, y = _part(size, window)
    foot = box.y + box.side * height / 2
    distance = np.hypot((x - box.x - slant * box.side) / (0.42 * box.side), (y - foot) / (0.075 * box.side))
    soft = np.clip((1.3 - distance) / 0.75, 0, 1)
    return np.asarray(0.3 * soft * soft * (3 - 2 * soft), np.float32)


def _shade(layer: Canvas, box: Box, size: int, window: tuple[slice, slice], angle: float, strength: float) -> Canvas:
    """Lighter towards the light and darker away from it."""
    x, y = _part(size, window)
    along = ((x - box.x) * np.cos(angle) + (y - box.y) * np.sin(angle)) / box.side
    shaded = layer.copy()
    shaded[..., :3] = np.clip(layer[..., :3] * (1 + strength * along)[..., None], 0, layer[..., 3:])
    return shaded


def render_scene(scene: Scene, size: int) -> NDArray[np.uint8]:
    """Render to RGB uint8 (size, size, 3). Below 512 pixels the scene is drawn at twice the size and averaged down."""
    inner = size if size >= 512 else 2 * size
    rng = np.random.default_rng([scene.seed, 2])
    background = _lit_background(scene, inner, rng)
    light, strength = rng.uniform(np.pi, 2 * np.pi), rng.uniform(0.1, 0.45)  # from above
    hue, slant = float(rng.normal(0, 7)), -0.16 * float(np.cos(light))
    plain = scene.style in ("flat", "outline")
    canvas, ink = background, np.zeros((inner, inner), np.float32)
    for box in sorted(scene.boxes, key=lambda box: -box.entity):  # the first thing stands in front
        entity, window = scene.entities[box.entity], _window(box, inner)
        layer = _glyph_layer(entity.glyph, box, inner, window)
        if not entity.named.is_person:
            layer = _turn_hue(layer, hue)
        floating = scene.relation in ("on", "inside") and box.entity == 0
        part = canvas[window]
        if not plain:
            layer = _shade(layer, box, inner, window, float(light), float(strength))
            if not floating and scene.setting not in ("sky", "space"):
                part *= 1 - _shadow(box, inner, window, float(extent_of(entity.glyph)[1]), slant)[..., None]
        if scene.style == "outline":
            lines = outline(layer, inner)
            layer = np.concatenate([np.repeat(layer[..., 3:], 3, -1), layer[..., 3:]], -1)
            ink[window] = np.maximum(ink[window] * (1 - layer[..., 3]), lines)
        part *= 1 - layer[..., 3:]
        part += layer[..., :3]
    if scene.style == "outline":
        canvas = canvas * (1 - ink)[..., None] + np.float32(0.1) * ink[..., None]
    elif scene.style == "pixel art":
        canvas = _pixels(canvas, inner)
    elif scene.style == "pencil":
        canvas = _pencil(canvas, inner, rng)
    elif scene.style == "night":
        canvas = _night(canvas, inner, rng)
    if inner != size:
        canvas = canvas.reshape(size, 2, size, 2, 3).mean((1, 3))
    return np.asarray(np.rint(np.clip(canvas, 0, 1) * 255), np.uint8)


def outline(layer: Canvas, size: int) -> Canvas:
    """Ink in [0, 1] along the rim of a premultiplied layer and where its brightness changes."""
    import cv2

    fine = cv2.GaussianBlur(layer, (0, 0), size / 200)
    paper = fine[..., :3] + 0.9 * (1 - fine[..., 3:])
    steps = np.zeros(layer.shape[:2], np.float32)
    for channel in (*np.moveaxis(paper, -1, 0), 1.6 * fine[..., 3]):
        across, down = cv2.Sobel(channel, cv2.CV_32F, 1, 0), cv2.Sobel(channel, cv2.CV_32F, 0, 1)
        steps = np.maximum(steps, np.hypot(across, down))
    return np.asarray(np.clip((steps * size / 256 - 0.28) * 2.6, 0, 1), np.float32)


def _pixels(canvas: Canvas, size: int) -> Canvas:
    block = size // 32
    small = canvas.reshape(32, block, 32, block, 3).mean((1, 3))
    small = np.rint(np.clip(small * 1.05 - 0.01, 0, 1) * 9) / 9
    return np.asarray(small.repeat(block, 0).repeat(block, 1), np.float32)


def _pencil(canvas: Canvas, size: int, rng: np.random.Generator) -> Canvas:
    opaque = np.concatenate([canvas, np.ones((size, size, 1), np.float32)], -1)
    lines = outline(opaque, size)
    grey = canvas.mean(-1, keepdims=True)
    pale = 0.42 * canvas + 0.14 * grey + 0.42
    x, y = _grid(size)
    angle, phase = rng.uniform(0.5, 1.1), rng.uniform(0, 1)
    wave = np.sin(2 * np.pi * (30 * (x * np.cos(angle) + y * np.sin(angle)) + phase))
    hatch = (0.5 + 0.5 * wave)[..., None] * (1 - grey) * 0.32
    drawn = pale * (1 - hatch)
    return np.asarray(drawn * (1 - 0.75 * lines[..., None]) + 0.22 * 0.75 * lines[..., None], np.float32)


def _night(canvas: Canvas, size: int, rng: np.random.Generator) -> Canvas:
    x, y = _grid(size)
    cx, cy = rng.uniform(0.15, 0.85), rng.uniform(0.0, 0.2)
    glow = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 0.18)[..., None]
    tint = np.array([0.36, 0.42, 0.66], np.float32)
    dark = canvas * (tint * (0.62 + 0.75 * glow)) + np.array([0.01, 0.015, 0.06], np.float32)
    return np.asarray(np.clip(dark, 0, 1), np.float32)
