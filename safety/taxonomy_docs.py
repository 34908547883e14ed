"""Prints the table of `docs/taxonomy.md`: `python -m safety.taxonomy_docs`."""

from __future__ import annotations

from safety.taxonomy import TAXONOMY


def table() -> str:
    """One row a category, as Markdown."""
    header = ("category", "what it is", "found by", "OpenAI", "AILuminate", "Azure")
    rows = [header, ("---",) * len(header)]
    for category in TAXONOMY:
        if category.name == "language":
            found_by = "`prompt.language`"
        else:
            found_by = "rules, classifier" if category.learnt else "rules"
        elsewhere = (", ".join(names) or "–" for names in (category.openai, category.ailuminate, category.azure))
        rows.append((f"`{category.name}`", category.holds, found_by, *elsewhere))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


if __name__ == "__main__":
    print(table(), end="")
