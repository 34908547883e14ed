"""The redacted edition: what it must not hold, in its data and in its bundle, and that it says so."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from audit.canonical import canonical_json
from audit.reports.bundle import write
from audit.reports.editions import RULES, redact
from audit.reports.signing import DocumentSigner
from tests.audit.reports.made import CUSTOMER, Made

SECRETS = (
    "passwd",  # of the prompt
    "blurry",  # of the negative prompt
    CUSTOMER,
    "acme",
    "a secret term",  # of a check's evidence
    "secret-folder",  # of the reference's source
    "secret-tenant",
)


@pytest.fixture(scope="module")
def redacted_bundle(made: Made, signer: DocumentSigner, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("redacted")
    written = write(made.report, made.proved, made.staging, folder, edition="redacted", signer=signer)
    with zipfile.ZipFile(written.bundle) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("secret", SECRETS)
def test_nothing_that_is_redacted_is_left_in_the_data(made: Made, secret: str) -> None:
    assert secret.encode() not in canonical_json(redact(made.report))


@pytest.mark.parametrize("secret", SECRETS)
def test_nothing_that_is_redacted_is_left_in_the_bundle(redacted_bundle: dict[str, bytes], secret: str) -> None:
    holding = [name for name, data in redacted_bundle.items() if secret.encode() in data]
    assert holding == []


def test_the_document_shows_nothing_that_is_redacted(redacted_bundle: dict[str, bytes], tmp_path: Path) -> None:
    import pypdf

    (tmp_path / "report.pdf").write_bytes(redacted_bundle["report.pdf"])
    text = "".join(page.extract_text() for page in pypdf.PdfReader(tmp_path / "report.pdf").pages).replace("\n", "")
    assert "Redacted edition" in text
    assert [secret for secret in SECRETS if secret in text] == []


def test_bodies_stay_and_private_parts_go(redacted_bundle: dict[str, bytes]) -> None:
    events = [json.loads(data) for name, data in redacted_bundle.items() if name.startswith("events/")]
    assert events
    assert all(event["private"] is None and event["private_salt"] is None for event in events)
    assert all(json.loads(event["body"])["private"] for event in events)


def test_no_disclosure_is_in_the_bundle(redacted_bundle: dict[str, bytes]) -> None:
    assert [name for name in redacted_bundle if name.startswith("disclosures/")] == []


def test_the_redacted_bundle_holds_for_the_verifier(
    redacted_bundle: dict[str, bytes], made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    from audit.reports import verify_bundle

    target = tmp_path / "bundle.zip"
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in redacted_bundle.items():
            archive.writestr(name, data)
    monkeypatch.setattr(sys, "argv", ["verify_bundle.py", str(target), "--log-key", made.report.log.key])
    assert verify_bundle.main() == 0


def test_the_same_person_is_the_same_number_throughout(made: Made) -> None:
    report = redact(made.report)
    assert {act.actor for act in report.human_acts if act.actor} == {"person 1"}
    assert {entry.actor for item in report.items for entry in item.timeline if entry.actor} == {"person 1"}


def test_what_was_left_out_is_counted_with_its_reason(made: Made) -> None:
    redactions = {one.what: one for one in redact(made.report).redactions}
    assert set(redactions) == {what for what, _ in RULES.values()}
    assert redactions["Prompts and negative prompts"].places == 2
    assert redactions[RULES["private"][0]].places == len(made.proved)
    assert all(one.why for one in redactions.values())


def test_digests_verdicts_and_outcomes_stay(made: Made) -> None:
    report = redact(made.report)
    for before, after in zip(made.report.items, report.items, strict=True):
        assert (before.state, before.image_sha256, before.decisions) == (
            after.state,
            after.image_sha256,
            after.decisions,
        )
        assert [verdict.score for verdict in before.verdicts] == [verdict.score for verdict in after.verdicts]


def test_facts_of_an_unknown_kind_are_left_out() -> None:
    from datetime import UTC, datetime

    from audit.reports.content import Fact, TimelineEntry
    from audit.reports.editions import REDACTED, _Editor

    entry = TimelineEntry(
        event_id="1", index=1, time=datetime.now(UTC), kind="future_kind", meaning="?", actor=None,
        facts=(Fact(name="something new", value="Jane Doe"), Fact(name="stage", value="prompt")),
        attestation="operator", path=None,
    )  # fmt: skip
    assert [fact.value for fact in _Editor().entry(entry).facts] == [REDACTED, "prompt"]
