"""Captioned scenes for training: a pure function of a seed.

A scene shows one to four of one thing, or two things in a named relation, on a plain colour or in a simple setting,
in one of the styles. `sample_scene` draws a description; `generator.training.render` turns it into pixels.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from generator.training.glyphs import extent_of, glyph_index
from generator.training.vocabulary import (
    COLOUR_SYNONYMS,
    COLOURS,
    CONTAINERS,
    RELATIONS,
    SETTINGS,
    STYLES,
    TONES,
    NamedObject,
    objects,
)

Split = Literal["train", "held-out"]

HELD_OUT_SHARE = 10  # of object-colour pairs and of object-object pairs, one in ten never appears in a training scene
LARGEST_COUNT = 4
NUMBERS = ("one", "two", "three", "four")
TONE_PHRASES = ("with {tone} skin", "with {tone} skin tone", "with a {tone} skin tone")


@dataclass(frozen=True, slots=True)
class Entity:
    """One thing that a scene shows: index into `vocabulary.objects`, gender and tone (people only), how many."""

    index: int
    gender: int
    tone: int
    count: int

    @property
    def named(self) -> NamedObject:
        """The object."""
        return objects()[self.index]

    @property
    def glyph(self) -> int:
        """Row of its glyph in the glyph table."""
        return glyph_index()[self.named.glyph(self.gender, self.tone)]


@dataclass(frozen=True, slots=True)
class Box:
    """Where one copy of entity `entity` stands: centre and side of its square as shares of the canvas, rotation in
    degrees, and whether it is mirrored."""

    entity: int
    x: float
    y: float
    side: float
    degrees: float
    mirrored: bool


@dataclass(frozen=True, slots=True)
class Scene:
    """A description that renders to one picture; boxes of the first entity come first. `colour` or `setting` names the
    background."""

    caption: str
    entities: tuple[Entity, ...]
    boxes: tuple[Box, ...]
    relation: str | None
    colour: str | None
    setting: str | None
    style: str
    seed: int

    @property
    def background(self) -> str:
        """Name in `vocabulary.BACKGROUNDS`."""
        return self.colour or self.setting or ""


def _held(key: str) -> bool:
    return hashlib.sha256(key.encode()).digest()[0] % HELD_OUT_SHARE == 0


def is_held_out(name: str, colour: str) -> bool:
    """Whether this pair of object and background colour is kept from training."""
    return _held(f"{name}|{colour}")


def is_held_out_pair(first: str, second: str) -> bool:
    """Whether these two objects are kept from appearing together in training, in either order."""
    return _held("&".join(sorted((first, second))))


def article(noun: str) -> str:
    """The noun with "a" or "an"."""
    return f"an {noun}" if noun[0].lower() in "aeio" or noun.startswith(("um", "UF")) else f"a {noun}"


def plural(noun: str) -> str:
    """English plural, of the first noun in "... of ..." and "... with ..."."""
    for joint in (" of ", " with ", " in ", " and "):
        if joint in noun:
            head, tail = noun.split(joint, 1)
            return f"{plural(head)}{joint}{plural(tail) if joint == ' and ' else tail}"
    irregular = {"man": "men", "woman": "women", "person": "people", "child": "children", "mouse": "mice"}
    for single, several in irregular.items():
        if noun == single or noun.endswith((f" {single}", f"-{single}")):
            return noun[: -len(single)] + several
    same = (
        "sheep",
        "fish",
        "scissors",
        "glasses",
        "sunglasses",
        "jeans",
        "dice",
        "shrimp",
        "deer",
        "chopsticks",
        "maracas",
    )
    if noun.endswith((*same, "ies", "fries", "pants", "leaf")) or noun in ("rice", "corn", "garlic", "bread", "grapes"):
        return f"{noun[:-1]}ves" if noun.endswith("leaf") else noun
    if noun.endswith(("knife", "wolf")):
        return noun.removesuffix("fe").removesuffix("f") + "ves"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{noun[:-1]}ies"
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun if noun.endswith("s") and not noun.endswith(("ss", "us")) else f"{noun}es"
    return f"{noun}es" if noun.endswith(("tomato", "potato", "volcano", "mango")) else f"{noun}s"


def pick(rng: np.random.Generator, words: Sequence[str]) -> str:
    """One of the words."""
    return words[int(rng.integers(len(words)))]


def noun_of(entity: Entity, word: str, rng: np.random.Generator) -> tuple[str, str]:
    """The noun and what follows it ("with dark skin") that name this entity; `word` is its name or a synonym."""
    if not entity.named.is_person:
        return word, ""
    noun = word
    if entity.gender:
        gender = ("", "man", "woman")[entity.gender]
        if word in ("person", "human", "adult"):
            noun = gender
        elif word == "child":
            noun = ("", "boy", "girl")[entity.gender]
        elif word == "person in a tuxedo":
            noun = f"{gender} in a tuxedo"
        elif word == "old person":
            noun = f"old {gender}"
        elif word == "royal person":
            noun = ("", "prince", "princess")[entity.gender]
        else:
            noun = pick(rng, (f"{('', 'male', 'female')[entity.gender]} {word}", f"{gender} {word}"))
    tone = TONES[entity.tone][1]
    if not tone:
        return noun, ""
    if rng.random() < 0.25:
        return f"{tone}-skinned {noun}", ""
    return noun, " " + pick(rng, TONE_PHRASES).format(tone=tone)


def phrase(entity: Entity, adjective: str, rng: np.random.Generator, word: str | None = None) -> str:
    """Words for an entity: number or article, adjective, a name. Gender and tone are named unless that is left open."""
    named = entity.named
    if word is None:
        synonym = bool(named.synonyms) and rng.random() < 0.35
        word = pick(rng, named.synonyms) if synonym else named.name
    noun, after = noun_of(entity, word, rng)
    if entity.count > 1:
        return f"{NUMBERS[entity.count - 1]} {adjective} {plural(noun)}{after}".replace("  ", " ")
    words = f"{adjective} {noun}".strip()
    draw = rng.random()
    lead = f"the {words}" if draw < 0.04 else words if draw < 0.08 else f"one {words}" if draw < 0.1 else article(words)
    return lead + after


def draw_entity(rng: np.random.Generator, count: int = 1, person: bool | None = None) -> tuple[Entity, Entity]:
    """An entity as it is drawn, and as the caption tells it (gender and tone may be left open)."""
    things = [i for i, o in enumerate(objects()) if not o.is_person]
    people = [i for i, o in enumerate(objects()) if o.is_person]
    if person is None:
        person = bool(rng.random() < 0.16)
    if not person:
        entity = Entity(things[int(rng.integers(len(things)))], 0, 0, count)
        return entity, entity
    gender, tone = int(rng.integers(3)), int(rng.integers(6))
    drawn = Entity(people[int(rng.integers(len(people)))], gender, tone, count)
    told = replace(drawn, gender=0 if rng.random() < 0.3 else gender, tone=0 if rng.random() < 0.3 else tone)
    return drawn, told


def background_words(colour: str | None, setting: str | None, rng: np.random.Generator, form: int | None = None) -> str:
    """Words for a background."""
    if setting is not None:
        return pick(rng, SETTINGS[setting].phrases)
    assert colour is not None
    synonyms = COLOUR_SYNONYMS.get(colour, ())
    word = pick(rng, synonyms) if synonyms and form is None and rng.random() < 0.3 else colour
    forms = (
        f"on {article(word)} background",
        f"on {word}",
        f"in front of {article(word)} background",
        f", {word} background",
        f"against {article(word)} background",
        f"in front of {article(word)} wall",
    )
    return forms[int(rng.choice(len(forms), p=(0.5, 0.08, 0.12, 0.2, 0.06, 0.04))) if form is None else form]


def compose(subject: str, backdrop: str, style: str, rng: np.random.Generator) -> str:
    """A caption of its parts."""
    text = f"{subject}{backdrop}" if backdrop.startswith(",") else f"{subject} {backdrop}".strip()
    if style:
        words = pick(rng, STYLES[style])
        before = not words.startswith(("at ", "by ")) and rng.random() < 0.4
        return f"{words} of {text}" if before else f"{text} {words}" if words[2:3] == " " else f"{text}, {words}"
    if rng.random() < 0.25:
        return (
            pick(rng, ("a picture of ", "an illustration of ", "a drawing of ", "a photo of ", "an image of ")) + text
        )
    return text


def _tilt(rng: np.random.Generator) -> float:
    return float(np.clip(rng.normal(0, 7), -16, 16))


def _box(entity: int, x: float, y: float, side: float, rng: np.random.Generator) -> Box:
    return Box(entity, x, y, side, _tilt(rng), bool(rng.random() < 0.5))


def place_single(rng: np.random.Generator, size: str, place: str) -> tuple[Box, ...]:
    """One thing of a size ("", "small", "big") at a place ("", "left", "right", "top", "bottom")."""
    low, high = {"": (0.54, 0.8), "small": (0.26, 0.36), "big": (0.86, 0.96)}[size]
    if place:
        low, high = (0.26, 0.36) if size == "small" else (0.38, 0.48)
    side = float(rng.uniform(low, high))
    room = max(0.02, min((1 - side) / 2, 0.2)) * 0.8
    x, y = 0.5 + float(rng.uniform(-room, room)), 0.5 + float(rng.uniform(-room, room))
    off = float(rng.uniform(0.22, 0.28))
    x = {"left": off, "right": 1 - off}.get(place, x)
    y = {"top": off, "bottom": 1 - off}.get(place, y)
    return (_box(0, x, y, side, rng),)


def place_several(rng: np.random.Generator, count: int) -> tuple[Box, ...]:
    """Two to four of one thing: in a row, a triangle or a square, somewhat loosely."""
    loose = 0.025
    if count == 2:
        if rng.random() < 0.7:
            spots = [(0.27, 0.5), (0.73, 0.5)]
        else:
            spots = [(0.28, 0.29), (0.72, 0.71)] if rng.random() < 0.5 else [(0.72, 0.29), (0.28, 0.71)]
        side = float(rng.uniform(0.36, 0.44))
    elif count == 3:
        shape = int(rng.integers(3))
        spots = (
            [(0.19, 0.5), (0.5, 0.5), (0.81, 0.5)],
            [(0.5, 0.27), (0.26, 0.73), (0.74, 0.73)],
            [(0.26, 0.27), (0.74, 0.27), (0.5, 0.73)],
        )[shape]
        side = float(rng.uniform(0.25, 0.29) if shape == 0 else rng.uniform(0.34, 0.4))
    else:
        spots = [(0.27, 0.27), (0.73, 0.27), (0.27, 0.73), (0.73, 0.73)]
        side = float(rng.uniform(0.32, 0.4))
    return tuple(
        _box(0, x + float(rng.uniform(-loose, loose)), y + float(rng.uniform(-loose, loose)), side, rng)
        for x, y in spots
    )


def place_pair(rng: np.random.Generator, relation: str, first: Entity, second: Entity) -> tuple[Box, ...]:
    """Boxes of two things in a relation, the first thing's first."""
    loose = float(rng.uniform(-0.05, 0.05)), float(rng.uniform(-0.05, 0.05))
    near, far = float(rng.uniform(0.25, 0.29)), float(rng.uniform(0.71, 0.75))
    sides = float(rng.uniform(0.36, 0.44)), float(rng.uniform(0.36, 0.44))
    if relation in ("next to", "and"):
        relation = "left of" if rng.random() < 0.5 else "right of"
        if relation == "and" and rng.random() < 0.3:
            relation = "above" if rng.random() < 0.5 else "below"
    if relation == "inside":
        outer = float(rng.uniform(0.78, 0.92))
        inner = float(rng.uniform(0.3, 0.38))
        x, y = 0.5 + loose[0] / 2, 0.5 + loose[1] / 2
        shift = float(rng.uniform(-0.03, 0.03)), float(rng.uniform(0.0, 0.06))
        return _box(0, x + shift[0], y + shift[1], inner, rng), _box(1, x, y, outer, rng)
    if relation == "on":
        upper, lower = float(rng.uniform(0.32, 0.4)), float(rng.uniform(0.46, 0.56))
        tall, base = upper * extent_of(first.glyph)[1], lower * extent_of(second.glyph)[1]
        top = 0.5 + (tall + base) / 2 - base  # both together stand in the middle
        x = 0.5 + loose[0]
        above = Box(0, x + loose[1] / 2, top - tall / 2 + 0.015, upper, _tilt(rng) / 2, bool(rng.random() < 0.5))
        return above, Box(1, x, top + base / 2, lower, _tilt(rng) / 3, bool(rng.random() < 0.5))
    spots = {
        "left of": ((near, 0.5 + loose[0]), (far, 0.5 + loose[1])),
        "right of": ((far, 0.5 + loose[0]), (near, 0.5 + loose[1])),
        "above": ((0.5 + loose[0], near), (0.5 + loose[1], far)),
        "below": ((0.5 + loose[0], far), (0.5 + loose[1], near)),
    }[relation]
    return tuple(_box(index, x, y, sides[index], rng) for index, (x, y) in enumerate(spots))


