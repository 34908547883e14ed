"""The flow of a generation: what leaves, what does not, and what the log says in each case."""

from __future__ import annotations

import hashlib
import io
import json
import resource
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

from api.composition import Imprimatur
from api.errors import (
    AttemptLostError,
    BusyError,
    GenerationFailedError,
    IdempotencyConflictError,
    InvalidInputError,
    RefusedError,
    UnavailableError,
)
from api.generate import GenerationResult, Order, Step
from api.keys import Caller, Role
from api.settings import Settings
from audit import receipt as receipts
from generator.engine import Draw, draws
from generator.image import GeneratedImage
from generator.request import ResolvedRequest
from safety.policy import DecisionOutcome, Policy


def _kinds(services: Imprimatur, record_id: str) -> list[str]:
    return [event.kind for event in services.log.events(record_id)]


def _with(order: Order, **changes: Any) -> Order:
    return replace(order, request=replace(order.request, **changes))


class FixedEngine:
    """Stands in for a model whose output the test must choose."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self._pixels = pixels

    def generate(
        self, request: ResolvedRequest, progress: Callable[[int, int], None] | None = None
    ) -> list[GeneratedImage]:
        """The chosen pixels, whatever is asked."""
        return self.draw(draws(request), progress)

    def draw(self, batch: Sequence[Draw], progress: Callable[[int, int], None] | None = None) -> list[GeneratedImage]:
        """The chosen pixels, whatever is asked."""
        height, width = self._pixels.shape[:2]
        return [
            GeneratedImage(
                pixels=self._pixels, seed=draw.seed, index=index, model=draw.request.model, model_digest="0" * 64,
                width=width, height=height, steps=1, guidance=1.0, scheduler="none", batch_size=len(batch), threads=1,
                device="cpu", dtype="float32", elapsed_s=0.0,
            )
            for index, draw in enumerate(batch)
        ]  # fmt: skip

    def close(self) -> None:
        """Nothing to give back."""


@pytest.fixture
def output_is(services: Imprimatur, monkeypatch: pytest.MonkeyPatch) -> Callable[[NDArray[np.uint8]], None]:
    """Make the service's model give these pixels."""

    def choose(pixels: NDArray[np.uint8]) -> None:
        monkeypatch.setattr(services, "engine", lambda _model: FixedEngine(pixels))

    return choose


