"""The registry of checks: each is declared once and built from what the composition root injects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from safety.checks import CheckDeclaration, ImageCheck, PromptCheck, Stage
from safety.core import ALWAYS_REFUSED, MINOR_SIGN, SEXUAL
from safety.errors import CheckConfigurationError, PolicyError, UnknownCheckError
from safety.findings import CHECK_ERROR_CATEGORY
from safety.policy import Policy

if TYPE_CHECKING:
    from safety.duplicates.check import NearestReferences
    from safety.prompt.encoder import SentenceEncoder


@dataclass(frozen=True, slots=True)
class CheckDependencies:
    """What checks may need: the composition root gives what it has; a check says what it lacks."""

    encoder: SentenceEncoder | None = None
    references: NearestReferences | None = None


Thresholds = Mapping[str, float]
"""The policy's thresholds by category, which replace a check's own."""


@dataclass(frozen=True, slots=True)
class RegisteredPromptCheck:
    """A prompt check's declaration and how to build it."""

    declaration: CheckDeclaration
    build: Callable[[CheckDependencies, Thresholds], PromptCheck]


@dataclass(frozen=True, slots=True)
class RegisteredImageCheck:
    """An image check's declaration and how to build it."""

    declaration: CheckDeclaration
    build: Callable[[CheckDependencies, Thresholds], ImageCheck]


@dataclass(frozen=True, slots=True)
class BuiltChecks:
    """The checks that a policy asks for, ready to run, required ones first."""

    prompt: tuple[PromptCheck, ...]
    image: tuple[ImageCheck, ...]


class CheckRegistry:
    """Checks by id. Immutable: `with_checks` gives a registry with more of them."""

    def __init__(self, checks: Iterable[RegisteredPromptCheck | RegisteredImageCheck]) -> None:
        self._checks: dict[str, RegisteredPromptCheck | RegisteredImageCheck] = {}
        for check in checks:
            if check.declaration.id in self._checks:
                raise UnknownCheckError(f"check id {check.declaration.id!r} is registered twice; ids are unique")
            self._checks[check.declaration.id] = check

    def with_checks(self, *checks: RegisteredPromptCheck | RegisteredImageCheck) -> CheckRegistry:
        """A registry with `checks` besides the present ones."""
        return CheckRegistry([*self._checks.values(), *checks])

    def declarations(self) -> tuple[CheckDeclaration, ...]:
        """All declarations, in the order of registration."""
        return tuple(check.declaration for check in self._checks.values())

    def get(self, check_id: str) -> RegisteredPromptCheck | RegisteredImageCheck:
        """The registered check. Raises `UnknownCheckError`, naming those that there are."""
        try:
            return self._checks[check_id]
        except KeyError:
            there_are = ", ".join(sorted(self._checks))
            raise UnknownCheckError(f"no check {check_id!r} is registered; there are: {there_are}") from None

    def build(self, policy: Policy, dependencies: CheckDependencies) -> BuiltChecks:
        """The checks that `policy` names, with its thresholds.

        Raises `UnknownCheckError` for an id that is not registered, `PolicyError` for a check at the wrong
        stage and for a category that no registered check declares (a misspelt rule would never apply), and
        `CheckConfigurationError` for a dependency that is not given.
        """
        self._require_known_categories(policy)
        prompt: list[PromptCheck] = []
        image: list[ImageCheck] = []
        for stage in Stage:
            for check_id in policy.checks(stage):
                registered = self.get(check_id)
                if registered.declaration.stage is not stage:
                    raise PolicyError(
                        f"policy {policy.id}: check {check_id!r} is named at stage {stage.value}, "
                        f"expected stage {registered.declaration.stage.value}"
                    )
                thresholds = policy.thresholds(stage)
                if isinstance(registered, RegisteredPromptCheck):
                    prompt.append(registered.build(dependencies, thresholds))
                else:
                    image.append(registered.build(dependencies, thresholds))
        return BuiltChecks(tuple(prompt), tuple(image))

    def _require_known_categories(self, policy: Policy) -> None:
        for stage in Stage:
            declared = {CHECK_ERROR_CATEGORY, SEXUAL, MINOR_SIGN} | ALWAYS_REFUSED
            for declaration in self.declarations():
                if declaration.stage is stage:
                    declared |= set(declaration.categories)
            if unknown := sorted(set(policy.stages[stage].categories) - declared):
                raise PolicyError(
                    f"policy {policy.id}, stage {stage.value}: no check finds {', '.join(unknown)}; "
                    f"expected categories among {', '.join(sorted(declared))}"
                )


def default_registry() -> CheckRegistry:
    """The checks that ship with the product."""
    from safety.duplicates.check import DECLARATION as DUPLICATES
    from safety.image.quality import DECLARATION as QUALITY
    from safety.image.quality import QualityCheck
    from safety.prompt.classifier import DECLARATION as CLASSIFIER
    from safety.prompt.rules import DECLARATION as RULES
    from safety.prompt.rules import PromptRules

    return CheckRegistry(
        [
            RegisteredPromptCheck(RULES, lambda _dependencies, _thresholds: PromptRules.shipped()),
            RegisteredPromptCheck(CLASSIFIER, _build_classifier),
            RegisteredImageCheck(QUALITY, lambda _dependencies, thresholds: QualityCheck(thresholds)),
            RegisteredImageCheck(DUPLICATES, _build_duplicates),
        ]
    )


def build_checks(policy: Policy, dependencies: CheckDependencies) -> BuiltChecks:
    """The checks that `policy` names, out of the shipped ones; raises as `CheckRegistry.build`."""
    return default_registry().build(policy, dependencies)


def _build_classifier(dependencies: CheckDependencies, thresholds: Thresholds) -> PromptCheck:
    from safety.prompt.classifier import DECLARATION, PromptClassifier

    if dependencies.encoder is None:
        raise _lacking(DECLARATION, "a sentence encoder", "encoder")
    return PromptClassifier.shipped(dependencies.encoder, thresholds)


def _build_duplicates(dependencies: CheckDependencies, thresholds: Thresholds) -> ImageCheck:
    from safety.duplicates.check import DECLARATION, DuplicateCheck

    if dependencies.references is None:
        raise _lacking(DECLARATION, "a reference index", "references")
    return DuplicateCheck(dependencies.references, thresholds)


def _lacking(declaration: CheckDeclaration, what: str, field: str) -> CheckConfigurationError:
    return CheckConfigurationError(
        f"check {declaration.id!r} needs {what}; give `CheckDependencies.{field}` or take it out of the policy"
    )