def _backdrop(rng: np.random.Generator, names: Sequence[str], split: Split) -> tuple[str | None, str | None, bool]:
    """Colour or setting, and whether the caption leaves it open."""
    if split == "train" and rng.random() < 0.22:
        return None, pick(rng, tuple(SETTINGS)), bool(rng.random() < 0.05)
    allowed = [c for c in COLOURS if split == "held-out" or not is_held_out(names[0], c)]
    if split == "held-out" and len(names) == 1:
        allowed = [c for c in COLOURS if is_held_out(names[0], c)]
    return pick(rng, allowed or tuple(COLOURS)), None, split == "train" and bool(rng.random() < 0.14)


def _style(rng: np.random.Generator) -> str:
    return pick(rng, tuple(STYLES)[1:]) if rng.random() < 0.4 else ""


def sample_scene(seed: int, split: Split = "train") -> Scene:
    """Describe the scene of this seed. Equal seeds and splits give equal scenes, on every machine.

    Held-out scenes show a held-out object-colour pair, or two objects that no training scene shows together.
    """
    rng = np.random.default_rng([seed, 0 if split == "train" else 1])
    kind = rng.random()
    style = _style(rng) if split == "train" else ""
    if kind < 0.36:
        return _pair_scene(rng, split, style, seed)
    count = 1 if kind < 0.82 else int(rng.integers(2, LARGEST_COUNT + 1))
    drawn, told = draw_entity(rng, count)
    if split == "held-out":
        while not any(is_held_out(drawn.named.name, colour) for colour in COLOURS):
            drawn, told = draw_entity(rng, count)
    size = place = ""
    if count == 1:
        size = ("", "small", "big")[int(rng.choice(3, p=(0.76, 0.12, 0.12)))]
        place = pick(rng, ("left", "right", "top", "bottom")) if size != "big" and rng.random() < 0.14 else ""
        boxes = place_single(rng, size, place)
    else:
        boxes = place_several(rng, count)
    adjective = {"": "", "small": pick(rng, ("small", "tiny", "little")), "big": pick(rng, ("big", "large", "huge"))}
    subject = phrase(told, adjective[size], rng)
    if place:
        subject += {"left": " on the left", "right": " on the right", "top": " at the top", "bottom": " at the bottom"}[
            place
        ]
    colour, setting, silent = _backdrop(rng, [drawn.named.name], split)
    backdrop = "" if silent else background_words(colour, setting, rng)
    return Scene(compose(subject, backdrop, style, rng), (drawn,), boxes, None, colour, setting, style, seed)


def _pair_scene(rng: np.random.Generator, split: Split, style: str, seed: int) -> Scene:
    relation = pick(rng, tuple(RELATIONS))
    while True:
        (first, told_first), (second, told_second) = draw_entity(rng), draw_entity(rng)
        if relation == "inside":
            inside = [i for i, o in enumerate(objects()) if o.name in CONTAINERS]
            second = told_second = Entity(inside[int(rng.integers(len(inside)))], 0, 0, 1)
        names = [first.named.name, second.named.name]
        if first.index != second.index and is_held_out_pair(*names) == (split == "held-out"):
            break
    words = RELATIONS[relation]
    word = words[int(rng.choice(len(words), p=[0.6, *([0.4 / (len(words) - 1)] * (len(words) - 1))]))]
    subject = f"{phrase(told_first, '', rng)} {word} {phrase(told_second, '', rng)}"
    boxes = place_pair(rng, relation, first, second)
    colour, setting, silent = _backdrop(rng, names, split)
    backdrop = "" if silent else background_words(colour, setting, rng)
    return Scene(compose(subject, backdrop, style, rng), (first, second), boxes, relation, colour, setting, style, seed)


def layout_angle(box: Box) -> float:
    """The box's rotation in radians."""
    return math.radians(box.degrees)
