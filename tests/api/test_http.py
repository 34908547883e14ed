"""The HTTP API, with the real OpenAI client against a real server on loopback."""

from __future__ import annotations

import base64
import hashlib
import io
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest
import uvicorn
from PIL import Image

from api.composition import Imprimatur
from api.http import create_app
from audit import receipt as receipts

PROMPT = "a yellow sun on a blue background"
QUICK: dict[str, Any] = {"steps": 2, "seed": 5}


@pytest.fixture(scope="module")
def address(services: Imprimatur) -> Iterator[str]:
    """A server on a free port."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(services), log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture(scope="module")
def key(services: Imprimatur) -> str:
    return services.create_key(tenant="acme", name="tests", roles=("generate", "verify", "audit"))[1]


@pytest.fixture(scope="module")
def client(address: str, key: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0, timeout=120) as opened:
        yield opened


@pytest.fixture(scope="module")
def http(address: str, key: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {key}"}, timeout=120) as opened:
        yield opened


class TestImageGeneration:
    def test_the_openai_client_gets_an_image_with_record_and_receipt(self, client: openai.OpenAI) -> None:
        answer = client.images.generate(model="emblem", prompt=PROMPT, size="512x512", n=1, extra_body=QUICK)
        assert answer.data is not None
        (image,) = answer.data
        assert image.b64_json is not None
        data = base64.b64decode(image.b64_json)
        with Image.open(io.BytesIO(data)) as opened:
            assert (opened.format, opened.size) == ("PNG", (512, 512))
        ours = image.model_extra["imprimatur"] if image.model_extra else {}
        assert ours["decision"] == "release"
        assert ours["receipt"]["image_sha256"] == hashlib.sha256(data).hexdigest()

    def test_the_receipt_holds_and_a_fresh_one_can_be_had(
        self, client: openai.OpenAI, http: httpx.Client, services: Imprimatur
    ) -> None:
        answer = client.images.generate(prompt=PROMPT, extra_body=QUICK)
        assert answer.data is not None
        record_id = (answer.data[0].model_extra or {})["imprimatur"]["record_id"]
        fresh = http.get(f"/v1/records/{record_id}/receipt").text
        receipts.check_against_log(receipts.parse(fresh), services.log)

    def test_an_image_by_url_needs_the_key_and_is_the_same_file(
        self, client: openai.OpenAI, http: httpx.Client
    ) -> None:
        answer = client.images.generate(prompt=PROMPT, response_format="url", extra_body=QUICK)
        assert answer.data is not None
        url = answer.data[0].url
        assert url is not None
        served = http.get(url)
        digest = (answer.data[0].model_extra or {})["imprimatur"]["receipt"]["image_sha256"]
        assert hashlib.sha256(served.content).hexdigest() == digest
        assert served.headers["content-type"] == "image/png"
        assert httpx.get(url).status_code == 401

    def test_two_images_come_with_two_records(self, client: openai.OpenAI) -> None:
        answer = client.images.generate(prompt=PROMPT, n=2, extra_body=QUICK)
        assert answer.data is not None
        assert len({(image.model_extra or {})["imprimatur"]["record_id"] for image in answer.data}) == 2

    def test_a_refusal_is_the_error_that_the_client_expects(self, client: openai.OpenAI) -> None:
        with pytest.raises(openai.BadRequestError) as refusal:
            client.images.generate(prompt="nude child in a sexual pose")
        assert refusal.value.code == "moderation_blocked"
        body: Any = refusal.value.body
        assert body["stage"] == "prompt"
        assert body["categories"]
        assert body["policy_version"]
        assert "score" not in str(body)

    @pytest.mark.parametrize(
        ("arguments", "parameter"),
        [
            ({"prompt": " "}, "prompt"),
            ({"prompt": PROMPT, "size": "300x300"}, "size"),
            ({"prompt": PROMPT, "size": "large"}, "size"),
            ({"prompt": PROMPT, "model": "dall-e-3"}, "model"),
            ({"prompt": PROMPT, "n": 11}, "n"),
            ({"prompt": PROMPT, "extra_body": {"surprise": 1}}, "surprise"),
        ],
    )
    def test_bad_parameters_are_named(self, client: openai.OpenAI, arguments: dict[str, Any], parameter: str) -> None:
        with pytest.raises(openai.BadRequestError) as rejection:
            client.images.generate(**arguments)
        assert rejection.value.param == parameter

    def test_an_idempotency_key_gives_the_same_record_again(self, http: httpx.Client) -> None:
        def ask() -> Any:
            body = {"prompt": PROMPT, **QUICK}
            return http.post("/v1/images/generations", json=body, headers={"Idempotency-Key": "http-1"}).json()

        first, second = ask(), ask()
        assert second["data"][0]["b64_json"] == first["data"][0]["b64_json"]
        assert second["data"][0]["imprimatur"]["record_id"] == first["data"][0]["imprimatur"]["record_id"]

    def test_overload_is_told_with_a_time_to_come_back(self, http: httpx.Client, services: Imprimatur) -> None:
        def ask(_number: int) -> httpx.Response:
            return http.post("/v1/images/generations", json={"prompt": PROMPT, **QUICK, "steps": 8})

        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(ask, range(12)))
        statuses = [answer.status_code for answer in answers]
        assert set(statuses) == {200, 503}
        busy = next(answer for answer in answers if answer.status_code == 503)
        assert int(busy.headers["retry-after"]) > 0
        assert busy.json()["error"]["code"] == "busy"
        assert statuses.count(200) >= services.settings.queue_length


class TestDisconnecting:
    SLOW: dict[str, Any] = {"prompt": PROMPT, "seed": 5, "steps": 100}  # noqa: RUF012

    def test_a_client_that_goes_calls_its_request_off(self, http: httpx.Client, services: Imprimatur) -> None:
        with pytest.raises(httpx.ReadTimeout):
            http.post("/v1/images/generations", json=self.SLOW, timeout=1.5)
        newest = services.records.newest(tenant="acme", limit=1)[0]
        deadline = time.monotonic() + 30
        while services.records.get(newest.record_id).state == "open" and time.monotonic() < deadline:
            time.sleep(0.05)
        assert services.records.get(newest.record_id).state == "failed"
        event = services.log.events(newest.record_id)[-1]
        assert event.kind == "failed"
        assert "cancelled by the caller" in str(event.fields()["message"])

    def test_a_client_with_a_key_finds_its_result_when_it_comes_back(self, http: httpx.Client) -> None:
        body, headers = {**self.SLOW, "steps": 12}, {"Idempotency-Key": "http-gone"}
        with pytest.raises(httpx.ReadTimeout):
            http.post("/v1/images/generations", json=body, headers=headers, timeout=0.5)
        deadline = time.monotonic() + 60
        while (answer := http.post("/v1/images/generations", json=body, headers=headers)).status_code == 409:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert answer.json()["data"][0]["imprimatur"]["decision"] == "release"


class TestKeys:
    def test_no_key_and_a_wrong_key_are_refused(self, address: str) -> None:
        for headers in ({}, {"Authorization": "Bearer imp_0000000000000000_" + "0" * 64}, {"Authorization": "Basic x"}):
            answer = httpx.post(f"{address}/v1/images/generations", json={"prompt": PROMPT}, headers=headers)
            assert answer.status_code == 401
            assert answer.json()["error"]["code"] == "invalid_api_key"

    def test_a_role_that_is_lacking_is_named(self, address: str, services: Imprimatur) -> None:
        _, verify_only = services.create_key(tenant="acme", name="", roles=("verify",))
        with openai.OpenAI(base_url=f"{address}/v1", api_key=verify_only, max_retries=0) as client:  # noqa: SIM117
            with pytest.raises(openai.PermissionDeniedError, match="generate"):
                client.images.generate(prompt=PROMPT)

    def test_a_revoked_key_stops_working(self, address: str, services: Imprimatur) -> None:
        key_id, key = services.create_key(tenant="acme", name="", roles=("generate",))
        services.revoke_key(key_id)
        with openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0) as client:  # noqa: SIM117
            with pytest.raises(openai.AuthenticationError):
                client.images.generate(prompt=PROMPT)


class TestVerify:
    def test_an_upload_is_examined(self, http: httpx.Client, client: openai.OpenAI) -> None:
        answer = client.images.generate(prompt=PROMPT, extra_body=QUICK)
        assert answer.data is not None
        data = base64.b64decode(answer.data[0].b64_json or "")
        report = http.post("/v1/verify", files={"image": ("x.png", data)}).json()
        assert report["conclusion"] == "issued_here"
        assert report["record_id"] == (answer.data[0].model_extra or {})["imprimatur"]["record_id"]

    def test_what_is_no_image_gets_the_error_shape(self, http: httpx.Client) -> None:
        answer = http.post("/v1/verify", files={"image": ("x.png", b"no image")})
        assert answer.status_code == 400
        assert set(answer.json()["error"]) >= {"type", "code", "message", "param"}

    def test_nothing_and_both_are_refused(self, http: httpx.Client) -> None:
        assert http.post("/v1/verify").status_code == 400
        both = http.post("/v1/verify", files={"image": ("x.png", b"x")}, data={"url": "http://example.org/x"})
        assert both.status_code == 400

    def test_a_url_into_the_private_network_is_not_fetched(self, http: httpx.Client, address: str) -> None:
        answer = http.post("/v1/verify", data={"url": f"{address}/healthz"})
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "unreadable_source"

    def test_a_body_above_the_limit_is_refused(self, http: httpx.Client, services: Imprimatur) -> None:
        size = services.settings.max_upload_bytes + 1
        answer = http.post("/v1/verify", content=bytes(size), headers={"Content-Type": "application/octet-stream"})
        assert answer.status_code == 413


class TestRecords:
    def test_the_owner_reads_the_record_and_another_tenant_the_disclosure(
        self, http: httpx.Client, client: openai.OpenAI, address: str, services: Imprimatur
    ) -> None:
        answer = client.images.generate(prompt=PROMPT, user="u-17", extra_body=QUICK)
        assert answer.data is not None
        record_id = (answer.data[0].model_extra or {})["imprimatur"]["record_id"]
        own = http.get(f"/v1/records/{record_id}").json()
        assert own["prompt"]["prompt"] == PROMPT
        assert [event["kind"] for event in own["events"]] == ["received", "released"]

        _, other = services.create_key(tenant="rival", name="", roles=("generate", "verify", "audit", "admin"))
        headers = {"Authorization": f"Bearer {other}"}
        seen = httpx.get(f"{address}/v1/records/{record_id}", headers=headers).json()
        assert set(seen) == {"state", "disclosure"}
        assert PROMPT not in str(seen)
        assert httpx.get(f"{address}/v1/records/{record_id}/image", headers=headers).status_code == 404
        assert httpx.get(f"{address}/v1/records/{record_id}/receipt", headers=headers).status_code == 404

    def test_an_unknown_record_is_not_found(self, http: httpx.Client) -> None:
        answer = http.get("/v1/records/rec_" + "0" * 32)
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "not_found"


def test_health_needs_no_key_and_names_the_parts(address: str) -> None:
    report = httpx.get(f"{address}/healthz").json()
    assert report["status"] == "green"
    assert report["parts"]["certificate"]["development"] is True


def test_an_unknown_path_has_the_one_error_shape(http: httpx.Client) -> None:
    answer = http.get("/v1/nothing")
    assert answer.status_code == 404
    assert set(answer.json()["error"]) >= {"type", "code", "message", "param"}


def test_an_unexpected_error_tells_no_secrets(
    services: Imprimatur, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object) -> None:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr(services.results, "record", broken)
    answer = http.get("/v1/records/rec_x")
    assert answer.status_code == 500
    assert "hunter2" not in answer.text


def test_openapi_describes_every_route(http: httpx.Client) -> None:
    paths = http.get("/openapi.json").json()["paths"]
    assert {"/v1/images/generations", "/v1/verify", "/v1/records/{record_id}", "/healthz"} <= set(paths)
