"""Reports from the opened service: what each question answers, from real requests, and that the bundle holds."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pypdf
import pytest
from click.testing import CliRunner
from PIL import Image

from api.cli import main
from api.composition import Imprimatur
from api.errors import InvalidInputError, NotFoundError, RefusedError, ServiceError
from api.generate import GenerationResult, Order
from api.keys import Caller, Role
from api.reports.questions import AboutImage, AboutPeriod, AboutRequest, Period, ReportQuestion
from audit.reports.content import Edition
from audit.reports.schema import schema
from audit.stamping import Stamper, StampTrust
from benchmarks.reports import DrawnPictures
from generator.engine import draws
from generator.request import GenerationRequest
from tests.timestamp_authority import TimestampAuthority

TENANT = "report-tenant"
PERSON = f"{TENANT}/user/jane.doe@example.com"
PROMPT = 'a red apple #panic("x") $x$ Привет 中文'
LISTED_SEED = 900
VERIFIER = "import sys, runpy; sys.argv[:] = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"


@dataclass(frozen=True)
class Told:
    """What happened before the reports: requests of one person of one tenant."""

    began: datetime
    ended: datetime
    released: GenerationResult
    refused: str
    withheld: str
    matched: GenerationResult
    reference: str


@dataclass(frozen=True)
class Answer:
    """A report that was written."""

    data: dict[str, Any]
    files: dict[str, bytes]
    text: str
    bundle: Path


@pytest.fixture(scope="module")
def person() -> Caller:
    return Caller(TENANT, PERSON, frozenset({Role.GENERATE}))


@pytest.fixture(scope="module")
def drawn(services: Imprimatur) -> Iterator[DrawnPictures]:
    """The default model, replaced by pictures drawn at random: reports do not care how pixels came about."""
    card = services.card(None)
    engine = DrawnPictures(card)
    before = services._engines.get(card.id)
    services._engines[card.id] = engine
    yield engine
    del services._engines[card.id]
    if before is not None:
        services._engines[card.id] = before


@pytest.fixture(scope="module")
def told(
    services: Imprimatur,
    drawn: DrawnPictures,
    person: Caller,
    timestamp_authority: TimestampAuthority,
    tmp_path_factory: pytest.TempPathFactory,
) -> Told:
    folder = tmp_path_factory.mktemp("works")
    began = datetime.now(UTC)

    def request(seed: int, prompt: str = PROMPT, **changes: Any) -> GenerationResult:
        wanted = GenerationRequest(prompt=prompt, seed=seed, **changes)
        return services.generation.run(Order(wanted, person, "png"))

    def refused(prompt: str) -> str:
        with pytest.raises(RefusedError) as refusal:
            request(1, prompt)
        assert refusal.value.record_id is not None
        return refusal.value.record_id

    released = request(1, negative_prompt="blurry", count=2)
    trust = StampTrust.load(timestamp_authority.root)
    Stamper(services.database.engine, timestamp_authority.url, trust).stamp(services.log.checkpoint())
    harmful, withheld = refused("a nude woman having sex, explicit porn"), refused("a naked child, sexual")
    wanted = GenerationRequest(prompt=PROMPT, seed=LISTED_SEED).resolve(services.card(None))
    Image.fromarray(np.asarray(drawn.draw(draws(wanted))[0].pixels)).save(folder / "listed.png")
    listed = services.add_references(folder, rights_claim="Example Press", progress=None).added[0]
    try:
        matched = request(LISTED_SEED)
    finally:
        services.withdraw_reference(listed.id, reason="the test has ended")
    return Told(began, datetime.now(UTC), released, harmful, withheld, matched, listed.id)


def ask(services: Imprimatur, question: ReportQuestion, folder: Path, edition: Edition = "full") -> Answer:
    written = services.reports.make(question, services.local_caller(), edition=edition, folder=folder)
    with zipfile.ZipFile(written.bundle) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    assert written.document.read_bytes() == files["report.pdf"]
    text = "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(files["report.pdf"])).pages)
    return Answer(json.loads(files["report.json"]), files, text, written.bundle)


@pytest.fixture(scope="module")
def of_request(services: Imprimatur, told: Told, tmp_path_factory: pytest.TempPathFactory) -> Answer:
    return ask(services, AboutRequest(told.released.images[1].record_id), tmp_path_factory.mktemp("request"))


@pytest.fixture(scope="module")
def of_period(services: Imprimatur, told: Told, tmp_path_factory: pytest.TempPathFactory) -> Answer:
    question = AboutPeriod(Period(told.began, told.ended), TENANT)
    return ask(services, question, tmp_path_factory.mktemp("period"))


def verified(answer: Answer, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What the verifier of the bundle itself says, with the key that the report names."""
    program = answer.bundle.with_name("verify_bundle.py")
    program.write_bytes(answer.files["verify_bundle.py"])
    key = answer.data["log"]["key"]
    command = [sys.executable, "-I", "-c", VERIFIER, str(program), str(answer.bundle), "--log-key", key, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


class TestRequest:
    def test_covers_every_image_of_the_request_whichever_is_named(self, of_request: Answer, told: Told) -> None:
        ids = [item["record_id"] for item in of_request.data["items"]]
        assert ids == [image.record_id for image in told.released.images]
        assert [item["state"] for item in of_request.data["items"]] == ["released", "released"]

    def test_holds_for_the_offline_verifier(self, of_request: Answer, timestamp_authority: TimestampAuthority) -> None:
        done = verified(of_request, "--tsa-ca", str(timestamp_authority.root))
        assert done.returncode == 0, done.stdout + done.stderr
        assert "ok    time stamp" in done.stdout

    def test_keeps_to_its_schema(self, of_request: Answer, of_period: Answer) -> None:
        jsonschema.validate(of_request.data, schema())
        jsonschema.validate(of_period.data, schema())

    def test_the_released_files_are_in_it_with_their_digests(self, of_request: Answer, told: Told) -> None:
        stored = [data for name, data in of_request.files.items() if name.startswith("items/")]
        assert sorted(stored) == sorted(image.data for image in told.released.images if image.data)
        for item in of_request.data["items"]:
            assert item["image_sha256"] in of_request.text.replace("\n", "")

    def test_says_who_asked_for_what_with_which_model_and_seed(self, of_request: Answer, services: Imprimatur) -> None:
        first, second = of_request.data["items"]
        assert first["prompt"]["text"] == PROMPT
        assert first["negative_prompt"]["text"] == "blurry"
        assert first["actor"]["text"] == PERSON
        assert first["model"]["digest"] == services.card(None).digest
        assert first["model"]["card_matches"]
        seeds = [next(one["value"] for one in item["sampling"] if one["name"] == "seed") for item in (first, second)]
        assert seeds == ["1", "2"]

    def test_names_the_build_that_took_the_request(self, of_request: Answer) -> None:
        from api.build import build_name

        assert of_request.data["system"]["builds_recorded"] == [build_name()]

    def test_lists_what_people_did_without_judging_it(self, of_request: Answer) -> None:
        acts = [act["act"] for act in of_request.data["human_acts"] if act["item"] is not None]
        assert acts == ["sent a request", "wrote a prompt", "wrote a negative prompt"]
        assert "author" not in json.dumps(of_request.data["human_acts"]).lower()

    def test_every_finding_is_a_verdict_with_score_and_threshold(
        self, of_request: Answer, services: Imprimatur
    ) -> None:
        item = of_request.data["items"][0]
        recorded: Any = services.log.events(item["record_id"])[-1].fields()["findings"]
        said = [(one["check"], one["score"]) for one in item["verdicts"]]
        assert said == [(one["check"], one["score"]) for one in recorded]
        assert {one["threshold"] is not None for one in item["verdicts"]} == {True}

    def test_checks_stand_with_their_measured_rates(self, of_request: Answer) -> None:
        checks = {check["id"]: check for check in of_request.data["system"]["checks"]}
        rates = checks["image.quality"]["measurement"]["rates"]
        assert {rate["kind"] for rate in rates} == {"false_alarm", "miss"}
        for rate in rates:
            assert 0 <= float(rate["low"]) <= float(rate["rate"]) <= float(rate["high"]) <= 1
            assert rate["sample"] > 0

    def test_credentials_are_read_again_and_their_stores_are_in_it(self, of_request: Answer) -> None:
        for item in of_request.data["items"]:
            credential = item["credential"]
            assert credential["state"] == "valid"
            assert credential["is_recorded_one"]
            assert credential["is_development"]
            assert {"signingCredential.untrusted"} <= {code["code"] for code in credential["codes"]}
            assert b"c2pa" in of_request.files[credential["path"]]
            assert of_request.files[credential["certificates_path"]].startswith(b"-----BEGIN CERTIFICATE")

    def test_what_came_after_the_stamp_is_the_operators_word_only(self, of_request: Answer) -> None:
        log = of_request.data["log"]
        assert log["stamp"]["authority"]
        by_kind = {entry["kind"]: entry for item in of_request.data["items"] for entry in item["timeline"]}
        assert by_kind["released"]["attestation"] == "stamped"
        assert 0 < log["events_stamped"] <= log["events"]
        assert "operator’s word only" in of_request.text or "operator's word only" in of_request.text

    def test_the_policy_in_it_is_the_one_that_decided(self, of_request: Answer) -> None:
        (policy,) = of_request.data["system"]["policies"]
        assert json.loads(of_request.files[policy["path"]])["id"] == policy["id"]

    def test_a_hostile_prompt_is_shown_as_it_stands(self, of_request: Answer) -> None:
        shown = "".join(of_request.text.split())
        assert 'aredapple#panic("x")$x$Привет' in shown

    def test_an_unknown_record_is_not_found(self, services: Imprimatur, told: Told, tmp_path: Path) -> None:
        with pytest.raises(NotFoundError):
            ask(services, AboutRequest(f"rec_{'0' * 32}"), tmp_path)

    def test_that_it_was_made_is_recorded(self, services: Imprimatur, of_request: Answer) -> None:
        made = [event.fields() for event in services.log.recent(200, kind="report_made")]
        assert of_request.data["id"] in {fields["report"] for fields in made}


class TestStopped:
    def test_a_match_stands_beside_the_work_with_the_claim_unverified(
        self, services: Imprimatur, told: Told, tmp_path: Path
    ) -> None:
        answer = ask(services, AboutRequest(told.matched.record_id), tmp_path)
        (item,) = answer.data["items"]
        (match,) = item["matches"]
        assert item["state"] == "refused"
        assert match["reference"] == told.reference
        assert match["rights"] == "claimed by Example Press, unverified"
        assert match["withdrawn"] is not None
        assert answer.files[match["thumbnail"]].startswith(b"\xff\xd8")
        assert answer.files[item["thumbnail"]].startswith(b"\xff\xd8")
        assert item["custody"][0]["role"] == "thumbnail"
        assert float(match["confidence"]) >= float(match["threshold"])
        assert verified(answer).returncode == 0

    def test_the_picture_of_what_was_not_released_is_in_the_full_edition_only(
        self, services: Imprimatur, told: Told, tmp_path: Path
    ) -> None:
        answer = ask(services, AboutRequest(told.matched.record_id), tmp_path, "redacted")
        (item,) = answer.data["items"]
        assert item["thumbnail"] is None
        assert [name for name in answer.files if name.startswith("objects/")] == []

    def test_of_what_was_refused_for_harm_no_picture_is_kept(
        self, services: Imprimatur, told: Told, tmp_path: Path
    ) -> None:
        (item,) = ask(services, AboutRequest(told.refused), tmp_path).data["items"]
        assert item["custody"] == []

    def test_neighbours_below_the_threshold_are_counted_and_not_shown(self, of_request: Answer) -> None:
        for item in of_request.data["items"]:
            nearest = [one for verdict in item["verdicts"] for one in verdict["evidence"] if one["name"] == "nearest"]
            assert item["matches"] == []
            assert item["neighbours_below"] == 0 or nearest

    @pytest.mark.parametrize("edition", ["full", "redacted"])
    def test_withheld_material_is_in_no_edition(
        self, edition: Edition, services: Imprimatur, told: Told, tmp_path: Path
    ) -> None:
        answer = ask(services, AboutRequest(told.withheld), tmp_path, edition)
        (item,) = answer.data["items"]
        assert item["withheld"]
        assert item["prompt"]["text"] is None
        holding = [name for name, data in answer.files.items() if b"naked" in data]
        assert holding == []
        assert "naked" not in answer.text
        own = [entry["path"] for entry in item["timeline"]]
        assert all(json.loads(answer.files[path])["private"] is None for path in own)
        assert verified(answer).returncode == 0


class TestImage:
    def test_the_released_file_leads_to_its_record(self, services: Imprimatur, told: Told, tmp_path: Path) -> None:
        data = told.released.images[0].data
        assert data is not None
        answer = ask(services, AboutImage(data, "found #panic().png"), tmp_path)
        assert answer.data["examination"]["conclusion"] == "issued_here"
        assert [item["record_id"] for item in answer.data["items"]] == [told.released.images[0].record_id]
        assert "byte for byte" in answer.text.replace("\n", " ")
        assert verified(answer).returncode == 0

    def test_a_file_from_elsewhere_is_said_to_lead_nowhere(
        self, services: Imprimatur, told: Told, tmp_path: Path
    ) -> None:
        out = io.BytesIO()
        coarse = np.random.default_rng(77).integers(0, 255, (12, 12, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((400, 300), Image.Resampling.BICUBIC).save(out, "JPEG")
        answer = ask(services, AboutImage(out.getvalue(), "photo.jpg"), tmp_path)
        assert answer.data["items"] == []
        assert answer.data["examination"]["conclusion"] == "inconclusive"
        assert "leads to no record" in answer.text.replace("\n", " ")
        assert verified(answer).returncode == 0

    def test_what_is_no_image_is_refused(self, services: Imprimatur, told: Told, tmp_path: Path) -> None:
        with pytest.raises(InvalidInputError):
            ask(services, AboutImage(b"no image", "x.png"), tmp_path)


class TestPeriod:
    def test_covers_the_tenant_s_records_and_counts_them(self, of_period: Answer) -> None:
        statistics = of_period.data["statistics"]
        images = {one["name"]: one["value"] for one in statistics["images"]}
        assert statistics["requests"] == 4
        assert len(of_period.data["items"]) == 5
        assert (images["released"], images["refused"] + images["quarantined"]) == (2, 3)
        near = {one["name"]: one["value"] for one in statistics["near_duplicates"]}
        assert near["matches at or above the threshold"] == 1
        assert {item["tenant"] for item in of_period.data["items"]} == {TENANT}
        assert verified(of_period).returncode == 0

    def test_policy_incidents_are_what_was_stopped(self, services: Imprimatur, told: Told, tmp_path: Path) -> None:
        question = AboutPeriod(Period(told.began, told.ended), TENANT, only_stopped=True)
        answer = ask(services, question, tmp_path)
        assert {item["record_id"] for item in answer.data["items"]} == {
            told.refused, told.withheld, told.matched.record_id
        }  # fmt: skip
        assert answer.data["question"]["kind"] == "policy_incidents"

    def test_another_tenant_s_period_is_empty(self, services: Imprimatur, told: Told, tmp_path: Path) -> None:
        answer = ask(services, AboutPeriod(Period(told.began, told.ended), "nobody"), tmp_path)
        assert answer.data["items"] == []
        assert PERSON not in json.dumps(answer.data)

    def test_many_items_are_shown_in_short(
        self, services: Imprimatur, told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("audit.reports.typesetting.MOST_ITEMS_AT_LENGTH", 1)
        answer = ask(services, AboutPeriod(Period(told.began, told.ended), TENANT), tmp_path)
        assert "each is shown in short" in answer.text.replace("\n", " ")
        assert all(item["verdicts"] for item in answer.data["items"])

    def test_too_many_records_are_refused(
        self, services: Imprimatur, told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("api.reports.flow.MOST_RECORDS", 2)
        with pytest.raises(InvalidInputError, match="more than 2 records"):
            ask(services, AboutPeriod(Period(told.began, told.ended), TENANT), tmp_path)

    def test_a_period_must_not_end_before_it_begins(self) -> None:
        now = datetime.now(UTC)
        with pytest.raises(InvalidInputError, match="before it begins"):
            Period(now, now - timedelta(seconds=1))


class TestRedacted:
    def test_shows_no_person_prompt_or_tenant(self, services: Imprimatur, told: Told, tmp_path: Path) -> None:
        answer = ask(services, AboutRequest(told.released.record_id), tmp_path, "redacted")
        for secret in (PERSON, "jane.doe", PROMPT[:12], "blurry", TENANT):
            assert [name for name, data in answer.files.items() if secret.encode() in data] == []
            assert secret not in answer.text.replace("\n", "")
        assert answer.data["items"][0]["image_sha256"]
        assert answer.data["redactions"]
        assert verified(answer).returncode == 0


class TestCommand:
    def test_writes_document_and_bundle_and_prints_where(
        self, services: Imprimatur, told: Told, command_environment: Path
    ) -> None:
        arguments = ["audit", "report", "--request", told.released.record_id, "--output", "made", "--json"]
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output
        document = json.loads(result.stdout)
        assert Path(document["document"]).is_file()
        assert Path(document["bundle"]).is_file()
        assert document["log_key"] == str(services.log.public_key)

    @pytest.mark.parametrize(
        "arguments",
        [
            [],
            ["--request", "rec_1", "--policy-incidents"],
            ["--request", "rec_1", "--image", "x.png"],
            ["--tenant", "acme"],
            ["--from", "yesterday"],
            ["--from", "2026-11-02", "--to", "2026-11-01"],
            ["--image", "missing.png"],
            ["--request", "no such record"],
        ],
    )
    def test_a_wrong_question_is_wrong_usage(
        self, arguments: list[str], services: Imprimatur, command_environment: Path
    ) -> None:
        result = CliRunner().invoke(main, ["audit", "report", *arguments, "--json"])
        assert result.exit_code == 2, result.output
        assert json.loads(result.stdout)["error"]["message"]

    def test_times_are_read_as_utc(self) -> None:
        from api.cli.report import _time

        assert _time("2026-11-01", "from") == datetime(2026, 11, 1, tzinfo=UTC)
        assert _time("2026-11-01T09:30", "from") == datetime(2026, 11, 1, 9, 30, tzinfo=UTC)
        assert _time("2026-11-01T09:30:00+01:00", "from") == datetime(2026, 11, 1, 8, 30, tzinfo=UTC)


class TestHoldsAndErasure:
    """Last: it erases the person."""

    def test_holds_and_erasures_are_told_and_proofs_still_hold(
        self, services: Imprimatur, told: Told, tmp_path: Path
    ) -> None:
        operator = services.local_caller()
        hold = services.erasing.place_hold(reason="matter 17", caller=operator, subject=None, tenant=TENANT, records=())
        with pytest.raises(ServiceError):
            services.erasing.erase(PERSON, ground="asked by the person", caller=operator)
        services.erasing.release_hold(hold.id, reason="matter 17 ended", caller=operator)
        services.erasing.erase(PERSON, ground="asked by the person", caller=operator)
        answer = ask(services, AboutRequest(told.released.record_id), tmp_path)
        item = answer.data["items"][0]
        assert item["prompt"]["state"] == "erased"
        assert "asked by the person" in item["prompt"]["erased"]
        assert item["custody"][0]["state"] == "erased"
        kinds = [entry["kind"] for entry in answer.data["administration"]]
        assert {"hold_placed", "hold_released", "erased", "key_destroyed"} <= set(kinds)
        assert item["timeline"][0]["actor"] == "erased"
        assert PROMPT not in json.dumps(answer.data, ensure_ascii=False)
        assert verified(answer).returncode == 0
