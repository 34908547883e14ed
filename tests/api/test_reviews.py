"""What a policy holds: who sees it, who decides, what then leaves, and what the log says."""

from __future__ import annotations

import hashlib
import io
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from PIL import Image
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

from api.composition import Imprimatur
from api.errors import (
    GenerationFailedError,
    HeldError,
    InvalidInputError,
    NotFoundError,
    NotPermittedError,
    QuarantinedError,
    ReviewConflictError,
)
from api.generate import ImageResult, Order
from api.keys import Caller, Role
from api.reviews import ReviewQueue
from api.settings import Settings
from audit import receipt as receipts
from audit.records import ObjectReference, VaultReference
from generator.request import GenerationRequest
from safety.policy import DecisionOutcome
from tests.api.painting import Painter
from tests.api.serving import serving

ROOT = Path(__file__).resolve().parents[2]
HOUSE = """
id: reviewing
version: 3
title: Copies and characters are held
persons: {allow: anyone}
languages: {other: annotate}
prompt:
  required_checks: [prompt.rules]
  categories: {character: {action: review}}
image:
  required_checks: [image.quality, image.duplicates]
  categories: {listed_work: {action: review}}
"""
APPLE = "a red apple on a blue background"
LISTED_SEED, OTHER_SEED = 11, 21
CHARACTER = "Mickey Mouse on a blue background"


