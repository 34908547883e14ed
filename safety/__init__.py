"""Looks at prompts and images: checks give findings, and a policy turns findings into a decision."""

from safety.checks import CheckDeclaration, ImageCheck, PromptCheck, Stage, run_checks
from safety.errors import (
    CheckConfigurationError,
    CheckFailedError,
    EncoderError,
    FindingError,
    PixelsError,
    PolicyError,
    ReferenceIndexError,
    SafetyError,
    UnknownCheckError,
    WeightsError,
)
from safety.findings import Finding, JsonValue, Outcome, decimal
from safety.policy import Decision, DecisionOutcome, Policy, Reason
from safety.policy_rules import Action
from safety.registry import (
    BuiltChecks,
    CheckDependencies,
    CheckRegistry,
    RegisteredImageCheck,
    RegisteredPromptCheck,
    build_checks,
    default_registry,
)

__all__ = [
    "Action",
    "BuiltChecks",
    "CheckConfigurationError",
    "CheckDeclaration",
    "CheckDependencies",
    "CheckFailedError",
    "CheckRegistry",
    "Decision",
    "DecisionOutcome",
    "EncoderError",
    "Finding",
    "FindingError",
    "ImageCheck",
    "JsonValue",
    "Outcome",
    "PixelsError",
    "Policy",
    "PolicyError",
    "PromptCheck",
    "Reason",
    "ReferenceIndexError",
    "RegisteredImageCheck",
    "RegisteredPromptCheck",
    "SafetyError",
    "Stage",
    "UnknownCheckError",
    "WeightsError",
    "build_checks",
    "decimal",
    "default_registry",
    "run_checks",
]
