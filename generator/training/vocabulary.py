"""What the emblem model is taught to draw: objects, colours, settings, and the words for them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NamedObject:
    """One object: its canonical name, the glyph that depicts it, and other words for it.

    `glyph` is the name of an icon of the Noto emoji set (see `generator.training.glyphs`).
    """

    name: str
    glyph: str
    synonyms: tuple[str, ...] = ()


OBJECTS: tuple[NamedObject, ...] = (
    # animals
    NamedObject("dog", "dog-face", ("puppy", "hound")),
    NamedObject("cat", "cat-face", ("kitten", "kitty")),
    NamedObject("mouse", "mouse-face"),
    NamedObject("rabbit", "rabbit-face", ("bunny", "hare")),
    NamedObject("fox", "fox"),
    NamedObject("bear", "bear", ("brown bear",)),
    NamedObject("panda", "panda", ("panda bear",)),
    NamedObject("koala", "koala"),
    NamedObject("tiger", "tiger-face"),
    NamedObject("lion", "lion"),
    NamedObject("cow", "cow-face"),
    NamedObject("pig", "pig-face", ("piglet",)),
    NamedObject("frog", "frog", ("toad",)),
    NamedObject("monkey", "monkey-face"),
    NamedObject("horse", "horse-face", ("pony",)),
    NamedObject("chicken", "chicken", ("hen",)),
    NamedObject("penguin", "penguin"),
    NamedObject("owl", "owl"),
    NamedObject("duck", "duck"),
    NamedObject("elephant", "elephant"),
    NamedObject("giraffe", "giraffe"),
    NamedObject("zebra", "zebra"),
    NamedObject("turtle", "turtle", ("tortoise",)),
    NamedObject("snail", "snail"),
    NamedObject("bee", "honeybee", ("honeybee",)),
    NamedObject("butterfly", "butterfly"),
    NamedObject("ladybug", "lady-beetle", ("ladybird",)),
    NamedObject("fish", "tropical-fish", ("tropical fish",)),
    NamedObject("whale", "spouting-whale"),
    NamedObject("dolphin", "dolphin"),
    NamedObject("octopus", "octopus"),
    NamedObject("crab", "crab"),
    # plants
    NamedObject("tree", "deciduous-tree", ("oak tree",)),
    NamedObject("pine tree", "evergreen-tree", ("fir tree",)),
    NamedObject("palm tree", "palm-tree", ("palm",)),
    NamedObject("cactus", "cactus"),
    NamedObject("sunflower", "sunflower"),
    NamedObject("rose", "rose", ("red rose",)),
    NamedObject("tulip", "tulip"),
    NamedObject("mushroom", "mushroom", ("toadstool",)),
    # food
    NamedObject("red apple", "red-apple", ("apple",)),
    NamedObject("green apple", "green-apple"),
    NamedObject("pear", "pear"),
    NamedObject("orange", "tangerine", ("tangerine",)),
    NamedObject("lemon", "lemon"),
    NamedObject("banana", "banana"),
    NamedObject("watermelon", "watermelon", ("slice of watermelon",)),
    NamedObject("bunch of grapes", "grapes", ("grapes",)),
    NamedObject("strawberry", "strawberry"),
    NamedObject("pair of cherries", "cherries", ("cherries",)),
    NamedObject("pineapple", "pineapple"),
    NamedObject("tomato", "tomato"),
    NamedObject("carrot", "carrot"),
    NamedObject("corn cob", "ear-of-corn", ("ear of corn",)),
    NamedObject("loaf of bread", "bread", ("bread",)),
    NamedObject("slice of cheese", "cheese-wedge", ("cheese",)),
    NamedObject("hamburger", "hamburger", ("burger",)),
    NamedObject("pizza", "pizza", ("slice of pizza",)),
    NamedObject("cake", "birthday-cake", ("birthday cake",)),
    NamedObject("doughnut", "doughnut", ("donut",)),
    NamedObject("cookie", "cookie", ("biscuit",)),
    NamedObject("ice cream", "ice-cream", ("bowl of ice cream",)),
    NamedObject("cup of coffee", "hot-beverage", ("coffee", "cup of tea")),
    NamedObject("egg", "egg"),
    # vehicles
    NamedObject("red car", "automobile", ("car", "automobile")),
    NamedObject("blue car", "sport-utility-vehicle"),
    NamedObject("bus", "bus", ("school bus",)),
    NamedObject("tractor", "tractor"),
    NamedObject("train", "locomotive", ("steam train", "locomotive")),
    NamedObject("bicycle", "bicycle", ("bike",)),
    NamedObject("motorcycle", "motorcycle", ("motorbike",)),
    NamedObject("airplane", "airplane", ("plane", "aeroplane")),
    NamedObject("helicopter", "helicopter"),
    NamedObject("rocket", "rocket", ("spaceship",)),
    NamedObject("sailboat", "sailboat", ("boat", "sailing boat")),
    # buildings, sky
    NamedObject("house", "house", ("home", "cottage")),
    NamedObject("castle", "castle"),
    NamedObject("tent", "tent"),
    NamedObject("sun", "sun"),
    NamedObject("moon", "crescent-moon", ("crescent moon",)),
    NamedObject("star", "star"),
    NamedObject("cloud", "cloud"),
    NamedObject("rainbow", "rainbow"),
    NamedObject("snowman", "snowman"),
    NamedObject("planet", "ringed-planet", ("Saturn", "planet with rings")),
    NamedObject("globe", "globe-showing-europe-africa", ("planet Earth", "Earth")),
    NamedObject("fire", "fire", ("flame",)),
    # things
    NamedObject("guitar", "guitar"),
    NamedObject("violin", "violin"),
    NamedObject("trumpet", "trumpet"),
    NamedObject("drum", "drum"),
    NamedObject("ball", "soccer-ball", ("football", "soccer ball")),
    NamedObject("basketball", "basketball"),
    NamedObject("balloon", "balloon", ("red balloon",)),
    NamedObject("gift", "wrapped-gift", ("present", "gift box")),
    NamedObject("teddy bear", "teddy-bear", ("teddy",)),
    NamedObject("crown", "crown", ("golden crown",)),
    NamedObject("hat", "top-hat", ("top hat",)),
    NamedObject("umbrella", "umbrella"),
    NamedObject("key", "key", ("golden key",)),
    NamedObject("clock", "alarm-clock", ("alarm clock",)),
    NamedObject("light bulb", "light-bulb", ("lamp",)),
    NamedObject("book", "closed-book", ("red book",)),
    NamedObject("camera", "camera"),
    NamedObject("robot", "robot"),
    NamedObject("red heart", "red-heart", ("heart",)),
    NamedObject("blue heart", "blue-heart"),
    NamedObject("trophy", "trophy", ("golden cup",)),
)
"""108 objects that a person names at once."""

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


SETTINGS: dict[str, Setting] = {
    "grass": Setting(
        ("on the grass", "in a meadow", "on a green field"),
        (120, 190, 245),
        (205, 232, 252),
        (96, 178, 78),
        0.62,
    ),
    "beach": Setting(("on the beach", "on the sand"), (90, 180, 240), (190, 230, 250), (238, 214, 160), 0.62),
    "snow": Setting(("in the snow", "in a snowy landscape"), (160, 186, 214), (214, 226, 240), (250, 250, 254), 0.62),
    "sea": Setting(
        ("on the sea", "on the water", "in the ocean"), (150, 208, 248), (222, 240, 252), (38, 104, 178), 0.58
    ),
    "night": Setting(
        ("at night", "under the stars", "in the night sky", "in space"),
        (12, 14, 44),
        (40, 40, 92),
        (26, 28, 60),
        1.0,
        True,
    ),
    "sunset": Setting(("at sunset", "in front of a sunset"), (94, 64, 128), (252, 156, 84), (62, 44, 70), 0.72),
    "sky": Setting(("in the sky", "in front of a blue sky"), (70, 150, 232), (206, 232, 252), (206, 232, 252), 1.0),
}
