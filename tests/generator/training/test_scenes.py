from __future__ import annotations

import hashlib

import numpy as np
import pytest

from generator.training.glyphs import render_glyph
from generator.training.prompts import questions
from generator.training.render import render_scene
from generator.training.scenes import Scene, is_held_out, is_held_out_pair, plural, sample_scene
from generator.training.vocabulary import (
    CONTAINERS,
    RELATIONS,
    SETTINGS,
    STYLES,
    glyph_names,
    objects,
)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [sample_scene(seed) for seed in range(1500)]


def test_equal_seeds_give_equal_scenes_and_pixels() -> None:
    for seed in (0, 4, 15):
        assert sample_scene(seed) == sample_scene(seed)
        assert np.array_equal(render_scene(sample_scene(seed), 64), render_scene(sample_scene(seed), 64))


def test_descriptions_do_not_change_between_versions() -> None:
    captions = "\n".join(sample_scene(seed).caption for seed in range(200))

    assert hashlib.sha256(captions.encode()).hexdigest() == CAPTIONS_SHA256


CAPTIONS_SHA256 = "11c1228b88ce0aecf892c4367c4fd2bcdbcff02d015d8962a4f9945ff468617b"


def test_the_vocabulary_is_large_and_has_people_of_every_gender_and_tone() -> None:
    assert len(objects()) >= 400
    assert len({named.name for named in objects()}) == len(objects())
    people = [named for named in objects() if named.is_person]
    assert len(people) >= 20
    assert all(len({person.glyph(g, t) for g in range(3) for t in range(6)}) == 18 for person in people)


def test_names_and_synonyms_do_not_collide() -> None:
    words = [word for named in objects() for word in (named.name, *named.synonyms, *named.held_out_synonyms)]

    assert len(words) == len(set(words))


def test_held_out_synonyms_are_in_no_caption(scenes: list[Scene]) -> None:
    held = {word for named in objects() for word in named.held_out_synonyms}
    used = {word for named in objects() for word in (named.name, *named.synonyms)}

    assert len(held) >= 90
    assert not held & used


def test_training_never_shows_a_held_out_pair(scenes: list[Scene]) -> None:
    singles = [s for s in scenes if len(s.entities) == 1 and s.colour is not None]
    pairs = [s for s in scenes if len(s.entities) == 2]

    assert len(singles) > 500
    assert len(pairs) > 400
    assert not any(is_held_out(s.entities[0].named.name, s.colour or "") for s in singles)
    assert not any(is_held_out_pair(*(e.named.name for e in s.entities)) for s in pairs)


def test_held_out_scenes_show_held_out_pairs() -> None:
    for seed in range(120):
        scene = sample_scene(seed, "held-out")
        names = [entity.named.name for entity in scene.entities]
        if len(names) == 2:
            assert is_held_out_pair(*names)
        else:
            assert scene.colour is not None
            assert is_held_out(names[0], scene.colour)


def test_training_covers_every_relation_setting_style_and_count(scenes: list[Scene]) -> None:
    assert {scene.relation for scene in scenes} == {None, *RELATIONS}
    assert {scene.setting for scene in scenes} == {None, *SETTINGS}
    assert {scene.style for scene in scenes} == set(STYLES)
    assert {scene.entities[0].count for scene in scenes} == {1, 2, 3, 4}
    assert all(len(s.boxes) == sum(entity.count for entity in s.entities) for s in scenes)


def boxes(scenes: list[Scene], relation: str) -> list[tuple[float, float, float, float]]:
    """(across, down, side of the first, side of the second) for scenes of a relation."""
    pairs = [scene.boxes for scene in scenes if scene.relation == relation]
    return [(a.x - b.x, a.y - b.y, a.side, b.side) for a, b in pairs]


def test_relations_are_drawn_as_they_are_told(scenes: list[Scene]) -> None:
    assert all(across < -0.3 for across, *_ in boxes(scenes, "left of"))
    assert all(across > 0.3 for across, *_ in boxes(scenes, "right of"))
    assert all(down < -0.3 for _, down, *_ in boxes(scenes, "above"))
    assert all(down > 0.3 for _, down, *_ in boxes(scenes, "below"))
    assert all(down < 0 for _, down, *_ in boxes(scenes, "on"))
    assert all(abs(across) < 0.1 and first < second / 2 for across, _, first, second in boxes(scenes, "inside"))


def test_only_containers_hold_something(scenes: list[Scene]) -> None:
    outer = {scene.entities[1].named.name for scene in scenes if scene.relation == "inside"}

    assert outer <= CONTAINERS


@pytest.mark.parametrize("side", [64, 128, 512])
def test_scenes_render_at_any_size(side: int) -> None:
    pixels = render_scene(sample_scene(3), side)

    assert pixels.shape == (side, side, 3)
    assert pixels.dtype == np.uint8
    assert pixels.std() > 5


def test_every_style_changes_the_picture() -> None:
    from dataclasses import replace

    scene = replace(sample_scene(13), style="")
    plain = render_scene(scene, 64).astype(float)

    for style in list(STYLES)[1:]:
        assert np.abs(render_scene(replace(scene, style=style), 64) - plain).mean() > 1.0, style


def test_glyphs_fill_their_square() -> None:
    for name in ("cat-face", "pencil", "woman-singer-medium-skin-tone"):
        drawing = render_glyph(name, 64)
        rows, columns = np.where(drawing[..., 3] > 12)
        assert max(np.ptp(rows), np.ptp(columns)) >= 58
        assert int((drawing[..., :3].astype(int) - drawing[..., 3:]).max()) <= 1
    assert len(glyph_names()) == len(set(glyph_names()))


def test_an_unknown_drawing_is_refused() -> None:
    with pytest.raises(KeyError):
        render_glyph("no-such-glyph", 32)


@pytest.mark.parametrize(
    ("one", "several"),
    [
        ("cup of coffee", "cups of coffee"),
        ("person in a tuxedo", "people in a tuxedo"),
        ("old woman", "old women"),
        ("butterfly", "butterflies"),
        ("box", "boxes"),
        ("sheep", "sheep"),
        ("wolf", "wolves"),
    ],
)
def test_plurals(one: str, several: str) -> None:
    assert plural(one) == several


def test_the_evaluations_prompts_ask_for_what_training_never_shows() -> None:
    asked = questions()
    kinds = {kind: [q for q in asked if q.kind == kind] for kind in ("single", "pair", "count", "synonym", "person")}

    assert sum(len(kinds[kind]) for kind in ("single", "pair", "count", "synonym")) >= 490
    assert all(is_held_out_pair(*(objects()[i].name for i in q.things)) for q in kinds["pair"])
    assert all(is_held_out(objects()[q.things[0]].name, q.colour or "") for q in kinds["single"] + kinds["count"])
    assert {q.relation for q in kinds["pair"]} == set(RELATIONS)
    assert {(q.gender, q.tone) for q in kinds["person"]} == {(g, t) for g in (1, 2) for t in range(1, 6)}
