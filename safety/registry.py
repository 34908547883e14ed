"""The registry of checks: each is declared once and built from what the composition root injects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, cast

from safety.checks import CheckDeclaration, ImageCheck, PromptCheck, Stage
from safety.core import LANGUAGE, PERSON
from safety.errors import CheckConfigurationError, PolicyError, UnknownCheckError
from safety.findings import CHECK_ERROR_CATEGORY, UNMARKED_CATEGORY
from safety.policy import OwnThresholds, Policy
from safety.policy_rules import Action, Depictable
from safety.taxonomy import CATEGORY_BY_NAME, LEARNT_CATEGORIES

if TYPE_CHECKING:
    from safety.duplicates.check import NearestReferences
    from safety.prompt.encoder import MiniLmEncoder
    from safety.prompt.term_files import TermFile


@dataclass(frozen=True, slots=True)
class CheckDependencies:
    """What checks may need: the composition root gives what it has; a check says what it lacks."""

    encoder: MiniLmEncoder | None = None
    references: NearestReferences | None = None
    terms: Sequence[TermFile] = ()


Thresholds = Mapping[str, float]
"""The policy's thresholds by category, which replace a check's own."""


def _none() -> Thresholds:
    return {}


@dataclass(frozen=True, slots=True)
class RegisteredPromptCheck:
    """A prompt check's declaration, how to build it, and the thresholds that it has of its own."""

    declaration: CheckDeclaration
    build: Callable[[CheckDependencies, Thresholds], PromptCheck]
    own_thresholds: Callable[[], Thresholds] = _none


@dataclass(frozen=True, slots=True)
class RegisteredImageCheck:
    """An image check's declaration, how to build it, and the thresholds that it has of its own."""

    declaration: CheckDeclaration
    build: Callable[[CheckDependencies, Thresholds], ImageCheck]
    own_thresholds: Callable[[], Thresholds] = _none


@dataclass(frozen=True, slots=True)
class BuiltChecks:
    """The checks that a policy asks for, ready to run, required ones first."""

    prompt: tuple[PromptCheck, ...]
    image: tuple[ImageCheck, ...]


Shelf: TypeAlias = MutableMapping[tuple[str, tuple[tuple[str, float], ...]], "PromptCheck | ImageCheck"]
"""Built checks by their id and thresholds."""


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

    def own_thresholds(self) -> OwnThresholds:
        """What each check blocks at where no policy says otherwise, by stage and category."""
        found: dict[tuple[Stage, str], tuple[float, ...]] = {}
        for check in self._checks.values():
            for category, threshold in check.own_thresholds().items():
                key = (check.declaration.stage, category)
                found[key] = (*found.get(key, ()), threshold)
        return found

    def build(self, policy: Policy, dependencies: CheckDependencies, shelf: Shelf | None = None) -> BuiltChecks:
        """The checks that `policy` names, with its thresholds.

        `shelf` keeps what was built: policies share the checks for which they have equal thresholds.

        Raises `UnknownCheckError` for an id that is not registered, `PolicyError` for a check at the wrong
        stage, for a category that no registered check declares (a misspelt rule would never apply) and for a
        rule on persons or languages without the check that finds them, and `CheckConfigurationError` for a
        dependency that is not given.
        """
        self.validate(policy)
        shelf = {} if shelf is None else shelf
        prompt: list[PromptCheck] = []
        image: list[ImageCheck] = []
        for stage in Stage:
            for check_id in policy.checks(stage):
                registered = self.get(check_id)
                thresholds = {
                    category: threshold
                    for category, threshold in policy.thresholds(stage).items()
                    if category in registered.declaration.categories and registered.declaration.adjustable
                }
                key = (check_id, tuple(sorted(thresholds.items())))
                if key not in shelf:
                    shelf[key] = registered.build(dependencies, thresholds)
                if isinstance(registered, RegisteredPromptCheck):
                    prompt.append(cast("PromptCheck", shelf[key]))
                else:
                    image.append(cast("ImageCheck", shelf[key]))
        return BuiltChecks(tuple(prompt), tuple(image))

    def validate(self, policy: Policy) -> None:
        """Raise as `build` does for a policy that these checks cannot carry out; builds nothing."""
        for stage in Stage:
            for check_id in policy.checks(stage):
                declared = self.get(check_id).declaration.stage
                if declared is not stage:
                    raise PolicyError(
                        f"policy {policy.id}: check {check_id!r} is named at stage {stage.value}, "
                        f"expected stage {declared.value}"
                    )
        self._require_known_categories(policy)
        if policy.persons.allow is Depictable.NONE:
            self._require_finder(policy, PERSON, "persons.allow: none")
        if policy.languages.other is not Action.ANNOTATE or policy.languages.accepted is not None:
            self._require_finder(policy, LANGUAGE, "languages")

    def _require_known_categories(self, policy: Policy) -> None:
        for stage in Stage:
            known = {CHECK_ERROR_CATEGORY}
            known |= set(CATEGORY_BY_NAME) if stage is Stage.PROMPT else {UNMARKED_CATEGORY}
            for declaration in self.declarations():
                if declaration.stage is stage:
                    known |= set(declaration.categories)
            if unknown := sorted(set(policy.stages[stage].categories) - known):
                raise PolicyError(
                    f"policy {policy.id}, stage {stage.value}: no check finds {', '.join(unknown)}; "
                    f"expected categories among {', '.join(sorted(known))}"
                )

    def _require_finder(self, policy: Policy, category: str, rule: str) -> None:
        """Fail closed: a rule whose findings nothing gives would never apply."""
        finders = [d.id for d in self.declarations() if d.stage is Stage.PROMPT and category in d.categories]
        if not set(finders) & set(policy.required_checks(Stage.PROMPT)):
            raise PolicyError(
                f"policy {policy.id}, {rule}: expected a check that finds {category} among prompt.required_checks "
                f"({', '.join(finders) or 'none is registered'})"
            )


