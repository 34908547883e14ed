"""Shares with confidence intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

CONFIDENCE_QUANTILE = 1.959964  # two-sided 95 % of the normal distribution


@dataclass(frozen=True)
class Rate:
    """A share with its 95 % Wilson score interval."""

    successes: int
    trials: int

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper bound (Wilson, 1927)."""
        n, z = self.trials, CONFIDENCE_QUANTILE
        share = self.successes / n
        centre = (share + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
        return max(0.0, centre - half), min(1.0, centre + half)

    def __str__(self) -> str:
        if not self.trials:
            return "none (0/0)"
        low, high = self.interval
        return f"{self.successes / self.trials:.3f} [{low:.3f}, {high:.3f}] ({self.successes}/{self.trials})"


def rate(outcomes: list[bool]) -> Rate:
    """The share of true outcomes."""
    return Rate(sum(outcomes), len(outcomes))
