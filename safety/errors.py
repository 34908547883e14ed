"""Everything that this package raises."""

from __future__ import annotations


class SafetyError(Exception):
    """Root of all errors of the safety package."""


class FindingError(SafetyError):
    """A finding was built with values that a record cannot hold."""


class PolicyError(SafetyError):
    """A policy file is not valid; the message names line, field and what was expected."""


class UnknownCheckError(SafetyError):
    """A policy or a caller names a check that is not in the registry."""


class CheckConfigurationError(SafetyError):
    """A check cannot be built: something that it depends on was not given."""


class CheckFailedError(SafetyError):
    """A required check did not run, or failed: nothing may be released on such findings.

    `check` is the id of the check, `cause` one line on what happened.
    """

    def __init__(self, check: str, cause: str) -> None:
        super().__init__(
            f"required check {check!r} gave no verdict: {cause}; "
            "nothing is released without it, repair the check or remove it from the policy"
        )
        self.check = check
        self.cause = cause


class WeightsError(SafetyError):
    """Shipped weights are missing, altered, or do not fit the code that loads them."""


class EncoderError(SafetyError):
    """The sentence encoder returned something else than its protocol promises."""


class PixelsError(SafetyError):
    """An array is not an 8-bit RGB image."""


class ReferenceIndexError(SafetyError):
    """The reference index could not be read or written."""
