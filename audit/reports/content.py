"""What a report says, as frozen values without floats: rates and scores are decimal strings, times RFC 3339 in UTC.

The PDF, the bundle's `report.json` and its schema are made from these. Texts from outside (prompts, manifest claims,
file names) are kept here exactly as they were; whoever shows them makes them harmless.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from audit.canonical import time_string
from audit.records import Doc

FORMAT = "imprimatur-report/1"

Edition = Literal["full", "redacted"]
Attestation = Literal["stamped", "operator", "none"]


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One named value."""

    name: str
    value: str


@dataclass(frozen=True, kw_only=True)
class Question:
    """What was asked, and how far the answer reaches."""

    kind: Annotated[Literal["request", "image", "period", "policy_incidents"], Doc("Which question.")]
    text: Annotated[str, Doc("The question in words.")]
    record_id: Annotated[str | None, Doc("Record that was asked about.")] = None
    image_sha256: Annotated[str | None, Doc("SHA-256 of the file that was asked about, hexadecimal.")] = None
    image_name: Annotated[str | None, Doc("Name under which that file was handed in.")] = None
    since: Annotated[datetime | None, Doc("Start of the period, inclusive.")] = None
    until: Annotated[datetime | None, Doc("End of the period, exclusive.")] = None
    tenant: Annotated[str | None, Doc("Only this tenant.")] = None


@dataclass(frozen=True, kw_only=True)
class Rate:
    """One measured error rate with its 95 % interval."""

    kind: Annotated[
        Literal["false_alarm", "miss"],
        Doc(
            "`false_alarm`: harmless material that the check raised; `miss`: material that it should raise and did not."
        ),
    ]
    category: Annotated[str | None, Doc("Category of finding; null: any.")]
    population: Annotated[str, Doc("What it was measured on.")]
    sample: Annotated[int, Doc("Size of the sample.")]
    rate: Annotated[str, Doc("Share from 0 to 1.")]
    low: Annotated[str, Doc("Lower end of the interval.")]
    high: Annotated[str, Doc("Upper end of the interval.")]


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """How often a version of a check errs, as a committed benchmark measured it."""

    measured_on: Annotated[str, Doc("Date.")]
    command: Annotated[str, Doc("Command that measures it again.")]
    machine: Annotated[str, Doc("Where it ran.")]
    table: Annotated[str, Doc("Committed table with everything that was measured.")]
    rates: tuple[Rate, ...]


@dataclass(frozen=True, kw_only=True)
class CheckStatement:
    """A check that gave findings in this report, or that is in force."""

    id: str
    version: str
    model_digest: Annotated[str | None, Doc("Of the weights that gave the findings; null: the check has none.")]
    stage: Annotated[str, Doc("`prompt` or `image`.")]
    summary: Annotated[str, Doc("What it does, in its own words.")]
    measured_on: Annotated[str, Doc("Material of the measurement, in its own words.")]
    measured_in: Annotated[str, Doc("Committed table, or test, that holds it to that.")]
    measurement: Annotated[Measurement | None, Doc("Null: no rates were measured for this version.")] = None


@dataclass(frozen=True, kw_only=True)
class ModelStatement:
    """A model that made an image of this report."""

    id: str
    digest: Annotated[str | None, Doc("Over weights, configuration and scheduler.")]
    engine: str | None
    licence: str | None = None
    training_data: Annotated[str | None, Doc("Statement of the model's card.")] = None
    card_matches: Annotated[bool, Doc("Whether the card at hand has the digest that was recorded.")] = False


@dataclass(frozen=True, kw_only=True)
class PolicyStatement:
    """A policy that decided in this report."""

    id: str
    version: str
    digest: Annotated[str, Doc("SHA-256 of its canonical content.")]
    title: str | None = None
    path: Annotated[str | None, Doc("Its content in the bundle; null: not at hand.")] = None


@dataclass(frozen=True, kw_only=True)
class Build:
    """The program."""

    name: str
    version: str
    commit: Annotated[str | None, Doc("Version control's name of the source; null: unknown.")]
    source_digest: Annotated[str, Doc("SHA-256 over the installed source files.")]
    python: str
    packages: Annotated[tuple[Fact, ...], Doc("Packages that it depends on, with their versions.")]


