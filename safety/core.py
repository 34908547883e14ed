"""The fixed core: what no policy can permit, and the checks that no policy can leave out."""

from __future__ import annotations

from collections.abc import Sequence

from safety.checks import Stage
from safety.findings import Finding, Outcome

SEXUAL = "sexual"
SEXUAL_MINORS = "sexual_minors"
MINOR_SIGN = "minor_sign"
"""A word that says a minor may be depicted. Alone it is no ground for anything."""

ALWAYS_REFUSED = frozenset({SEXUAL_MINORS})

CORE_CHECKS: dict[Stage, tuple[str, ...]] = {Stage.PROMPT: ("prompt.rules",), Stage.IMAGE: ()}
"""Required at each stage whatever the policy says: without them the core could be switched off."""


def core_refusals(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    """(category, check) of everything in `findings` that is always refused.

    Sexual content with any sign of a minor is refused however the two were found: by one finding of
    category `sexual_minors`, or by a sexual finding (flag or block) of one check beside a sign of a minor
    of another.
    """
    raised = (Outcome.FLAG, Outcome.BLOCK)
    refusals = [
        (finding.category, finding.check)
        for finding in findings
        if finding.category in ALWAYS_REFUSED and finding.outcome in raised
    ]
    minor_sign = any(f.category == MINOR_SIGN and f.outcome in raised for f in findings)
    if minor_sign:
        refusals += [
            (SEXUAL_MINORS, finding.check)
            for finding in findings
            if finding.category == SEXUAL and finding.outcome in raised
        ]
    return refusals
