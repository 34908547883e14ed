"""`imprimatur policy`: check, show, compare and choose policies."""

from __future__ import annotations

import contextlib
import re
import sys
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click

from api.cli.output import EXIT_REFUSED, emit, json_option, reports_errors, service

if TYPE_CHECKING:
    from api.composition import Imprimatur
    from safety.policy import Policy
    from safety.policy_difference import Difference

_DIGEST = re.compile(r"[0-9a-f]{64}")


@click.group()
def command() -> None:
    """Policies: check a file, show one, compare two, choose which is in force."""


@command.command()
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--tenant", help="Check also that it may be this tenant's: at least as strict as the house's policy.")
@json_option
@reports_errors
def check(path: Path, tenant: str | None, as_json: bool) -> None:
    """Check that a policy FILE is valid; an error names line, field and what was expected."""
    from api.policies import choice_of

    with _Policies() as policies:
        policy = policies.named(str(path))
        if tenant is not None:
            policies.opened.policies.read(choice_of(str(path)), tenant=tenant)
    document = {"file": str(path), "valid": True, **_identity(policy)}
    _print(document, f"{path}: valid, {policy.id} {policy.version}, sha256 {policy.digest}", as_json=as_json)


@command.command()
@click.argument("name", default="house")
@click.option("--tenant", help="Show the policy that is in force for this tenant.")
@json_option
@reports_errors
def show(name: str, tenant: str | None, as_json: bool) -> None:
    """Show a policy in full, every default written out. NAME: a shipped policy, `house`, a file or a digest."""
    with _Policies() as policies:
        policy = policies.opened.policies.of(tenant) if tenant else policies.named(name)
    document = {**_identity(policy), "policy": policy.to_record()}
    _print(document, _text(policy), as_json=as_json)


@command.command()
@click.argument("before")
@click.argument("after")
@click.option("--fail-on-looser", is_flag=True, help="Exit with 1 if anything in AFTER is looser.")
@json_option
@reports_errors
def diff(before: str, after: str, fail_on_looser: bool, as_json: bool) -> None:
    """Compare two policies, each a shipped name, `house`, a file or a digest: what gets stricter, what looser."""
    with _Policies() as policies:
        found = policies.compared(before, after)
    if as_json:
        fields = ("field", "before", "after", "direction")
        emit([{name: str(getattr(one, name)) for name in fields} for one in found])
    for one in [] if as_json else found:
        click.echo(f"{one.direction:<8}  {one.field}: {one.before} -> {one.after}")
    if fail_on_looser and any(one.direction.loosens for one in found):
        sys.exit(EXIT_REFUSED)


@command.command()
@click.argument("name")
@click.option("--tenant", help="For this tenant alone; without it, for the house, which every other tenant follows.")
@click.option("--reason", required=True, help="Why; it is written into the audit log.")
@json_option
@reports_errors
def use(name: str, tenant: str | None, reason: str, as_json: bool) -> None:
    """Put a policy into force: a shipped NAME or a file; for a tenant, `house` makes it follow the house again."""
    from api.policies import HOUSE, Choice, choice_of

    choice = Choice() if tenant and name == HOUSE else choice_of(name)
    with service() as opened:
        actor = opened.actor(opened.local_caller())
        policy = opened.policies.use(choice, tenant=tenant, reason=reason, actor=actor)
    whose = f"tenant {tenant}" if tenant else "the house"
    document = {"tenant": tenant, **_identity(policy)}
    _print(document, f"{whose}: {policy.id} {policy.version}, sha256 {policy.digest}", as_json=as_json)


@command.command(name="list")
@json_option
@reports_errors
def list_assignments(as_json: bool) -> None:
    """List the policies in force: the house's, and each tenant's own."""
    with service() as opened:
        for one in opened.policies.assignments():
            document = {"tenant": one.tenant, **_identity(one.policy), "since": one.assigned_at.isoformat()}
            line = f"{one.tenant or '(house)':<20} {one.policy.id} {one.policy.version}  {one.policy.digest[:16]}"
            _print(document, line, as_json=as_json)


class _Policies:
    """Policies by name. The service is opened only for what only the service knows."""

    def __init__(self) -> None:
        from safety.registry import default_registry

        self._registry = default_registry()
        self._stack = contextlib.ExitStack()

    @cached_property
    def opened(self) -> Imprimatur:
        """The service."""
        return self._stack.enter_context(service())

    def named(self, name: str) -> Policy:
        """A shipped policy, the house's, one that was in force by its digest, or a file."""
        from api.policies import HOUSE, choice_of, read_choice

        if name == HOUSE:
            return self._house()
        if _DIGEST.fullmatch(name):
            return self.opened.policies.by_digest(name)
        return read_choice(choice_of(name), self._registry, self._house)

    def compared(self, before: str, after: str) -> list[Difference]:
        """What differs between two named policies."""
        from safety.policy_difference import differences

        return differences(self.named(before), self.named(after), self._registry.own_thresholds())

    def _house(self) -> Policy:
        return self.opened.policies.house()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()


def _identity(policy: Policy) -> dict[str, Any]:
    return {"id": policy.id, "version": policy.version, "digest": policy.digest}


def _text(policy: Policy) -> str:
    import yaml

    content = yaml.safe_dump(policy.to_record(), sort_keys=False, allow_unicode=True, width=120)
    return f"# sha256 {policy.digest}\n{content}".rstrip()


def _print(document: dict[str, Any], line: str, *, as_json: bool) -> None:
    emit(document) if as_json else click.echo(line)
