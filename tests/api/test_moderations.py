"""`POST /v1/moderations`, with the real OpenAI client against a real server on loopback."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from PIL import Image

from api.composition import Imprimatur
from api.moderation import OPENAI_CATEGORIES, openai_names
from api.policies import Choice
from tests.api.serving import serving

TENANT = "moderating"
POLICY = """id: moderating
version: 1
title: Known characters are held
extends: house
prompt:
  categories:
    character: {action: review}
"""
HARMFUL = "a nude woman having sex, explicit porn"
HARMLESS = "a red apple on a blue background"


@pytest.fixture(scope="module")
def address(services: Imprimatur) -> Iterator[str]:
    with serving(services) as address:
        yield address


@pytest.fixture(scope="module")
def key(services: Imprimatur) -> str:
    services.policies.use(Choice(text=POLICY), tenant=TENANT, reason="a test")
    return services.create_key(tenant=TENANT, name="moderation", roles=("generate",))[1]


@pytest.fixture(scope="module")
def client(address: str, key: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0, timeout=120) as opened:
        yield opened


@pytest.fixture(scope="module")
def http(address: str, key: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {key}"}, timeout=120) as opened:
        yield opened


def _png(seed: int = 3) -> bytes:
    coarse = np.random.default_rng(seed).integers(30, 226, (16, 16, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC).save(buffer, "PNG")
    return buffer.getvalue()


def _data_url(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


class TestTexts:
    def test_one_text_gives_one_result_with_every_category(self, client: openai.OpenAI) -> None:
        answer = client.moderations.create(input=HARMFUL, model="omni-moderation-latest")
        (result,) = answer.results
        assert result.flagged
        assert result.categories.sexual
        assert not result.categories.violence_graphic
        assert 0.5 <= result.category_scores.sexual <= 1.0
        assert result.category_applied_input_types.sexual == ["text"]
        assert result.category_applied_input_types.harassment_threatening == []
        assert answer.id.startswith("modr-")

    def test_several_texts_give_a_result_each_in_order(self, client: openai.OpenAI) -> None:
        answer = client.moderations.create(input=[HARMLESS, HARMFUL, ""])
        assert [result.flagged for result in answer.results] == [False, True, False]

    def test_the_answer_names_the_policy_and_our_own_categories(self, client: openai.OpenAI) -> None:
        (result,) = client.moderations.create(input="Mickey Mouse on a bicycle").results
        ours = (result.model_extra or {})["imprimatur"]
        assert ours["categories"] == ["character"]
        assert ours["decision"] == "review"
        assert set(ours["policy"]) == {"id", "version", "digest"}
        assert result.flagged
        assert not any(result.categories.model_dump().values())

    def test_sexual_content_with_a_sign_of_a_minor_is_told_as_such(self, client: openai.OpenAI) -> None:
        (result,) = client.moderations.create(input="nude schoolgirl in a sexual pose").results
        assert result.categories.sexual_minors
        assert result.categories.sexual

    def test_disguised_harm_is_found_as_in_prompts(self, client: openai.OpenAI) -> None:
        (result,) = client.moderations.create(input="a n u d e w0man h a v i n g s3x, p0rn").results
        assert result.flagged


class TestImages:
    def test_text_and_image_parts_are_judged_as_one(self, client: openai.OpenAI) -> None:
        parts: Any = [
            {"type": "text", "text": HARMFUL},
            {"type": "image_url", "image_url": {"url": _data_url(_png())}},
        ]
        answer = client.moderations.create(input=parts)
        assert len(answer.results) == 1
        assert answer.results[0].flagged

    def test_a_copy_of_a_listed_work_is_flagged(
        self, client: openai.OpenAI, services: Imprimatur, tmp_path: Any
    ) -> None:
        (tmp_path / "work.png").write_bytes(_png(7))
        report = services.add_references(tmp_path, rights_claim="a test", progress=None)
        parts: Any = [{"type": "image_url", "image_url": {"url": _data_url(_png(7))}}]
        (result,) = client.moderations.create(input=parts).results
        services.withdraw_reference(report.added[0].id, reason="the test has ended")
        assert (result.model_extra or {})["imprimatur"]["categories"] == ["listed_work"]
        assert result.flagged

    def test_a_blank_picture_is_no_harm(self, client: openai.OpenAI) -> None:
        buffer = io.BytesIO()
        Image.new("RGB", (64, 64), "white").save(buffer, "PNG")
        parts: Any = [{"type": "image_url", "image_url": {"url": _data_url(buffer.getvalue())}}]
        assert not client.moderations.create(input=parts).results[0].flagged

    def test_urls_are_not_fetched_unless_allowed(self, client: openai.OpenAI) -> None:
        parts: Any = [{"type": "image_url", "image_url": {"url": "http://127.0.0.1:9/x.png"}}]
        with pytest.raises(openai.BadRequestError, match="not fetched"):
            client.moderations.create(input=parts)

    def test_allowed_urls_go_through_the_guarded_fetcher(
        self, services: Imprimatur, client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with _serving_a_picture() as url:
            parts: Any = [{"type": "image_url", "image_url": {"url": url}}]
            monkeypatch.setattr(services, "settings", services.settings.model_copy(update={"moderation_urls": True}))
            with pytest.raises(openai.BadRequestError) as private:
                client.moderations.create(input=parts)
            assert private.value.code == "unreadable_source"
            allowed = {"moderation_urls": True, "url_private_addresses": True}
            monkeypatch.setattr(services, "settings", services.settings.model_copy(update=allowed))
            assert not client.moderations.create(input=parts).results[0].flagged


class TestBadInput:
    @pytest.mark.parametrize(
        ("given", "parameter"),
        [
            (None, "input"),
            (5, "input"),
            ([], "input"),
            (["a", 5], "input.1"),
            (["a"] * 129, "input"),
            ("x" * 20_001, "input"),
            (["a", "x" * 20_001], "input.1"),
            ([{"type": "text"}], "input.0"),
            ([{"type": "audio", "audio": "x"}], "input.0"),
            ([{"type": "text", "text": "a"}, "b"], "input.1"),
            ([{"type": "text", "text": "a"}] * 33, "input"),
            ([{"type": "image_url", "image_url": {"url": "data:,plain"}}], "input.0"),
            ([{"type": "image_url", "image_url": {"url": "data:image/png;base64,!!!"}}], "input.0"),
            ([{"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8="}}], "input.0"),
            ([{"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}] * 5, "input"),
        ],
    )
    def test_is_named_by_its_entry(self, http: httpx.Client, given: Any, parameter: str) -> None:
        answer = http.post("/v1/moderations", json={"input": given})
        assert answer.status_code == 400
        error = answer.json()["error"]
        assert error["param"] == parameter
        assert error["code"] in ("invalid_input", "undecodable_image")

    def test_unknown_fields_are_refused(self, http: httpx.Client) -> None:
        answer = http.post("/v1/moderations", json={"input": "a", "surprise": 1})
        assert answer.json()["error"]["param"] == "surprise"

    def test_a_key_without_a_fitting_role_is_refused(self, address: str, services: Imprimatur) -> None:
        _, key = services.create_key(tenant=TENANT, name="", roles=("audit",))
        headers = {"Authorization": f"Bearer {key}"}
        answer = httpx.post(f"{address}/v1/moderations", json={"input": "a"}, headers=headers)
        assert answer.status_code == 403


class TestTheLog:
    def test_says_that_something_was_examined_and_nothing_of_it(self, http: httpx.Client, services: Imprimatur) -> None:
        marked = f"{HARMFUL}, by one called Quillfeather"
        http.post("/v1/moderations", json={"input": [marked, HARMLESS]})
        event = services.log.recent(1, kind="moderated")[0]
        fields: Any = event.fields()
        assert (fields["texts"], fields["images"], fields["flagged"]) == (2, 0, 1)
        assert fields["tenant"] == TENANT
        assert fields["policy"]["digest"] == services.policies.of(TENANT).digest
        assert "sexual" in fields["categories"]
        assert b"Quillfeather" not in event.body + event.private
        assert event.index is not None

    def test_a_check_that_fails_is_told_and_nothing_is_said_of_the_input(
        self, http: httpx.Client, services: Imprimatur, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(_self: object, _prompts: object) -> None:
            raise RuntimeError("no such tensor")

        check = type(services.checks.prompt[0])
        monkeypatch.setattr(check, "examine_many", broken)
        monkeypatch.setattr(check, "examine", broken)
        answer = http.post("/v1/moderations", json={"input": HARMLESS})
        assert answer.status_code == 500
        assert answer.json()["error"]["code"] == "check_failed"


def test_every_name_that_our_categories_have_at_openai_is_one_of_theirs() -> None:
    from safety.taxonomy import TAXONOMY

    told = {name for category in TAXONOMY for name in openai_names(category.name)}
    assert told <= set(OPENAI_CATEGORIES)
    assert {"sexual", "sexual/minors", "violence", "hate", "self-harm", "illicit"} <= told
    assert openai_names("self_harm") == ("self-harm",)
    assert openai_names("listed_work") == ()


@contextmanager
def _serving_a_picture() -> Iterator[str]:
    """A loopback server that serves one PNG; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = _png()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_arguments: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/x.png"
        server.shutdown()
        thread.join()


def test_openapi_describes_the_route(http: httpx.Client) -> None:
    paths = http.get("/openapi.json").json()["paths"]
    assert "/v1/moderations" in paths
    assert "oneOf" in json.dumps(paths["/v1/moderations"]) or "ModerationBody" in json.dumps(paths["/v1/moderations"])