@dataclass(frozen=True, kw_only=True)
class System:
    """How the system works and how well it was measured to."""

    provider: str
    build: Annotated[Build, Doc("The program that made this report.")]
    builds_recorded: Annotated[tuple[str, ...], Doc("Builds that the events of the items name.")]
    checks: tuple[CheckStatement, ...]
    models: tuple[ModelStatement, ...]
    policies: tuple[PolicyStatement, ...]


@dataclass(frozen=True, kw_only=True)
class PersonalText:
    """Personal data that the log commits to."""

    state: Annotated[Literal["shown", "erased", "redacted"], Doc("Why `text` is there or not.")]
    commitment: Annotated[str, Doc("What the event commits to, hexadecimal.")]
    text: str | None = None
    path: Annotated[str | None, Doc("Text with its salt in the bundle, to check it against the commitment.")] = None
    erased: Annotated[str | None, Doc("When and on which ground, as the event says.")] = None


@dataclass(frozen=True, kw_only=True)
class TimelineEntry:
    """One event, in words."""

    event_id: str
    index: Annotated[int | None, Doc("Leaf in the ledger.")]
    time: Annotated[datetime, Doc("By the operator's clock.")]
    kind: str
    meaning: Annotated[str, Doc("What events of this kind say.")]
    actor: Annotated[str | None, Doc("Who acted, as far as the event names somebody.")]
    facts: tuple[Fact, ...]
    attestation: Annotated[
        Attestation,
        Doc("`stamped`: within a checkpoint that a third party stamped; `operator`: the operator's word only."),
    ]
    path: Annotated[str | None, Doc("The event with its proof in the bundle.")]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What one check said."""

    event_id: str
    position: Annotated[int, Doc("Place among the event's findings, from 0.")]
    check: str
    version: str
    category: str
    outcome: str
    score: str | None
    threshold: str | None
    model_digest: str | None
    evidence: Annotated[tuple[Fact, ...], Doc("What the check points to.")] = ()


@dataclass(frozen=True, kw_only=True)
class DecisionStatement:
    """What a policy made of the findings."""

    event_id: str
    stage: str
    outcome: str
    policy_id: str
    policy_version: str
    policy_digest: str
    reasons: Annotated[tuple[str, ...], Doc("Category, check and action of each ground.")]


@dataclass(frozen=True, kw_only=True)
class Match:
    """A listed work at or above the threshold. Rights are claimed by somebody; nobody here judged the claim."""

    event_id: str
    reference: str
    rights: Annotated[str, Doc("The claim as it was handed in.")]
    source: Annotated[str | None, Doc("File from which the work was listed.")]
    sha256: Annotated[str | None, Doc("Of that file, hexadecimal.")]
    width: int | None
    height: int | None
    distance: Annotated[str | None, Doc("Of the perceptual hashes, bits out of 256.")]
    confidence: str | None
    threshold: str | None
    snapshot: Annotated[str | None, Doc("State of the index that was searched.")]
    method: str | None
    withdrawn: Annotated[str | None, Doc("When the work was taken out of the index; null: it is listed.")]
    thumbnail: Annotated[str | None, Doc("Small picture of the work in the bundle.")] = None


@dataclass(frozen=True, kw_only=True)
class CredentialCode:
    """One result of validation."""

    code: str
    outcome: str
    explanation: str
    times: Annotated[int, Doc("How often validation gave it, for different parts of the manifest store.")]


@dataclass(frozen=True, kw_only=True)
class CredentialStatement:
    """The content credential (C2PA) of a file, read again when the report was made."""

    manifest: Annotated[str | None, Doc("Label of the active manifest.")]
    digest: Annotated[str | None, Doc("SHA-256 of the manifest store as it was recorded, hexadecimal.")]
    signer_certificate: Annotated[str | None, Doc("SHA-256 of the signing certificate as recorded, hexadecimal.")]
    state: Annotated[str, Doc("`trusted`, `valid`, `invalid`, `none`, or `not read`.")]
    is_recorded_one: Annotated[bool | None, Doc("Whether the file holds the manifest that the event names.")]
    signer: str | None
    issuer: str | None
    signed_at: Annotated[datetime | None, Doc("Of the time stamp in the credential; null: it has none.")]
    is_development: Annotated[bool, Doc("Whether the certificate is a development one that identifies nobody.")]
    claims: tuple[str, ...] = ()
    codes: tuple[CredentialCode, ...] = ()
    path: Annotated[str | None, Doc("Manifest store in the bundle.")] = None
    certificates_path: Annotated[str | None, Doc("Chain of the signing certificate in the bundle.")] = None


@dataclass(frozen=True, kw_only=True)
class CustodyEntry:
    """One stored object, looked at when the report was made."""

    role: str
    sha256: str
    size: int
    state: Annotated[str, Doc("`present, digest checked`, `erased`, `missing`, ...")]
    path: Annotated[str | None, Doc("The object in the bundle.")] = None
    thumbnail: Annotated[str | None, Doc("Small picture of it in the bundle.")] = None


@dataclass(frozen=True, kw_only=True)
class InputStatement:
    """A picture that came with a request; not kept, but its thumbnail may be in the released file's credential."""

    role: str
    sha256: str
    media_type: str | None
    size: int | None


