"""The fixed core: what no policy can permit, and the checks that no policy can leave out."""

from __future__ import annotations

from collections.abc import Sequence

from safety.checks import Stage
from safety.findings import Finding, Outcome

SEXUAL = "sexual"
SEXUAL_MINORS = "sexual_minors"
MINOR_SIGN = "minor_sign"
"""A word that says a minor may be depicted. Alone it is no ground for anything but a rule on persons."""

PERSON = "person"
PUBLIC_FIGURE = "public_figure"
LANGUAGE = "language"

ALWAYS_REFUSED = frozenset({SEXUAL_MINORS})
"""Refused whatever a policy says, and quarantined: it enters no queue, report or bundle."""

CORE_CHECKS: dict[Stage, tuple[str, ...]] = {Stage.PROMPT: ("prompt.rules",), Stage.IMAGE: ()}
"""Required at each stage whatever the policy says: without them the core could be switched off."""


def core_refusals(findings: Sequence[Finding], earlier: Sequence[Finding] = ()) -> list[tuple[str, str]]:
    """(category, check) of everything in `findings` that is always refused.

    Sexual content with any sign of a minor is refused however the two were found: by one finding of
    category `sexual_minors`, or by a sexual finding (flag or block) of one check beside a sign of a minor
    of another. `earlier` are findings on the same request at an earlier stage: a picture with sexual content
    is refused when its prompt had a sign of a minor, and the other way round.
    """
    refusals = [(f.category, f.check) for f in findings if f.category in ALWAYS_REFUSED and _raised(f)]
    for one, other, beside in ((SEXUAL, MINOR_SIGN, (*findings, *earlier)), (MINOR_SIGN, SEXUAL, earlier)):
        if any(f.category == other and _raised(f) for f in beside):
            refusals += [(SEXUAL_MINORS, f.check) for f in findings if f.category == one and _raised(f)]
    return refusals


def _raised(finding: Finding) -> bool:
    return finding.outcome in (Outcome.FLAG, Outcome.BLOCK)