def default_registry() -> CheckRegistry:
    """The checks that ship with the product."""
    from safety.duplicates.check import DECLARATION as DUPLICATES
    from safety.duplicates.check import LISTED_WORK
    from safety.duplicates.matches import MATCH_DISTANCE_BITS, confidence
    from safety.image.quality import DECLARATION as QUALITY
    from safety.image.quality import QUALITY as QUALITY_CATEGORY
    from safety.image.quality import THRESHOLD as QUALITY_AT
    from safety.image.quality import QualityCheck
    from safety.prompt.classifier import DECLARATION as CLASSIFIER
    from safety.prompt.language import DECLARATION as LANGUAGES
    from safety.prompt.language import LanguageCheck
    from safety.prompt.persons import DECLARATION as PERSONS
    from safety.prompt.persons import PersonCheck
    from safety.prompt.rules import DECLARATION as RULES
    from safety.prompt.rules import PromptRules

    return CheckRegistry(
        [
            RegisteredPromptCheck(RULES, lambda given, _thresholds: PromptRules.shipped(given.terms)),
            RegisteredPromptCheck(CLASSIFIER, _build_classifier, _classifier_thresholds),
            RegisteredPromptCheck(LANGUAGES, lambda _dependencies, _thresholds: LanguageCheck()),
            RegisteredPromptCheck(PERSONS, lambda _dependencies, _thresholds: PersonCheck()),
            RegisteredImageCheck(
                QUALITY,
                lambda _dependencies, thresholds: QualityCheck(thresholds),
                lambda: {QUALITY_CATEGORY: QUALITY_AT},
            ),
            RegisteredImageCheck(DUPLICATES, _build_duplicates, lambda: {LISTED_WORK: confidence(MATCH_DISTANCE_BITS)}),
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


def _classifier_thresholds() -> Thresholds:
    from safety.prompt.weights_file import shipped_weights

    levels = shipped_weights().calibration.levels
    return {category: level.block for category, level in zip(LEARNT_CATEGORIES, levels, strict=True)}


def _build_duplicates(dependencies: CheckDependencies, thresholds: Thresholds) -> ImageCheck:
    from safety.duplicates.check import DECLARATION, DuplicateCheck

    if dependencies.references is None:
        raise _lacking(DECLARATION, "a reference index", "references")
    return DuplicateCheck(dependencies.references, thresholds)


def _lacking(declaration: CheckDeclaration, what: str, field: str) -> CheckConfigurationError:
    return CheckConfigurationError(
        f"check {declaration.id!r} needs {what}; give `CheckDependencies.{field}` or take it out of the policy"
    )