@dataclass(frozen=True, kw_only=True)
class HumanAct:
    """Something that a person did; whether it is authorship is not judged."""

    time: datetime
    item: Annotated[int | None, Doc("Item by its number; null: it concerns none alone.")]
    actor: str | None
    act: str
    detail: str | None
    kind: Annotated[str, Doc("Of the event that says so.")]
    event_id: str


@dataclass(frozen=True, kw_only=True)
class Item:
    """One record: an attempt at one image."""

    number: int
    record_id: str
    parent_id: Annotated[str, Doc("First record of the same request.")]
    tenant: str
    state: str
    created_at: datetime
    withheld: Annotated[str | None, Doc("Why no content of this item is shown; null: it is.")] = None
    image_sha256: Annotated[str | None, Doc("Of the released file, hexadecimal.")] = None
    media_type: str | None = None
    width: int | None = None
    height: int | None = None
    origin: Annotated[str | None, Doc("`created` or `altered`.")] = None
    fingerprint: Annotated[str | None, Doc("ISCC Image-Code of the pixels.")] = None
    thumbnail: Annotated[str | None, Doc("Small picture in the bundle.")] = None
    task: str | None = None
    inputs: tuple[InputStatement, ...] = ()
    model: ModelStatement | None = None
    sampling: Annotated[tuple[Fact, ...], Doc("How the model was run.")] = ()
    prompt: PersonalText | None = None
    negative_prompt: PersonalText | None = None
    actor: PersonalText | None = None
    watermark: tuple[Fact, ...] = ()
    decisions: tuple[DecisionStatement, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    matches: tuple[Match, ...] = ()
    neighbours_below: Annotated[int, Doc("Neighbours in the index below the threshold, not shown.")] = 0
    credential: CredentialStatement | None = None
    custody: tuple[CustodyEntry, ...] = ()
    timeline: tuple[TimelineEntry, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Examination:
    """What the verification of a file that was handed in says."""

    sha256: str
    format: str
    width: int
    height: int
    conclusion: str
    conclusions: tuple[str, ...]
    evidence: Annotated[tuple[Fact, ...], Doc("Technique and status; what it shows.")]
    limits: tuple[str, ...]
    credential: CredentialStatement | None
    thumbnail: str | None = None


@dataclass(frozen=True, kw_only=True)
class SignedCheckpoint:
    """A state of the ledger that its key signed."""

    size: int
    root: Annotated[str, Doc("Hexadecimal.")]
    path: Annotated[str, Doc("The signed note in the bundle.")]


@dataclass(frozen=True, kw_only=True)
class StampStatement:
    """A third party's time stamp (RFC 3161) on a checkpoint."""

    checkpoint: SignedCheckpoint
    time: datetime
    authority: str
    path: Annotated[str, Doc("The time stamp in the bundle.")]


@dataclass(frozen=True, kw_only=True)
class LogStatement:
    """The ledger at the time of the report."""

    origin: str
    key: Annotated[str, Doc("Public key; a reader must have it from elsewhere to rely on it.")]
    newest: SignedCheckpoint | None
    stamp: Annotated[StampStatement | None, Doc("The newest checkpoint that a third party stamped.")]
    consistency: Annotated[str | None, Doc("Proof in the bundle that the newest extends the stamped one.")]
    events: Annotated[int, Doc("Events in this report.")]
    events_stamped: Annotated[int, Doc("Of which a stamped checkpoint covers.")]


@dataclass(frozen=True, kw_only=True)
class Count:
    """A number of things of one name."""

    name: str
    value: int


@dataclass(frozen=True, kw_only=True)
class Series:
    """Counts in equal steps of time."""

    name: str
    values: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class GroupShare:
    """How often requests of one group were refused or held."""

    group: Annotated[str, Doc("`tenant`, `model`, `task`, `language`.")]
    name: str
    requests: int
    stopped: Annotated[int, Doc("Refused or held.")]
    share: str
    low: Annotated[str, Doc("Lower end of the 95 % interval (Wilson).")]
    high: Annotated[str, Doc("Upper end of the 95 % interval (Wilson).")]


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """What happened over the period."""

    since: datetime
    until: datetime
    step: Annotated[Literal["hour", "day", "week", "month"], Doc("Of the series.")]
    starts: Annotated[tuple[str, ...], Doc("Start of each step.")]
    requests: int
    images: Annotated[tuple[Count, ...], Doc("Images by what became of them.")]
    series: tuple[Series, ...]
    refusals: Annotated[tuple[Count, ...], Doc("Refusals by stage and category.")]
    reviews: Annotated[tuple[Count, ...], Doc("Held, and what reviewers decided.")]
    near_duplicates: Annotated[tuple[Count, ...], Doc("Searches in the index, and matches at or above the threshold.")]
    detector: Annotated[tuple[Count, ...], Doc("Findings by check, category and outcome.")]
    verifications: Annotated[tuple[Count, ...], Doc("Verifications by headline.")]
    incidents: Annotated[tuple[Count, ...], Doc("Failures, abandoned attempts, rejected inputs.")]
    groups: Annotated[tuple[GroupShare, ...], Doc("Shares of stopped requests by group; differences are not adjusted.")]


@dataclass(frozen=True, kw_only=True)
class Redaction:
    """One kind of content that the redacted edition leaves out."""

    what: str
    why: str
    places: int


@dataclass(frozen=True, kw_only=True)
class BundleFile:
    """One file of the bundle."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, kw_only=True)
class TrustStatement:
    """The trust list by which credentials were judged."""

    name: str
    sha256: str
    anchors: int
    as_of: str
    path: str | None = None


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that the document says."""

    format: str = FORMAT
    id: str
    made_at: datetime
    edition: Edition
    question: Question
    answer: Annotated[tuple[str, ...], Doc("What was found, in sentences that state facts.")]
    system: System
    examination: Annotated[Examination | None, Doc("Of the file that was asked about.")] = None
    items: tuple[Item, ...] = ()
    administration: Annotated[tuple[TimelineEntry, ...], Doc("Acts that belong to no item alone.")] = ()
    human_acts: tuple[HumanAct, ...] = ()
    statistics: Statistics | None = None
    log: LogStatement
    trust: TrustStatement
    redactions: tuple[Redaction, ...] = ()
    limits: tuple[str, ...]
    files: Annotated[tuple[BundleFile, ...], Doc("Every file of the bundle but `report.json` and `report.pdf`.")] = ()


def plain(value: Any) -> Any:
    """A report, or a part of one, as plain JSON: mappings by the fields' names, lists, texts, integers."""
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, tuple | list):
        return [plain(one) for one in value]
    if isinstance(value, datetime):
        return time_string(value)
    return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
