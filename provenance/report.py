"""What was found in a file's credential: frozen values, every text already made printable."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from provenance.validation_codes import is_certificate_matter, is_trust_only

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


Revocation = Literal["not_asked", "not_revoked", "revoked", "unknown"]


@dataclass(frozen=True)
class SignerIdentity:
    """Who signed, as the certificate says.

    time: the time stamp's, None where there is none; `time_is_trusted` where the stamp's authority is on the list of
    trusted ones: otherwise it is anybody's word. valid_from, valid_to: the certificate's own. valid_at_signing: None
    where nothing was found out. revocation: what a status inside the file says; nobody is asked online.
    """

    name: str
    issuer: str
    serial: str
    algorithm: str
    time: datetime | None
    time_is_trusted: bool = False
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    valid_at_signing: bool | None = None
    revocation: Revocation = "not_asked"


@dataclass(frozen=True)
class TrustUsed:
    """The trust list that the state rests on."""

    name: str
    dated: str
    digest: str


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
    """One ingredient anywhere in the store, with every integrity failure: recorded when it was included, or found now.

    Trust-only codes are no failures. `manifest_label` names the manifest that lists the ingredient, `own_manifest`
    the ingredient's own, where the store has it. `signer`: who signed that one. depth: 1 for what the file itself
    lists. `children` are the ingredients of its own manifest.
    """

    title: str
    relationship: str
    manifest_label: str
    failures: tuple[ValidationCode, ...]
    own_manifest: str | None = None
    signer: str | None = None
    depth: int = 0
    children: tuple[IngredientReport, ...] = ()


@dataclass(frozen=True)
class CredentialReport:
    """Result of reading a file's credential.

    state: `none` (no credential in the file), `invalid` (an integrity check fails, or it cannot be read),
    `valid` (intact, but the signer is not on the trust list, or the certificate was not in order), `trusted` (intact,
    signer on the trust list, inside validity).
    claims: what the chain of intact manifests declares; a conclusion only where the state is `trusted`.
    ingredients: every ingredient of every manifest in the store; `tree` holds those that the file leads to, nested.
    trust: the list that was used. trusted_for_tests_only: the trust rests on an anchor that is labelled so.
    unique_id: the record id in a manifest of our own making; anyone can write one, so check it against the record.
    content_manifest: the manifest that describes the content; update manifests before it only add to it.
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
    tree: tuple[IngredientReport, ...] = ()
    tree_is_cut: bool = False
    soft_bindings: tuple[ReadSoftBinding, ...] = ()
    content_manifest: str | None = None
    trust: TrustUsed | None = None
    trusted_for_tests_only: bool = False
    unique_id: str | None = None
    remote_manifest_url: str | None = None
    problem: str | None = None
    raw_json: str = field(default="", repr=False)

    @property
    def failures(self) -> tuple[ValidationCode, ...]:
        """Failed integrity checks of the file's own credential; trust is told by `state`, not here."""
        return tuple(
            c
            for c in self.codes
            if c.outcome == "failure" and not is_trust_only(c.code) and not is_certificate_matter(c.code)
        )

    @property
    def certificate_problems(self) -> tuple[ValidationCode, ...]:
        """What was wrong with the certificate when it signed; such a signer counts for nothing."""
        return tuple(c for c in self.codes if c.outcome == "failure" and is_certificate_matter(c.code))

    @property
    def broken_ingredients(self) -> tuple[IngredientReport, ...]:
        """Ingredients with an integrity failure, which a state of `trusted` does not rule out."""
        return tuple(ingredient for ingredient in self.ingredients if ingredient.failures)
