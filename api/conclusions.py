"""The conclusions that a verification can come to, in order of precedence, and what each says."""

from __future__ import annotations

from collections.abc import Iterable

STATEMENTS = {
    "credential_broken": "The file's own credential fails an integrity check: changed since signing."
    " This does not say who, why, or what.",
    "conflict": "The evidence disagrees: a mark or credential leads to the record of another picture.",
    "issued_here": "This picture was issued here; the record says how it was made.",
    "declared_ai": "A trusted signer declares that the picture was made by a generative model.",
    "declared_edited": "A trusted signer declares that the picture was edited.",
    "declared_capture": "A trusted signer declares that the picture is a capture by a camera.",
    "likely_ai": "The calibrated detector is above its threshold.",
    "inconclusive": "Nothing that was found establishes the picture's origin."
    " Absence of evidence says nothing about how it was made.",
}

CONCLUSIONS = tuple(STATEMENTS)
"""Names, the one that makes the headline first."""


def in_order(found: Iterable[str]) -> tuple[str, ...]:
    """The conclusions that hold, by precedence; `inconclusive` if and only if there is no other.

    Raises:
        ValueError: a name is none of `CONCLUSIONS`; left out silently, a finding would be lost.
    """
    holding = set(found)
    if unknown := holding - set(CONCLUSIONS):
        raise ValueError(f"no such conclusion: {', '.join(sorted(unknown))}; known: {', '.join(CONCLUSIONS)}")
    return tuple(name for name in CONCLUSIONS if name in holding - {"inconclusive"}) or ("inconclusive",)