@pytest.fixture(scope="module")
def reviewing_settings(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A service of its own, whose house policy holds copies of listed works and known characters."""
    name = f"reviews_{secrets.token_hex(6)}"
    server = create_engine(postgres_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    folder = tmp_path_factory.mktemp("reviewing")
    (folder / "house.yaml").write_text(HOUSE)
    url = make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
    return Settings(
        data_dir=folder / "data", database_url=url, policy_path=folder / "house.yaml", lease_s=2.0, queue_length=4
    )


@pytest.fixture(scope="module")
def services(reviewing_settings: Settings) -> Iterator[Imprimatur]:
    """Everything is real but the model: a painter whose pictures follow from the seed alone."""
    with Imprimatur(reviewing_settings) as opened, pytest.MonkeyPatch.context() as patched:
        card = opened.card(None)
        card = replace(card, tasks=tuple(dict.fromkeys((*card.tasks, "image-to-image"))))
        painter = Painter(card.id, card.digest)
        patched.setattr(opened, "card", lambda _model: card)
        patched.setattr(opened, "engine", lambda _model: painter)
        _list_the_apple(opened)
        yield opened


@pytest.fixture
def order(services: Imprimatur) -> Order:
    """A request whose image is a copy of a listed work, and so is held."""
    return _order(services, APPLE)


@pytest.fixture
def reviewer(services: Imprimatur) -> Caller:
    return Caller(services.settings.tenant, f"{services.settings.tenant}/key/reviewer", frozenset({Role.REVIEW}))


def _order(services: Imprimatur, prompt: str, **changes: Any) -> Order:
    seed = LISTED_SEED if prompt == APPLE else OTHER_SEED
    request = GenerationRequest(prompt=prompt, seed=seed, steps=2, width=512, height=512, **changes)
    return Order(request, services.local_caller(), "png")


def _list_the_apple(services: Imprimatur) -> None:
    """The model's own picture becomes a listed work, so that the same seed gives a copy of it."""
    image = services.generation.run(_order(services, APPLE)).images[0]
    assert image.data is not None
    folder = services.settings.data_dir / "works"
    folder.mkdir()
    (folder / "apple.png").write_bytes(image.data)
    services.add_references(folder, rights_claim="a test", progress=None)


def _held(services: Imprimatur, order: Order) -> tuple[ImageResult, str]:
    """A held image and its review."""
    image = services.generation.run(order).images[0]
    assert image.outcome is DecisionOutcome.REVIEW
    return image, _review_of(services, image.record_id)


def _held_prompt(services: Imprimatur, order: Order) -> tuple[str, str]:
    """The record and the review of a request that is held at its prompt."""
    with pytest.raises(HeldError) as error:
        services.generation.run(order)
    assert error.value.record_id is not None
    return error.value.record_id, _review_of(services, error.value.record_id)


def _review_of(services: Imprimatur, record_id: str) -> str:
    items = services.reviews.items(services.local_caller(), state=None, limit=500)
    return next(item.review_id for item in reversed(items) if item.record_id == record_id)


def _pending(services: Imprimatur, review_id: str) -> ObjectReference:
    items = services.reviews.items(services.local_caller(), state=None, limit=500)
    return next(item.pending for item in items if item.review_id == review_id)


def _kinds(services: Imprimatur, record_id: str) -> list[str]:
    return [event.kind for event in services.log.events(record_id)]


def _pixels(data: bytes) -> np.ndarray[Any, Any]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


class TestAHeldImage:
    def test_does_not_leave_and_is_neither_signed_nor_stored_as_released(
        self, services: Imprimatur, order: Order, reviewer: Caller
    ) -> None:
        image, review_id = _held(services, order)
        assert image.data is None
        assert image.receipt is None
        assert _kinds(services, image.record_id) == ["received", "held"]
        with pytest.raises(NotFoundError, match="held"):
            services.results.image(image.record_id, services.local_caller())
        waiting, media_type = services.reviews.image(review_id, reviewer)
        assert media_type == "image/png"
        assert services.publisher.read(waiting, media_type).state == "none"

    def test_is_released_as_it_was_examined_once_a_reviewer_approves(
        self, services: Imprimatur, order: Order, reviewer: Caller
    ) -> None:
        held, review_id = _held(services, order)
        examined, _ = services.reviews.image(review_id, reviewer)
        outcome = services.reviews.approve(review_id, reviewer, reason="our own picture", reviewer="Ada")
        assert outcome["records"] == [{"record_id": held.record_id, "state": "released"}]

        data, media_type = services.results.image(held.record_id, services.local_caller())
        assert np.array_equal(_pixels(data), _pixels(examined))
        receipt = services.results.receipt_of(held.record_id, services.local_caller())
        receipts.check_image(receipt, data)
        receipts.check_against_log(receipt, services.log)
        assert services.publisher.read(data, media_type).state in ("valid", "trusted")
        assert b"human_validated" in data
        assert _kinds(services, held.record_id) == ["received", "held", "review_decided", "released"]
        assert not services.objects.exists(_pending(services, review_id))

    def test_names_in_the_log_who_approved_it_and_why(
        self, services: Imprimatur, order: Order, reviewer: Caller
    ) -> None:
        held, review_id = _held(services, order)
        services.reviews.approve(review_id, reviewer, reason="our own picture", reviewer="Ada")
        _, event, decided, released = services.log.events(held.record_id)
        fields = decided.fields()
        assert (fields["decision"], fields["reason"], fields["stage"]) == ("approved", "our own picture", "image")
        assert fields["held"] == event.id
        assert released.fields()["review"] == decided.id
        assert fields["policy"] == released.fields()["policy"] == event.fields()["policy"]
        who: Any = fields["reviewer"]
        assert services.vault.get(VaultReference(**who)).decode() == f"{reviewer.subject} (Ada)"
        assert b"Ada" not in decided.body + decided.private

    def test_stays_away_for_good_once_a_reviewer_rejects_it(
        self, services: Imprimatur, order: Order, reviewer: Caller
    ) -> None:
        held, review_id = _held(services, order)
        services.reviews.reject(review_id, reviewer, reason="too close to the listed work")
        assert _kinds(services, held.record_id) == ["received", "held", "review_decided", "refused"]
        record = services.results.record(held.record_id, services.local_caller())
        assert record["state"] == "refused"
        assert record["decision"]["categories"] == ["listed_work"]
        for decide in (services.reviews.approve, services.reviews.reject):
            with pytest.raises(ReviewConflictError, match="rejected already"):
                decide(review_id, reviewer, reason="again")
        with pytest.raises(NotFoundError):
            services.reviews.image(review_id, reviewer)
        assert services.objects.exists(_pending(services, review_id))  # evidence of what was refused

    def test_is_the_answer_to_a_repeated_request_before_and_after_the_decision(
        self, services: Imprimatur, order: Order, reviewer: Caller
    ) -> None:
        keyed = replace(order, idempotency_key="held-1")
        held, review_id = _held(services, keyed)
        again = services.generation.run(keyed).images[0]
        assert (again.record_id, again.outcome, again.data) == (held.record_id, DecisionOutcome.REVIEW, None)
        services.reviews.approve(review_id, reviewer, reason="ours")
        released = services.generation.run(keyed).images[0]
        assert (released.record_id, released.outcome) == (held.record_id, DecisionOutcome.RELEASE)
        assert released.data == services.results.image(held.record_id, services.local_caller())[0]

    def test_is_still_held_when_the_signer_fails_and_can_be_approved_later(
        self, services: Imprimatur, order: Order, reviewer: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from provenance.errors import SignerError

        def away(*_arguments: object, **_named: object) -> None:
            raise SignerError("the key service does not answer")

        held, review_id = _held(services, order)
        with monkeypatch.context() as broken:
            broken.setattr(services.publisher, "sign", away)
            with pytest.raises(GenerationFailedError, match="key service does not answer; the image is still held"):
                services.reviews.approve(review_id, reviewer, reason="ours")
        assert _kinds(services, held.record_id) == ["received", "held"]
        assert services.reviews.approve(review_id, reviewer, reason="ours")["state"] == "approved"

    def test_outlives_the_lease_of_the_process_that_held_it(
        self, services: Imprimatur, order: Order, reviewer: Caller
    ) -> None:
        held, review_id = _held(services, order)
        time.sleep(services.settings.lease_s + 0.3)
        assert held.record_id not in services.close_abandoned()
        with Imprimatur(services.settings) as another_process:
            outcome = another_process.reviews.approve(review_id, reviewer, reason="ours")
        assert outcome["records"][0]["state"] == "released"

    def test_can_only_be_rejected_after_its_data_was_erased(
        self, services: Imprimatur, order: Order, reviewer: Caller
    ) -> None:
        owner = replace(order.caller, subject=f"{services.settings.tenant}/user/erased")
        held, review_id = _held(services, replace(order, caller=owner))
        services.erasing.erase(owner.subject, ground="asked for", caller=services.local_caller())
        assert services.reviews.show(review_id, reviewer)["prompt"] == {"erased": True}
        with pytest.raises(ReviewConflictError, match="erased"):
            services.reviews.approve(review_id, reviewer, reason="ours")
        services.reviews.reject(review_id, reviewer, reason="erased")
        assert services.records.get(held.record_id).state == "refused"


class TestAHeldPrompt:
    def test_is_told_with_its_record_before_anything_is_generated(
        self, services: Imprimatur, reviewer: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as never:
            never.setattr(services, "engine", lambda _model: pytest.fail("nothing may be generated"))
            record_id, review_id = _held_prompt(services, _order(services, CHARACTER))
        shown = services.reviews.show(review_id, reviewer)
        assert shown["prompt"]["prompt"] == CHARACTER
        assert shown["categories"] == ["character"]
        assert shown["policy"]["id"] == "reviewing"
        assert services.results.record(record_id, services.local_caller())["state"] == "held"
        services.reviews.reject(review_id, reviewer, reason="not ours")

    def test_goes_on_as_it_was_asked_for_once_approved(self, services: Imprimatur, reviewer: Caller) -> None:
        record_id, review_id = _held_prompt(services, _order(services, CHARACTER, count=2))
        outcome = services.reviews.approve(review_id, reviewer, reason="licensed")
        assert [record["state"] for record in outcome["records"]] == ["released", "released"]
        events = services.log.events(record_id)
        assert [event.kind for event in events] == ["received", "held", "review_decided", "released"]
        fields: Any = events[-1].fields()
        assert fields["sampling"]["seed"] == str(OTHER_SEED)
        assert "character" in {finding["category"] for finding in fields["findings"]}
        data, _ = services.results.image(record_id, services.local_caller())
        assert b"human_validated" not in data  # a person saw the prompt, not the picture

    def test_answers_a_repeated_request_before_and_after_the_decision(
        self, services: Imprimatur, reviewer: Caller
    ) -> None:
        keyed = replace(_order(services, CHARACTER), idempotency_key="held-2")
        record_id, review_id = _held_prompt(services, keyed)
        again = services.generation.run(keyed)
        assert (again.record_id, again.outcome) == (record_id, DecisionOutcome.REVIEW)
        services.reviews.approve(review_id, reviewer, reason="licensed")
        assert services.generation.run(keyed).images[0].data is not None

    def test_whose_image_is_held_too_needs_a_second_decision(
        self, services: Imprimatur, reviewer: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from generator.image import GeneratedImage

        apple = services.engine("emblem").generate(_order(services, APPLE).request.resolve(services.card("emblem")))[0]

        def same_apple(*_arguments: object) -> list[GeneratedImage]:
            return [apple]

        record_id, first = _held_prompt(services, _order(services, CHARACTER))
        monkeypatch.setattr(services.engine("emblem"), "draw", same_apple)
        assert services.reviews.approve(first, reviewer, reason="licensed")["records"][0]["state"] == "held"
        second = _review_of(services, record_id)
        assert second != first
        assert services.reviews.approve(second, reviewer, reason="ours")["records"][0]["state"] == "released"
        assert _kinds(services, record_id) == [
            "received", "held", "review_decided", "held", "review_decided", "released",
        ]  # fmt: skip

    def test_approved_without_waiting_is_generated_in_the_background(
        self, services: Imprimatur, reviewer: Caller
    ) -> None:
        record_id, review_id = _held_prompt(services, _order(services, CHARACTER))
        outcome = services.reviews.approve(review_id, reviewer, reason="licensed", wait=False)
        assert outcome["state"] == "approved"
        deadline = time.monotonic() + 60
        while services.records.get(record_id).state == "open" and time.monotonic() < deadline:
            time.sleep(0.05)
        assert services.records.get(record_id).state == "released"

    def test_rejected_refuses_every_image_of_the_request(self, services: Imprimatur, reviewer: Caller) -> None:
        record_id, review_id = _held_prompt(services, _order(services, CHARACTER, count=2))
        outcome = services.reviews.reject(review_id, reviewer, reason="not ours")
        assert [record["state"] for record in outcome["records"]] == ["refused", "refused"]
        assert _kinds(services, record_id)[-2:] == ["review_decided", "refused"]


class TestAHeldInput:
    def test_is_a_picture_of_the_request_that_a_person_must_allow(self, services: Imprimatur, reviewer: Caller) -> None:
        """The listed work itself comes in, to be changed beyond recognition."""
        work = (services.settings.data_dir / "works" / "apple.png").read_bytes()
        request = GenerationRequest(prompt="a green tree", task="image-to-image", seed=3, steps=4, strength=1.0)
        order = Order(request, services.local_caller(), "png", image=work)
        with pytest.raises(HeldError) as error:
            services.generation.run(order)
        assert (error.value.stage, error.value.categories) == ("input", ("listed_work",))
        record_id = str(error.value.record_id)
        review_id = _review_of(services, record_id)
        assert services.reviews.image(review_id, reviewer) == (work, "image/png")

        outcome = services.reviews.approve(review_id, reviewer, reason="the rights holder asked for it")
        assert outcome["records"] == [{"record_id": record_id, "state": "released"}]
        released: Any = services.log.events(record_id)[-1].fields()
        assert (released["origin"], released["task"]) == ("altered", "image-to-image")
        assert [one["sha256"] for one in released["inputs"]] == [hashlib.sha256(work).hexdigest()]
        data, media_type = services.results.image(record_id, services.local_caller())
        assert services.publisher.read(data, media_type).ingredients


class TestReviewers:
    def test_only_the_role_sees_and_decides(self, services: Imprimatur, order: Order, reviewer: Caller) -> None:
        _, review_id = _held(services, order)
        outsider = replace(reviewer, roles=frozenset({Role.GENERATE, Role.VERIFY, Role.AUDIT}))
        for act in (
            lambda: services.reviews.items(outsider),
            lambda: services.reviews.show(review_id, outsider),
            lambda: services.reviews.image(review_id, outsider),
            lambda: services.reviews.approve(review_id, outsider, reason="x"),
            lambda: services.reviews.reject(review_id, outsider, reason="x"),
        ):
            with pytest.raises(NotPermittedError, match="review"):
                act()

    def test_another_tenant_neither_sees_nor_decides(
        self, services: Imprimatur, order: Order, reviewer: Caller
    ) -> None:
        _, review_id = _held(services, order)
        rival = Caller("rival", "rival/key/1", frozenset({Role.ADMIN}))
        assert services.reviews.items(rival, state=None) == []
        for act in (services.reviews.show, services.reviews.image):
            with pytest.raises(NotFoundError):
                act(review_id, rival)
        with pytest.raises(NotFoundError):
            services.reviews.approve(review_id, rival, reason="x")
        assert review_id in [item.review_id for item in services.reviews.items(reviewer, limit=500)]

    @pytest.mark.parametrize("reason", ["", "   ", "two\nlines", "x" * 1001])
    def test_give_a_reason_on_one_line(self, services: Imprimatur, order: Order, reviewer: Caller, reason: str) -> None:
        _, review_id = _held(services, order)
        with pytest.raises(InvalidInputError, match="reason"):
            services.reviews.reject(review_id, reviewer, reason=reason)

    def test_two_at_once_one_decides_and_the_other_is_told(
        self, services: Imprimatur, order: Order, reviewer: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        signing, go_on = threading.Event(), threading.Event()
        sign = services.publisher.sign

        def slow(*arguments: Any, **named: Any) -> Any:
            signing.set()
            assert go_on.wait(30)
            return sign(*arguments, **named)

        held, review_id = _held(services, order)
        monkeypatch.setattr(services.publisher, "sign", slow)
        first = threading.Thread(target=lambda: services.reviews.approve(review_id, reviewer, reason="first"))
        first.start()
        assert signing.wait(30)
        for decide in (services.reviews.approve, services.reviews.reject):
            with pytest.raises(ReviewConflictError, match="another reviewer"):
                decide(review_id, reviewer, reason="second")
        go_on.set()
        first.join()
        assert _kinds(services, held.record_id) == ["received", "held", "review_decided", "released"]


class TestAKilledReviewersProcess:
    def test_leaves_an_image_in_the_queue_as_if_nothing_had_happened(
        self, services: Imprimatur, order: Order, reviewer: Caller, killing: None
    ) -> None:
        held, review_id = _held(services, order)
        _kill_while_approving(services, review_id, "publisher.sign")
        assert _kinds(services, held.record_id) == ["received", "held"]
        assert services.reviews.approve(review_id, reviewer, reason="ours")["state"] == "approved"

    def test_leaves_a_prompt_that_can_be_approved_again(
        self, services: Imprimatur, reviewer: Caller, killing: None
    ) -> None:
        record_id, review_id = _held_prompt(services, _order(services, CHARACTER))
        _kill_while_approving(services, review_id, "generation.resume")
        assert services.records.get(record_id).state == "open"
        with pytest.raises(Exception, match="runs already"):
            services.reviews.approve(review_id, reviewer, reason="too early")
        time.sleep(services.settings.lease_s + 0.3)
        assert services.close_abandoned() == [record_id]
        outcome = services.reviews.approve(review_id, reviewer, reason="again")
        assert outcome["records"][0]["state"] == "released"
        assert _kinds(services, record_id) == [
            "received", "held", "review_decided", "abandoned", "review_decided", "released",
        ]  # fmt: skip


@pytest.fixture
def killing(services: Imprimatur, monkeypatch: pytest.MonkeyPatch) -> None:
    """Environment in which a child process meets this service."""
    settings = services.settings
    assert settings.database_url is not None
    monkeypatch.setenv("IMPRIMATUR_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("IMPRIMATUR_DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("IMPRIMATUR_POLICY_PATH", str(settings.policy_path))
    monkeypatch.setenv("IMPRIMATUR_LEASE_S", str(settings.lease_s))


def _kill_while_approving(services: Imprimatur, review_id: str, step: str) -> None:
    program = (
        "import os, signal, sys\n"
        "from api.composition import Imprimatur\n"
        "from api.settings import Settings\n"
        "services = Imprimatur(Settings())\n"
        "kill = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"services.{step} = kill\n"
        f"services.reviews.approve('{review_id}', services.local_caller(), reason='killed')\n"
    )
    child = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert child.returncode == -9, child.stderr


@pytest.fixture(scope="module")
def address(services: Imprimatur) -> Iterator[str]:
    with serving(services) as address:
        yield address


@pytest.fixture(scope="module")
def client(services: Imprimatur, address: str) -> Iterator[openai.OpenAI]:
    _, key = services.create_key(tenant="acme", name="product", roles=("generate",))
    with openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=2, timeout=120) as opened:
        yield opened


@pytest.fixture(scope="module")
def desk(services: Imprimatur, address: str) -> Iterator[httpx.Client]:
    """The reviewers of the same tenant."""
    _, key = services.create_key(tenant="acme", name="desk", roles=("review",))
    with httpx.Client(base_url=f"{address}/v1", headers={"Authorization": f"Bearer {key}"}, timeout=120) as opened:
        yield opened


class TestOverHttp:
    def test_a_held_prompt_is_an_error_that_the_client_does_not_retry_and_later_an_image(
        self, client: openai.OpenAI, desk: httpx.Client
    ) -> None:
        with pytest.raises(openai.BadRequestError) as held:
            client.images.generate(prompt=CHARACTER, extra_body={"seed": 4, "steps": 2})
        assert held.value.code == "held_for_review"
        body: Any = held.value.body
        assert (body["stage"], body["categories"], body["policy"]) == ("prompt", ["character"], "reviewing")
        assert "score" not in str(body)
        (item,) = desk.get("/reviews").json()["reviews"]  # one: the client did not ask again
        assert item["record_id"] == body["record_id"]
        answer = desk.post(f"/reviews/{item['review_id']}/decision", json={"decision": "approve", "reason": "licensed"})
        assert answer.json()["state"] == "approved"
        state = _wait_for_end(client, body["record_id"])
        assert state["state"] == "released"
        image = client.get(f"/records/{body['record_id']}/image", cast_to=httpx.Response)
        assert image.headers["content-type"] == "image/png"

    def test_a_held_image_is_shown_to_the_desk_alone_and_leaves_when_approved(
        self, client: openai.OpenAI, desk: httpx.Client
    ) -> None:
        with pytest.raises(openai.BadRequestError) as held:
            client.images.generate(prompt=APPLE, size="512x512", extra_body={"seed": LISTED_SEED, "steps": 2})
        body: Any = held.value.body
        assert (held.value.code, body["stage"]) == ("held_for_review", "image")
        review_id = desk.get("/reviews").json()["reviews"][-1]["review_id"]
        shown = desk.get(f"/reviews/{review_id}").json()
        assert shown["record_id"] == body["record_id"]
        assert shown["prompt"]["prompt"] == APPLE
        picture = desk.get(f"/reviews/{review_id}/image")
        assert picture.headers["cache-control"] == "no-store"
        assert _pixels(picture.content).shape == (512, 512, 3)
        with pytest.raises(openai.PermissionDeniedError):
            client.get(f"/reviews/{review_id}/image", cast_to=httpx.Response)
        decided = desk.post(f"/reviews/{review_id}/decision", json={"decision": "approve", "reason": "ours"}).json()
        assert decided["records"] == [{"record_id": body["record_id"], "state": "released"}]
        again = desk.post(f"/reviews/{review_id}/decision", json={"decision": "reject", "reason": "no"})
        assert (again.status_code, again.json()["error"]["code"]) == (409, "review_conflict")

    @pytest.mark.parametrize(
        ("body", "parameter"),
        [
            ({"decision": "maybe", "reason": "x"}, "decision"),
            ({"decision": "approve"}, "reason"),
            ({"decision": "approve", "reason": ""}, "reason"),
            ({"decision": "approve", "reason": "x", "surprise": 1}, "surprise"),
        ],
    )
    def test_a_decision_that_is_none_is_named(self, desk: httpx.Client, body: dict[str, Any], parameter: str) -> None:
        answer = desk.post("/reviews/rev_x/decision", json=body)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, parameter)

    def test_an_unknown_item_is_not_found(self, desk: httpx.Client) -> None:
        for path in ("/reviews/rev_x", "/reviews/rev_x/image", "/reviews/rev_%00"):
            assert desk.get(path).status_code == 404

    def test_the_list_can_be_narrowed(self, desk: httpx.Client) -> None:
        states = {one["state"] for one in desk.get("/reviews", params={"state": "all"}).json()["reviews"]}
        assert states <= {"waiting", "approved", "rejected", "expired"}
        assert len(desk.get("/reviews", params={"state": "all", "limit": 1}).json()["reviews"]) == 1
        assert desk.get("/reviews", params={"state": "lost"}).status_code == 400


def _wait_for_end(client: openai.OpenAI, record_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while True:
        record: dict[str, Any] = client.get(f"/records/{record_id}", cast_to=httpx.Response).json()
        if record["state"] != "open" or time.monotonic() > deadline:
            return record
        time.sleep(0.05)


class TestExpiry:
    def test_refuses_what_nobody_decided_with_an_event(
        self, services: Imprimatur, order: Order, reviewer: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(services, "reviews", ReviewQueue(services, expiry_s=0.2))
        image, review_id = _held(services, order)
        time.sleep(0.3)
        assert services.reviews.expire() == [review_id]
        assert services.records.get(image.record_id).state == "refused"
        *_, decided, refused = services.log.events(image.record_id)
        assert decided.fields()["decision"] == "expired"
        assert decided.fields()["reviewer"] is None
        assert refused.fields()["review"] == decided.id
        with pytest.raises(ReviewConflictError, match="expired"):
            services.reviews.approve(review_id, reviewer, reason="too late")

    def test_is_seen_by_the_requester_who_asks_for_the_record(
        self, services: Imprimatur, order: Order, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(services, "reviews", ReviewQueue(services, expiry_s=0.2))
        image = services.generation.run(order).images[0]
        time.sleep(0.3)
        assert services.results.record(image.record_id, services.local_caller())["state"] == "refused"


class TestQuarantine:
    PROMPT = "nude child in a sexual pose beside Mickey Mouse"

    def test_keeps_suspected_abuse_out_of_the_queue_though_the_policy_would_hold_the_prompt(
        self, services: Imprimatur, reviewer: Caller
    ) -> None:
        before = services.reviews.items(reviewer, state=None, limit=500)
        with pytest.raises(QuarantinedError) as error:
            services.generation.run(_order(services, self.PROMPT))
        assert error.value.code == "moderation_blocked"
        assert "sexual_minors" in error.value.categories
        assert error.value.record_id is not None
        assert services.reviews.items(reviewer, state=None, limit=500) == before
        assert _kinds(services, error.value.record_id) == ["received", "quarantined"]
        event = services.log.events(error.value.record_id)[-1]
        assert all(finding["evidence"] == {} for finding in event.fields()["findings"])  # type: ignore[union-attr,index,call-overload]

    def test_shows_the_prompt_to_its_role_alone(self, services: Imprimatur) -> None:
        with pytest.raises(QuarantinedError) as error:
            services.generation.run(_order(services, self.PROMPT))
        record_id = str(error.value.record_id)
        operator = services.local_caller()
        assert services.results.record(record_id, operator)["prompt"] == {"quarantined": True}
        officer = replace(operator, roles=frozenset({Role.QUARANTINE}))
        assert services.results.record(record_id, officer)["prompt"]["prompt"] == self.PROMPT

    def test_refuses_a_sexual_picture_whose_prompt_had_a_sign_of_a_minor_and_keeps_no_pixels(
        self, services: Imprimatur, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from safety.findings import Finding, Outcome

        quality = type(services.checks.image[0])
        examine = quality.examine

        def finds_sexual(check: Any, pixels: Any) -> list[Finding]:
            return [*examine(check, pixels), Finding("image.quality", "1", "sexual", 0.9, 0.5, Outcome.FLAG)]

        monkeypatch.setattr(quality, "examine", finds_sexual)
        result = services.generation.run(_order(services, "a child with a red apple on a blue background"))
        image = result.images[0]
        assert image.outcome is DecisionOutcome.REFUSE
        assert image.decision["categories"] == ["sexual_minors"]
        assert services.records.get(image.record_id).state == "quarantined"
        assert "objects" not in services.log.events(image.record_id)[-1].fields()


def test_the_log_is_consistent_after_everything_above(services: Imprimatur) -> None:
    report = services.fsck()
    assert report.ok, report.differences
