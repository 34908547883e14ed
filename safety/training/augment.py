"""Further training rows out of those there are: disguised, in another language, with the style of another prompt."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from safety.prompt.canonical import canonicalise
from safety.prompt.glossary import GLOSSED_LANGUAGES, shipped_glossary
from safety.training.evasions import EVASIONS
from safety.training.own_prompts import tails
from safety.training.prompt_data import LabelledPrompt

DISGUISED_SHARE = 0.12
"""Share of rows that are added once more under a disguise: half as it stands, half with the disguise undone."""

SWAPPED_SHARE = 0.25
"""Share of the rows with a style that are added once more with another's."""

TRANSLATED_SHARE = {"own": 0.35, "partiprompts": 0.2, "t2i-compbench": 0.04, "overt-benign": 0.06, "overt-unsafe": 0.12}
"""Share of the rows of a source that are added once more, word by word in another language."""

LANGUAGE_WEIGHTS = (5, 1.5, 1.5, 1.5, 1.5)
"""How often each of `GLOSSED_LANGUAGES` is taken."""

GRAVE_PERCENTAGE = 60.0
CORE_WORDS_MIN = 4


def disguised(prompts: Sequence[LabelledPrompt], seed: int) -> list[tuple[int, LabelledPrompt]]:
    """Disguised copies of some of `prompts`, with the row that each is of."""
    rng = random.Random(seed)  # noqa: S311  # augmentation, no secret
    names = list(EVASIONS)
    copies = []
    for row, prompt in enumerate(prompts):
        if rng.random() < DISGUISED_SHARE:
            text = EVASIONS[rng.choice(names)](prompt.text, rng)
            if rng.random() < 0.5:
                text = canonicalise(text).text
            copies.append((row, replace(prompt, text=text)))
    return copies


def style_swapped(prompts: Sequence[LabelledPrompt], seed: int) -> list[tuple[int, LabelledPrompt]]:
    """Copies in which what follows the first comma comes from another source's rows, so that style tells nothing.

    Grave rows of I2P get the tails of ImageReward, and those of ImageReward the tails of mild rows of I2P.
    """
    rng = random.Random(seed)  # noqa: S311  # augmentation, no secret
    given = {
        "i2p": tails([p.text for p in prompts if p.source == "imagereward"]),
        "imagereward": tails(
            [p.text for p in prompts if p.inappropriate_percentage is not None and p.inappropriate_percentage <= 20]
        ),
    }
    copies = []
    for row, prompt in enumerate(prompts):
        core, comma, _ = prompt.text.partition(",")
        grave = prompt.inappropriate_percentage is None or prompt.inappropriate_percentage >= GRAVE_PERCENTAGE
        usable = comma and grave and len(core.split()) >= CORE_WORDS_MIN and given.get(prompt.source)
        if usable and rng.random() < SWAPPED_SHARE:
            copies.append((row, replace(prompt, text=f"{core}, {rng.choice(given[prompt.source])}")))
    return copies


def translated(prompts: Sequence[LabelledPrompt], seed: int) -> list[tuple[int, LabelledPrompt]]:
    """Copies in words of another language; a third of them glossed back to English, as the classifier reads them."""
    rng = random.Random(seed)  # noqa: S311  # augmentation, no secret
    glossary = shipped_glossary()
    copies = []
    for row, prompt in enumerate(prompts):
        if rng.random() < TRANSLATED_SHARE.get(prompt.source, 0.0):
            language = rng.choices(GLOSSED_LANGUAGES, LANGUAGE_WEIGHTS)[0]
            text = glossary.reverse(prompt.text, language, rng)
            if text is not None and rng.random() < 1 / 3:
                text = glossary.gloss(text, language)
            if text is not None:
                copies.append((row, replace(prompt, text=text)))
    return copies
