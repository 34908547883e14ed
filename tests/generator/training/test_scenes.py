from __future__ import annotations

import hashlib

import numpy as np
import pytest

from generator.training.glyphs import render_glyph
from generator.training.scenes import is_held_out, render_scene, sample_scene
from generator.training.vocabulary import COLOURS, OBJECTS, SETTINGS


def test_equal_seeds_give_equal_scenes_and_pixels() -> None:
    for seed in (0, 4, 15):
        assert sample_scene(seed) == sample_scene(seed)
        first, second = render_scene(sample_scene(seed), 128), render_scene(sample_scene(seed), 128)
        assert np.array_equal(first[0], second[0])
        assert np.array_equal(first[1], second[1])


def test_descriptions_do_not_change_between_versions() -> None:
    captions = "\n".join(sample_scene(seed).caption for seed in range(200))

    assert hashlib.sha256(captions.encode()).hexdigest() == CAPTIONS_SHA256


CAPTIONS_SHA256 = "268f7a3224ade003664e49cbadeff074b30f35455d035436d598fd42d877667a"


def test_training_never_shows_a_held_out_pair() -> None:
    scenes = [sample_scene(seed) for seed in range(3000)]
    singles = [(s.objects[0], s.colour) for s in scenes if len(s.objects) == 1 and s.colour is not None]

    assert len(singles) > 1000
    assert not any(is_held_out(name, colour) for name, colour in singles)


def test_held_out_scenes_show_held_out_pairs_and_name_the_colour() -> None:
    for seed in range(300):
        scene = sample_scene(seed, "held-out")
        assert scene.colour is not None
        assert is_held_out(scene.objects[0], scene.colour)
        assert "background" in scene.caption or " on " in scene.caption


def test_about_a_tenth_of_all_pairs_is_held_out() -> None:
    pairs = [is_held_out(named.name, colour) for named in OBJECTS for colour in COLOURS]

    assert 0.06 < np.mean(pairs) < 0.16


def test_training_covers_every_object_colour_and_setting() -> None:
    scenes = [sample_scene(seed) for seed in range(3000)]

    assert {name for scene in scenes for name in scene.objects} == {named.name for named in OBJECTS}
    assert {scene.colour for scene in scenes} - {None} == set(COLOURS)
    assert {scene.setting for scene in scenes} - {None} == set(SETTINGS)
    assert 0.08 < np.mean([len(scene.objects) == 2 for scene in scenes]) < 0.16


@pytest.mark.parametrize("side", [64, 128, 512])
def test_scenes_render_at_any_size_with_their_coverage(side: int) -> None:
    pixels, coverage = render_scene(sample_scene(3), side)

    assert pixels.shape == (side, side, 3)
    assert pixels.dtype == np.uint8
    assert coverage.shape == (side, side)
    assert 0 <= coverage.min() < 0.01
    assert 0.99 < coverage.max() <= 1.001


def test_the_background_has_the_named_colour() -> None:
    for seed in range(60):
        scene = sample_scene(seed, "held-out")
        assert scene.colour is not None
        pixels, _ = render_scene(scene, 128)
        corner = pixels[2:8, 2:8].mean((0, 1))
        distances = {name: float(np.abs(corner - np.array(value)).max()) for name, value in COLOURS.items()}
        assert distances[scene.colour] < 30, (scene.colour, corner)


def test_every_object_has_a_drawing() -> None:
    for named in OBJECTS:
        glyph = render_glyph(named.glyph, 32)
        assert glyph.shape == (32, 32, 4)
        assert glyph[..., 3].mean() > 0.1, named.name
        assert np.all(glyph[..., :3] <= glyph[..., 3:] + 1e-6)


def test_an_unknown_drawing_is_refused() -> None:
    with pytest.raises(KeyError):
        render_glyph("no-such-glyph", 32)


def test_names_and_synonyms_do_not_collide() -> None:
    words = [word for named in OBJECTS for word in (named.name, *named.synonyms)]

    assert len(words) == len(set(words))
