"""What was found in a file's credential: frozen values, every text already made printable."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from provenance.validation_codes import is_trust_only

CredentialState = Literal["none", "invalid", "valid", "trusted"]
Claim = Literal["declared_ai", "declared_edited", "declared_capture"]
CodeOutcome = Literal["success", "informational", "failure"]


@dataclass(frozen=True)
class ValidationCode:
    """One result of validation: the C2PA code, what it means, and the part of the manifest store it is about."""

    code: str
    outcome: CodeOutcome
    explanation: str
    where: str


@dataclass(frozen=True)
class SignerIdentity:
    """Who signed, as the certificate says; `time` is the time stamp's, None where there is none."""

    name: str
    issuer: str
    serial: str
    algorithm: str
    time: datetime | None


@dataclass(frozen=True)
class Action:
    """One recorded step; `digital_source_type` is the URI as written, or None."""

    action: str
    digital_source_type: str | None
    when: str | None
    software_agent: str | None


@dataclass(frozen=True)
class ReadSoftBinding:
    alg: str
    value: str


@dataclass(frozen=True)
class IngredientReport:
    """One ingredient anywhere in the store, with the integrity failures that were recorded for it.

    Trust-only codes are no failures. `manifest_label` names the manifest that lists the ingredient.
    """

    title: str
    relationship: str
    manifest_label: str
    failures: tuple[ValidationCode, ...]


@dataclass(frozen=True)
class CredentialReport:
    """Result of reading a file's credential.

    state: `none` (no credential in the file), `invalid` (an integrity check fails, or it cannot be read),
    `valid` (intact, signer not on the trust list), `trusted` (intact, signer on the trust list, inside validity).
    claims: what the chain of intact manifests declares; a conclusion only where the state is `trusted`.
    unique_id: the record id in a manifest of our own making; anyone can write one, so check it against the record.
    problem: why the file or its manifest store could not be read. raw_json: the SDK's report, untrusted text.
    """

    state: CredentialState
    signer: SignerIdentity | None = None
    title: str | None = None
    claim_generator: str | None = None
    manifest_label: str | None = None
    actions: tuple[Action, ...] = ()
    claims: tuple[Claim, ...] = ()
    codes: tuple[ValidationCode, ...] = ()
    ingredients: tuple[IngredientReport, ...] = ()
    soft_bindings: tuple[ReadSoftBinding, ...] = ()
    unique_id: str | None = None
    remote_manifest_url: str | None = None
    problem: str | None = None
    raw_json: str = field(default="", repr=False)

    @property
    def failures(self) -> tuple[ValidationCode, ...]:
        """Failed integrity checks of the file's own credential; trust is told by `state`, not here."""
        return tuple(c for c in self.codes if c.outcome == "failure" and not is_trust_only(c.code))

    @property
    def broken_ingredients(self) -> tuple[IngredientReport, ...]:
        """Ingredients with a recorded integrity failure, which a state of `trusted` does not rule out."""
        return tuple(ingredient for ingredient in self.ingredients if ingredient.failures)