class TestRelease:
    def test_an_image_leaves_with_a_receipt_that_holds_for_its_bytes(self, services: Imprimatur, order: Order) -> None:
        image = services.generation.run(order).images[0]
        assert image.outcome is DecisionOutcome.RELEASE
        assert image.data is not None
        assert image.receipt is not None
        receipts.check_image(image.receipt, image.data)
        checked = receipts.check_against_log(image.receipt, services.log)
        assert checked.record_id == image.record_id

    def test_the_record_joins_prompt_model_verdicts_mark_and_credential(
        self, services: Imprimatur, order: Order, caller: Caller
    ) -> None:
        image = services.generation.run(order).images[0]
        assert image.data is not None
        record = services.results.record(image.record_id, caller)
        assert record["prompt"]["prompt"] == order.request.prompt
        assert [event["kind"] for event in record["events"]] == ["received", "released"]
        fields = record["events"][-1]["fields"]
        assert fields["image_sha256"] == hashlib.sha256(image.data).hexdigest()
        assert fields["model"]["digest"] == services.card("emblem").digest
        assert fields["policy"]["digest"] == services.policy.digest
        assert {finding["check"] for finding in fields["findings"]} >= {
            *services.policy.required_checks(services.checks.prompt[0].declaration.stage),
            *services.policy.required_checks(services.checks.image[0].declaration.stage),
        }
        assert fields["nearest_reference"]["snapshot"]
        assert fields["watermark"]["payload"].endswith(image.record_id.removeprefix("rec_")[:14])
        assert fields["credential"]["manifest"]
        assert fields["sampling"]["seed"] == str(order.request.seed)

    def test_the_prompt_is_in_the_vault_and_in_no_event(self, services: Imprimatur, order: Order) -> None:
        marked = _with(order, prompt="a red apple beside a zebra called Quillfeather")
        record_id = services.generation.run(marked).record_id
        for event in services.log.events(record_id):
            assert b"Quillfeather" not in event.body + event.private

    @pytest.mark.parametrize("image_format", ["png", "jpeg", "webp"])
    def test_the_pixels_that_were_examined_are_the_pixels_that_ship(
        self, services: Imprimatur, order: Order, image_format: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        examined: list[NDArray[np.uint8]] = []
        examine = type(services.checks.image[0]).examine

        def watched(check: object, pixels: NDArray[np.uint8]) -> object:
            examined.append(pixels)
            return examine(check, pixels)  # type: ignore[arg-type]

        monkeypatch.setattr(type(services.checks.image[0]), "examine", watched)
        image = services.generation.run(replace(order, image_format=image_format)).images[0]
        assert image.data is not None
        with Image.open(io.BytesIO(image.data)) as shipped:
            assert np.array_equal(np.asarray(shipped.convert("RGB")), examined[0])

    def test_equal_seeds_give_equal_pictures_before_the_record_marks_them(
        self, services: Imprimatur, order: Order
    ) -> None:
        engine = services.engine("emblem")
        request = order.request.resolve(services.card("emblem"))
        first, second = engine.generate(request)[0].pixels, engine.generate(request)[0].pixels
        assert np.array_equal(first, second)

    def test_every_image_of_a_request_has_a_record_of_its_own_under_one_parent(
        self, services: Imprimatur, order: Order
    ) -> None:
        result = services.generation.run(_with(order, count=2))
        assert len({image.record_id for image in result.images}) == 2
        assert [image.seed for image in result.images] == [11, 12]
        assert {services.records.get(image.record_id).parent_id for image in result.images} == {result.record_id}

    def test_steps_are_told_in_their_order(self, services: Imprimatur, order: Order) -> None:
        seen: list[Step] = []
        services.generation.run(order, observe=seen.append)
        assert seen == [step for step in Step if step is not Step.INPUTS_EXAMINED]


class TestRefusal:
    def test_a_refused_prompt_gives_a_typed_error_without_scores_and_a_record(
        self, services: Imprimatur, order: Order
    ) -> None:
        harmful = _with(order, prompt="a nude woman having sex, explicit porn")
        with pytest.raises(RefusedError) as refusal:
            services.generation.run(harmful)
        error = refusal.value
        assert error.stage == "prompt"
        assert error.categories
        assert "score" not in json.dumps(error.to_document())
        assert error.record_id is not None
        assert _kinds(services, error.record_id) == ["received", "refused"]
        assert services.records.get(error.record_id).state == "refused"

    def test_a_blank_output_does_not_ship(
        self, services: Imprimatur, order: Order, output_is: Callable[[NDArray[np.uint8]], None]
    ) -> None:
        output_is(np.zeros((512, 512, 3), np.uint8))
        result = services.generation.run(order)
        assert result.outcome is DecisionOutcome.REFUSE
        assert result.images[0].data is None
        assert _kinds(services, result.record_id) == ["received", "refused"]

    def test_what_carries_no_mark_is_refused(
        self, services: Imprimatur, order: Order, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(services.marking, "embed", lambda pixels, _record: pixels)
        result = services.generation.run(order)
        assert result.outcome is DecisionOutcome.REFUSE
        assert result.images[0].decision["categories"] == ["unmarked"]
        assert result.images[0].data is None

    def test_a_policy_may_let_it_go_with_the_credential_only(
        self, services: Imprimatur, order: Order, caller: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lenient = Policy.from_yaml(
            files("safety")
            .joinpath("policies", "default.yaml")
            .read_text("utf-8")
            .replace("unmarked:    {action: refuse}", "unmarked: {action: annotate}")
        )
        monkeypatch.setattr(services.policies, "of", lambda _tenant: lenient)
        monkeypatch.setattr(services.marking, "embed", lambda pixels, _record: pixels)
        image = services.generation.run(order).images[0]
        assert image.outcome is DecisionOutcome.RELEASE
        assert image.data is not None
        fields = services.results.record(image.record_id, caller)["events"][-1]["fields"]
        assert fields["watermark"] is None
        assert {f["category"] for f in fields["findings"] if f["outcome"] == "block"} == {"unmarked"}
        credential = services.publisher.read(image.data, "image/png")
        assert credential.state == "valid"
        assert [binding.alg for binding in credential.soft_bindings] == ["io.iscc.v0"]

    def test_a_copy_of_a_listed_work_is_refused_with_the_work_in_the_record(
        self,
        services: Imprimatur,
        order: Order,
        output_is: Callable[[NDArray[np.uint8]], None],
        tmp_path: Path,
    ) -> None:
        rng = np.random.default_rng(5)
        coarse = rng.integers(30, 226, (12, 12, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((512, 512), Image.Resampling.BICUBIC)
        picture.save(tmp_path / "work.png")
        report = services.add_references(tmp_path, rights_claim="a test", progress=None)
        assert len(report.added) == 1
        output_is(np.asarray(picture))
        result = services.generation.run(order)
        services.withdraw_reference(report.added[0].id, reason="the test has ended")
        assert result.outcome is DecisionOutcome.REFUSE
        assert result.images[0].data is None
        event = services.log.events(result.record_id)[-1]
        assert report.added[0].id in event.private.decode()


class TestInvalidRequests:
    @pytest.mark.parametrize(
        ("changes", "parameter"),
        [
            ({"prompt": "   "}, "prompt"),
            ({"prompt": "x" * 5000}, "prompt"),
            ({"prompt": "a\x00b"}, "prompt"),
            ({"prompt": "\ud800"}, "prompt"),
            ({"width": 300, "height": 300}, "size"),
            ({"model": "nobody/nothing"}, "model"),
            ({"steps": 0}, "steps"),
            ({"guidance": float("nan")}, "guidance"),
            ({"count": 11}, "count"),
            ({"seed": -1}, "seed"),
            ({"task": "style-transfer"}, "task"),
        ],
    )
    def test_are_rejected_by_name_and_logged_without_an_attempt(
        self, services: Imprimatur, order: Order, changes: dict[str, Any], parameter: str
    ) -> None:
        before = services.records.newest(tenant=None, limit=1)
        with pytest.raises(InvalidInputError) as rejection:
            services.generation.run(_with(order, **changes))
        assert rejection.value.parameter == parameter
        assert services.records.newest(tenant=None, limit=1) == before
        event = services.log.recent(1)[0]
        assert event.kind == "rejected"
        assert event.fields()["parameter"] == parameter


class TestFailure:
    def test_a_signer_that_fails_lets_nothing_leave_and_the_log_says_why(
        self, services: Imprimatur, order: Order, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(_self: object, _data: bytes) -> bytes:
            raise OSError("the key service does not answer")

        monkeypatch.setattr(type(services.publisher.keys.current()), "sign", away)
        with pytest.raises(GenerationFailedError, match="key service does not answer") as failure:
            services.generation.run(order)
        assert failure.value.step == "provenance"
        assert failure.value.record_id is not None
        event = services.log.events(failure.value.record_id)[-1]
        assert event.kind == "failed"
        assert "key service does not answer" in str(event.fields()["message"])

    def test_a_full_disk_lets_nothing_leave(self, services: Imprimatur, order: Order) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

        def fill(step: Step) -> None:
            if step is Step.SIGNED:  # the kernel refuses to write more than so many bytes to a file
                resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))

        try:
            with pytest.raises(GenerationFailedError, match="full") as failure:
                services.generation.run(order, observe=fill)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert failure.value.step == "storage"
        assert failure.value.record_id is not None
        assert _kinds(services, failure.value.record_id) == ["received", "failed"]

    def test_a_check_that_cannot_run_fails_closed(
        self, services: Imprimatur, order: Order, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(_self: object, _pixels: object) -> None:
            raise RuntimeError("no such tensor")

        monkeypatch.setattr(type(services.checks.image[0]), "examine", broken)
        with pytest.raises(GenerationFailedError, match="no such tensor") as failure:
            services.generation.run(order)
        assert failure.value.step == "check"

    def test_a_cancelled_request_is_closed_as_failed(self, services: Imprimatur, order: Order) -> None:
        from generator.errors import GenerationCancelledError

        def cancel(_done: int, _total: int) -> None:
            raise GenerationCancelledError("the caller has gone")

        with pytest.raises(GenerationFailedError) as failure:
            services.generation.run(order, progress=cancel)
        assert failure.value.record_id is not None
        assert _kinds(services, failure.value.record_id) == ["received", "failed"]
        assert services.generation.run(order).outcome is DecisionOutcome.RELEASE

    def test_a_database_that_goes_away_lets_nothing_leave_and_the_attempt_is_abandoned_later(
        self, services: Imprimatur, order: Order, postgres_url: str, settings: Settings
    ) -> None:
        assert settings.database_url is not None
        name = make_url(settings.database_url.get_secret_value()).database
        server = create_engine(postgres_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)

        def cut_off(step: Step) -> None:
            if step is not Step.GENERATED:
                return
            with server.connect() as connection:
                connection.execute(text(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false"))
                kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
                connection.execute(text(kill), {"name": name})

        before = {record.record_id for record in services.records.newest(tenant=None, limit=1000)}
        try:
            with pytest.raises((UnavailableError, GenerationFailedError)):
                services.generation.run(order, observe=cut_off)
        finally:
            with server.connect() as connection:
                connection.execute(text(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true"))
        (opened,) = [
            record for record in services.records.newest(tenant=None, limit=1000) if record.record_id not in before
        ]
        assert opened.state == "open"
        threading.Event().wait(settings.lease_s + 0.5)
        assert opened.record_id in services.close_abandoned()
        assert _kinds(services, opened.record_id) == ["received", "abandoned"]


class TestLeases:
    def test_a_live_attempt_outlives_its_lease_time_and_other_processes_leave_it_alone(
        self, services: Imprimatur, settings: Settings, order: Order
    ) -> None:
        waiting, go_on = threading.Event(), threading.Event()
        results: list[GenerationResult] = []

        def pause(step: Step) -> None:
            if step is Step.GENERATED:
                waiting.set()
                assert go_on.wait(30)

        thread = threading.Thread(target=lambda: results.append(services.generation.run(order, observe=pause)))
        thread.start()
        assert waiting.wait(60)
        threading.Event().wait(settings.lease_s * 2)
        with Imprimatur(settings) as other:  # closes what is abandoned when it opens
            assert other.close_abandoned() == []
        go_on.set()
        thread.join()
        assert results[0].outcome is DecisionOutcome.RELEASE

    def test_an_attempt_that_lost_its_lease_cannot_release(
        self, services: Imprimatur, settings: Settings, order: Order, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(services.records, "_extend", lambda _ids: None)  # a process that was stopped
        closed: list[str] = []

        def lose(step: Step) -> None:
            if step is Step.STORED:
                threading.Event().wait(settings.lease_s + 0.5)
                closed.extend(services.close_abandoned())

        with pytest.raises(AttemptLostError):
            services.generation.run(order, observe=lose)
        assert len(closed) == 1
        assert _kinds(services, closed[0]) == ["received", "abandoned"]


class TestIdempotency:
    def test_a_repeated_request_gets_the_same_result_and_no_second_record(
        self, services: Imprimatur, order: Order
    ) -> None:
        keyed = replace(order, idempotency_key="one")
        first, second = services.generation.run(keyed).images[0], services.generation.run(keyed).images[0]
        assert (second.record_id, second.data, second.seed) == (first.record_id, first.data, first.seed)
        assert [f["check"] for f in second.findings] == [f["check"] for f in first.findings]
        assert second.decision == first.decision
        assert _kinds(services, first.record_id) == ["received", "released"]

    def test_a_key_for_another_request_conflicts(self, services: Imprimatur, order: Order) -> None:
        services.generation.run(replace(order, idempotency_key="two"))
        with pytest.raises(IdempotencyConflictError):
            services.generation.run(replace(_with(order, seed=99), idempotency_key="two"))

    def test_a_failed_request_may_be_tried_again(
        self, services: Imprimatur, order: Order, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keyed = replace(order, idempotency_key="three")
        with monkeypatch.context() as broken:
            broken.setattr(services.marking, "embed", lambda _pixels, _record: 1 / 0)
            with pytest.raises(GenerationFailedError):
                services.generation.run(keyed)
        assert services.generation.run(keyed).outcome is DecisionOutcome.RELEASE


class TestLoad:
    def test_more_requests_than_places_are_told_busy_and_the_others_are_served(
        self, services: Imprimatur, settings: Settings, order: Order
    ) -> None:
        outcomes: list[object] = []
        start = threading.Barrier(settings.queue_length + 2)

        def ask() -> None:
            start.wait()
            try:
                outcomes.append(services.generation.run(order).outcome)
            except BusyError as error:
                outcomes.append(error.retry_after_s)

        threads = [threading.Thread(target=ask) for _ in range(settings.queue_length + 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert outcomes.count(DecisionOutcome.RELEASE) >= settings.queue_length
        assert len(outcomes) == settings.queue_length + 2


@pytest.fixture
def other_tenant() -> Caller:
    return Caller("elsewhere", "elsewhere/key/1", frozenset({Role.ADMIN}))


class TestWhoSeesWhat:
    def test_another_tenant_sees_the_public_disclosure_only(
        self, services: Imprimatur, order: Order, other_tenant: Caller
    ) -> None:
        record_id = services.generation.run(order).record_id
        seen = services.results.record(record_id, other_tenant)
        assert set(seen) == {"state", "disclosure"}
        assert order.request.prompt not in json.dumps(seen)
        assert services.settings.tenant not in json.dumps(seen)

    def test_a_key_without_the_audit_role_sees_no_events(
        self, services: Imprimatur, order: Order, caller: Caller
    ) -> None:
        record_id = services.generation.run(order).record_id
        seen = services.results.record(record_id, replace(caller, roles=frozenset({Role.GENERATE})))
        assert "events" not in seen
        assert seen["state"] == "released"


def test_the_operator_reads_every_tenants_records(services: Imprimatur, order: Order, other_tenant: Caller) -> None:
    record_id = services.generation.run(replace(order, caller=other_tenant)).record_id
    assert services.results.record(record_id, services.local_caller())["prompt"]["prompt"] == order.request.prompt


def test_the_log_is_consistent_after_everything_above(services: Imprimatur) -> None:
    report = services.fsck()
    assert report.ok, report.differences
