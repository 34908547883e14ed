"""Prints the table of `docs/taxonomy.md`: `python -m safety.taxonomy_docs`."""

from __future__ import annotations

from safety.core import LANGUAGE, PERSON
from safety.taxonomy import TAXONOMY

_OF_THEIR_OWN = {PERSON: "`prompt.persons`", LANGUAGE: "`prompt.language`"}


def table() -> str:
    """One row a category, as Markdown."""
    header = ("category", "what it is", "found by", "OpenAI", "AILuminate", "Azure")
    rows = [header, ("---",) * len(header)]
    for category in TAXONOMY:
        found_by = _OF_THEIR_OWN.get(category.name, "rules, classifier" if category.learnt else "rules")
        elsewhere = (", ".join(names) or "–" for names in (category.openai, category.ailuminate, category.azure))
        rows.append((f"`{category.name}`", category.holds, found_by, *elsewhere))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


if __name__ == "__main__":
    print(table(), end="")
