"""The one place where a prompt enters: what can be a prompt at all."""

from __future__ import annotations

import unicodedata

from api.errors import InvalidPromptError

_ALLOWED_CONTROLS = frozenset("\t\n\r")


def parse_prompt(text: object, *, max_characters: int, parameter: str = "prompt") -> str:
    """Return the prompt without surrounding white space.

    Line breaks and tabs are allowed. Invisible format characters (Unicode category Cf) are allowed too: emoji
    sequences need them, and the safety check sees through them.

    Raises:
        InvalidPromptError: not a string, empty, longer than `max_characters`, or with control characters or
            lone surrogates (text that is not text).
    """
    if not isinstance(text, str):
        raise InvalidPromptError(f"{parameter} must be a string, not {type(text).__name__}", parameter=parameter)
    stripped = text.strip()
    if not stripped:
        raise InvalidPromptError(f"{parameter} is empty; describe the image in words", parameter=parameter)
    if len(stripped) > max_characters:
        raise InvalidPromptError(
            f"{parameter} has {len(stripped)} characters; at most {max_characters} are accepted",
            parameter=parameter,
        )
    for position, character in enumerate(stripped):
        category = unicodedata.category(character)
        if category == "Cs" or (category == "Cc" and character not in _ALLOWED_CONTROLS):
            raise InvalidPromptError(
                f"{parameter} holds the control character U+{ord(character):04X} at position {position};"
                " send plain text",
                parameter=parameter,
            )
    return stripped
