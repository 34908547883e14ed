"""What the emblem model can draw: objects, people, background colours, settings, styles, and the words for them.

`vocabulary.tsv` names the objects: category, glyph, name, synonyms, and synonyms that no training caption uses
(they measure what the sentence encoder adds). A row of the category `people` has three glyphs: of no stated gender,
man, woman; each exists in yellow and in five skin tones. Names of glyphs are those of `noto-glyphs.json.gz`;
many synonyms are keywords of Unicode CLDR's English annotations.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

TONES: tuple[tuple[str, str], ...] = (
    ("", ""),
    ("-light-skin-tone", "light"),
    ("-medium-light-skin-tone", "medium-light"),
    ("-medium-skin-tone", "medium"),
    ("-medium-dark-skin-tone", "medium-dark"),
    ("-dark-skin-tone", "dark"),
)
"""Suffix of the glyph's name, and the word for the tone; the first is the emoji's yellow, which no word asks for."""

GENDERS: tuple[str, ...] = ("", "man", "woman")
"""Which of a person's three glyphs: of no stated gender, man, woman."""


@dataclass(frozen=True, slots=True)
class NamedObject:
    """One thing that can be asked for: category, name, synonyms, synonyms kept from training, and its glyphs: one, or
    for people one for each of `GENDERS` (to be followed by the suffix of one of `TONES`)."""

    category: str
    name: str
    synonyms: tuple[str, ...]
    held_out_synonyms: tuple[str, ...]
    glyphs: tuple[str, ...]

    @property
    def is_person(self) -> bool:
        """Whether this is a person, with genders and skin tones."""
        return self.category == "people"

    def glyph(self, gender: int, tone: int) -> str:
        """The glyph of this gender and tone (indices into `GENDERS` and `TONES`; ignored for things)."""
        return f"{self.glyphs[gender]}{TONES[tone][0]}" if self.is_person else self.glyphs[0]


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(", ") if word)


@lru_cache(maxsize=1)
def objects() -> tuple[NamedObject, ...]:
    """All named objects, people last; the order is that of the planner's outputs."""
    text = resources.files("generator.training").joinpath("vocabulary.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines()[1:]]
    return tuple(
        NamedObject(category, name, _words(synonyms), _words(held_out), tuple(glyphs.split("/")))
        for category, glyphs, name, synonyms, held_out in rows
    )


@lru_cache(maxsize=1)
def glyph_names() -> tuple[str, ...]:
    """Names of all glyphs: things in the order of `objects`, then each person by gender, then tone."""
    names: list[str] = []
    for named in objects():
        if named.is_person:
            names += [named.glyph(g, t) for g in range(len(GENDERS)) for t in range(len(TONES))]
        else:
            names.append(named.glyphs[0])
    return tuple(names)


COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 48, 49),
    "orange": (243, 146, 55),
    "yellow": (247, 215, 84),
    "green": (72, 163, 92),
    "blue": (52, 120, 210),
    "purple": (132, 82, 176),
    "pink": (244, 166, 196),
    "brown": (128, 84, 56),
    "black": (28, 28, 32),
    "white": (248, 248, 248),
    "grey": (150, 152, 156),
    "turquoise": (64, 200, 196),
}
"""The twelve background colours, sRGB."""

COLOUR_SYNONYMS: dict[str, tuple[str, ...]] = {
    "grey": ("gray",),
    "turquoise": ("teal", "cyan"),
    "purple": ("violet",),
}


@dataclass(frozen=True, slots=True)
class Setting:
    """A background of two bands: sRGB colours of sky (top to horizon) and ground, horizon as a share of height."""

    phrases: tuple[str, ...]
    sky_top: tuple[int, int, int]
    sky_bottom: tuple[int, int, int]
    ground: tuple[int, int, int]
    horizon: float
    stars: bool = False
    clouds: bool = False


SETTINGS: dict[str, Setting] = {
    "grass": Setting(
        ("on the grass", "in a meadow", "on a green field"),
        (120, 190, 245),
        (205, 232, 252),
        (96, 178, 78),
        0.62,
        clouds=True,
    ),
    "beach": Setting(
        ("on the beach", "on the sand"), (90, 180, 240), (190, 230, 250), (238, 214, 160), 0.62, clouds=True
    ),
    "snow": Setting(("in the snow", "in a snowy landscape"), (160, 186, 214), (214, 226, 240), (250, 250, 254), 0.62),
    "sea": Setting(
        ("on the sea", "on the water", "in the ocean"), (150, 208, 248), (222, 240, 252), (38, 104, 178), 0.58
    ),
    "space": Setting(
        ("under the stars", "in the night sky", "in space"), (12, 14, 44), (40, 40, 92), (26, 28, 60), 1.0, stars=True
    ),
    "sunset": Setting(("at sunset", "in front of a sunset"), (94, 64, 128), (252, 156, 84), (62, 44, 70), 0.72),
    "sky": Setting(
        ("in the sky", "in front of a blue sky"), (70, 150, 232), (206, 232, 252), (206, 232, 252), 1.0, clouds=True
    ),
}

BACKGROUNDS: tuple[str, ...] = (*COLOURS, *SETTINGS)
"""All backgrounds, in the order of the planner's outputs."""

STYLES: dict[str, tuple[str, ...]] = {
    "": (),
    "flat": ("flat design", "flat style", "flat illustration"),
    "outline": ("outline drawing", "line art", "outline style"),
    "pixel art": ("pixel art", "pixel style", "8-bit pixel art"),
    "pencil": ("pencil drawing", "pencil sketch", "pencil style"),
    "night": ("at night", "by night", "night style"),
}
"""Styles and the words that ask for them, in the order of the planner's outputs; the first needs no word."""

RELATIONS: dict[str, tuple[str, ...]] = {
    "and": ("and", "with", "together with"),
    "on": ("on", "on top of", "standing on"),
    "above": ("above", "over"),
    "below": ("below", "under", "beneath"),
    "left of": ("to the left of", "left of", "on the left of"),
    "right of": ("to the right of", "right of", "on the right of"),
    "next to": ("next to", "beside"),
    "inside": ("inside", "in"),
}
"""Relations of a first thing to a second, and the words for them."""

CONTAINERS: frozenset[str] = frozenset(
    (
        *("basket", "bucket", "bathtub", "package", "tent", "circus tent", "castle", "house", "window", "television"),
        *(
            "jar",
            "mirror",
            "cup with straw",
            "treasure chest",
            "suitcase",
            "bed",
            "door",
            "crystal ball",
            "shopping cart",
        ),
        *("nest", "framed picture", "factory", "hut", "lantern", "fire", "heart", "shield", "laptop", "UFO", "bus"),
    )
)
"""Names of the objects that something can be inside of."""
