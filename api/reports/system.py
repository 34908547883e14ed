"""How the system works, as a report states it: build, checks with measured rates, models, policies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from api.build import DISTRIBUTION, build_facts
from api.errors import NotFoundError
from audit.canonical import decimal_string
from audit.reports.content import (
    Build,
    CheckStatement,
    DecisionStatement,
    Fact,
    Item,
    Measurement,
    ModelStatement,
    PolicyStatement,
    Rate,
    System,
)
from audit.reports.statistics import wilson
from generator.errors import GeneratorError
from safety.checks import CheckDeclaration
from safety.measurements import CheckMeasurement, ErrorCount, measurement

if TYPE_CHECKING:
    from api.policies import PolicyBook
    from audit.reports.bundle import Staging
    from generator.catalogue import ModelCatalogue

RATE_DIGITS = 4


def system_statement(
    items: Iterable[Item],
    builds: Iterable[str],
    *,
    provider: str,
    declarations: Iterable[CheckDeclaration],
    policies: PolicyBook,
    staging: Staging,
) -> System:
    """Everything that the items rest on. Puts the policies into the bundle."""
    items = list(items)
    decisions = [decision for item in items for decision in item.decisions]
    return System(
        provider=provider,
        build=build_statement(),
        builds_recorded=tuple(sorted(set(builds))),
        checks=check_statements(items, declarations),
        models=tuple({(item.model.id, item.model.digest): item.model for item in items if item.model}.values()),
        policies=tuple(_policies(decisions, policies, staging)),
    )


def build_statement() -> Build:
    """The program that makes the report."""
    facts = build_facts()
    return Build(
        name=DISTRIBUTION,
        version=facts.version,
        commit=facts.commit,
        source_digest=facts.source_digest,
        python=facts.python,
        packages=tuple(Fact(name=name, value=version) for name, version in facts.packages),
    )


def model_statement(recorded: Mapping[str, Any], catalogue: ModelCatalogue) -> ModelStatement:
    """A recorded model, with its card's statements if the card at hand has the recorded digest."""
    id, digest, engine = str(recorded["id"]), recorded.get("digest"), recorded.get("engine")
    try:
        card = catalogue.get(id)
    except GeneratorError:
        return ModelStatement(id=id, digest=digest, engine=engine)
    if card.digest != digest:
        return ModelStatement(id=id, digest=digest, engine=engine)
    return ModelStatement(
        id=id, digest=digest, engine=engine, licence=card.licence, training_data=card.training_data, card_matches=True
    )


def check_statements(items: Iterable[Item], declarations: Iterable[CheckDeclaration]) -> tuple[CheckStatement, ...]:
    """The checks whose findings the items show, each in the version that gave them."""
    declared = {declaration.id: declaration for declaration in declarations}
    used = {(verdict.check, verdict.version, verdict.model_digest) for item in items for verdict in item.verdicts}
    ordered = sorted(used, key=lambda one: (one[0], one[1], one[2] or ""))
    return tuple(_check(check, version, digest, declared.get(check)) for check, version, digest in ordered)


def _check(check: str, version: str, digest: str | None, declared: CheckDeclaration | None) -> CheckStatement:
    measured = measurement(check, version, digest)
    if declared is None or declared.version != version:
        unknown = "not known: this program has another version of the check, or none"
        return CheckStatement(
            id=check, version=version, model_digest=digest, stage="unknown", summary=unknown, measured_on=unknown,
            measured_in=unknown,
            measurement=None if measured is None else _measurement(measured),
        )  # fmt: skip
    return CheckStatement(
        id=check,
        version=version,
        model_digest=digest,
        stage=declared.stage.value,
        summary=declared.summary,
        measured_on=declared.measured_on,
        measured_in=declared.measured_in,
        measurement=None if measured is None else _measurement(measured),
    )


def _measurement(measured: CheckMeasurement) -> Measurement:
    return Measurement(
        measured_on=measured.measured_on,
        command=measured.command,
        machine=measured.machine,
        table=measured.table,
        rates=tuple(_rate(count) for count in measured.counts),
    )


def _rate(count: ErrorCount) -> Rate:
    low, high = wilson(count.errors, count.sample)
    share = count.errors / count.sample if count.sample else 0.0
    return Rate(
        kind=count.kind,
        category=count.category,
        population=count.population,
        sample=count.sample,
        rate=decimal_string(round(share, RATE_DIGITS)),
        low=decimal_string(round(low, RATE_DIGITS)),
        high=decimal_string(round(high, RATE_DIGITS)),
    )


def _policies(
    decisions: Iterable[DecisionStatement], policies: PolicyBook, staging: Staging
) -> Iterable[PolicyStatement]:
    for digest, decision in {decision.policy_digest: decision for decision in decisions}.items():
        identity = {"id": decision.policy_id, "version": decision.policy_version, "digest": digest}
        try:
            policy = policies.by_digest(digest)
        except NotFoundError:
            yield PolicyStatement(**identity)
            continue
        path = staging.add(f"policies/{digest}.json", policy.canonical)
        yield PolicyStatement(**identity, title=policy.title, path=path)
