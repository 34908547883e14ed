"""Checks: the two protocols, what a check declares of itself, and running them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, overload

from safety.errors import PixelsError
from safety.findings import CHECK_ERROR_CATEGORY, Finding, Outcome

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

EXCEPTION_TEXT_LIMIT = 500


class Stage(StrEnum):
    """What is examined: the prompt before generation, or the pixels that would ship."""

    PROMPT = "prompt"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class CheckDeclaration:
    """What a check says of itself, once, for the registry, the policy and the documentation.

    `categories` are all that its findings may carry. `measured_in` is the path of the committed table or
    document, relative to the repository, and `measured_on` one line on the material of that measurement.
    `adjustable` says whether a policy's thresholds apply: not to checks that know only yes and no.
    """

    id: str
    version: str
    stage: Stage
    categories: tuple[str, ...]
    summary: str
    measured_on: str
    measured_in: str
    adjustable: bool = True


class PromptCheck(Protocol):
    """Examines a prompt. Gives at least one finding, also when there is nothing to find."""

    @property
    def declaration(self) -> CheckDeclaration: ...

    def examine(self, prompt: str) -> list[Finding]: ...

    def examine_many(self, prompts: Sequence[str]) -> list[list[Finding]]:
        """What `examine` gives, for each prompt in order; faster than one at a time."""
        ...


class ImageCheck(Protocol):
    """Examines pixels: uint8, shape (H, W, 3), RGB, upright, sRGB. Gives at least one finding."""

    @property
    def declaration(self) -> CheckDeclaration: ...

    def examine(self, pixels: NDArray[np.uint8]) -> list[Finding]: ...


@overload
def run_checks(checks: Iterable[PromptCheck], subject: str) -> list[Finding]: ...
@overload
def run_checks(checks: Iterable[ImageCheck], subject: NDArray[np.uint8]) -> list[Finding]: ...
def run_checks(checks: Iterable[PromptCheck] | Iterable[ImageCheck], subject: str | NDArray[np.uint8]) -> list[Finding]:
    """Findings of all `checks` on `subject`, in the order of the checks.

    A check that raises, or that gives no finding at all, becomes one finding with outcome `error`, the
    exception's type and message in its evidence; it is logged too. `Policy.decide` refuses to decide when
    a required check did so.
    """
    findings: list[Finding] = []
    for check in checks:
        started = time.perf_counter()
        try:
            found = check.examine(subject)  # type: ignore[arg-type]  # the overloads pair them
            if not found:
                raise RuntimeError("the check gave no finding, expected at least one")
            findings.extend(found)
        except Exception as error:  # noqa: BLE001  # any failure must become a finding, never an escape
            findings.append(_error_finding(check.declaration, error, time.perf_counter() - started))
    return findings


def run_checks_on_many(checks: Iterable[PromptCheck], prompts: Sequence[str]) -> list[list[Finding]]:
    """As `run_checks`, for each of `prompts` in order.

    When a check fails on the batch, every prompt is examined alone, so that one of them cannot take the
    verdicts of the others with it.
    """
    findings: list[list[Finding]] = [[] for _ in prompts]
    for check in checks:
        try:
            found = check.examine_many(prompts)
            complete = len(found) == len(prompts) and all(found)
        except Exception as error:  # noqa: BLE001  # it is met again, prompt by prompt, and becomes a finding
            logger.warning("check %s failed on a batch of %d: %s", check.declaration.id, len(prompts), error)
            complete = False
        if not complete:
            found = [run_checks([check], prompt) for prompt in prompts]
        for own, more in zip(findings, found, strict=True):
            own.extend(more)
    return findings


def require_rgb(pixels: NDArray[np.uint8]) -> None:
    """Raise `PixelsError` unless `pixels` is uint8 of shape (H, W, 3) with H and W at least 1."""
    if pixels.dtype != "uint8" or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
        raise PixelsError(
            f"expected uint8 pixels of shape (H, W, 3), got {pixels.dtype} of shape {pixels.shape}; "
            "decode the image to 8-bit RGB first"
        )


def outcome_of(score: float, threshold: float, flag_threshold: float | None = None) -> Outcome:
    """`block` at or above `threshold`, `flag` at or above `flag_threshold`, else `pass`."""
    if score >= threshold:
        return Outcome.BLOCK
    if flag_threshold is not None and score >= flag_threshold:
        return Outcome.FLAG
    return Outcome.PASS


def _error_finding(declaration: CheckDeclaration, error: Exception, elapsed_s: float) -> Finding:
    logger.error(
        "check %s %s failed", declaration.id, declaration.version, exc_info=error, extra={"check": declaration.id}
    )
    return Finding(
        check=declaration.id,
        version=declaration.version,
        category=CHECK_ERROR_CATEGORY,
        score=1.0,
        threshold=1.0,
        outcome=Outcome.ERROR,
        evidence={
            "exception": type(error).__name__,
            "message": str(error)[:EXCEPTION_TEXT_LIMIT],
        },
        elapsed_s=elapsed_s,
    )
