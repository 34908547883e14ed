"""The repository of manifests: kept at release, found by soft bindings, stamped later, shown to strangers."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, text, update

from api.composition import Imprimatur, utc_now
from api.errors import GenerationFailedError
from api.generate import ImageResult, Order
from api.http import create_app
from api.settings import Settings
from benchmarks.watermark_attacks import ATTACKS
from generator.request import GenerationRequest
from provenance.certificate import earliest_expiry
from provenance.development_ca import development_signer
from provenance.encode import thumbnail_jpeg
from provenance.fingerprint import fingerprint
from provenance.manifest import definition
from provenance.raw_store import RawStore
from provenance.sdk_signing import sign
from provenance.tables import credential_manifests
from provenance.vocabulary import ISCC_ALGORITHM, WATERMARK_ALGORITHM
from tests.api.painting import encoded, painting_service, pixels_of, released
from tests.provenance.pictures import description, textured
from tests.timestamp_authority import Fault, TimestampAuthority, is_available


@pytest.fixture(scope="module")
def services(settings: Settings) -> Iterator[Imprimatur]:
    with painting_service(settings.model_copy(update={"lookups_per_minute": 100_000})) as opened:
        yield opened


@pytest.fixture(scope="module")
def issued(services: Imprimatur) -> tuple[ImageResult, bytes]:
    return released(services, 31)


@pytest.fixture(scope="module")
def http(services: Imprimatur) -> TestClient:
    return TestClient(create_app(services))


def manifest_id(services: Imprimatur, image: ImageResult) -> str:
    credential = services.results.credential(services.records.get(image.record_id))
    assert credential is not None
    return str(credential["manifest"])


def payload(services: Imprimatur, image: ImageResult) -> bytes:
    return services.marking.payload(services.records.get(image.record_id)).to_bytes(8, "big")


def base64_of(value: bytes) -> str:
    return base64.b64encode(value).decode()


def matches(answer: Any) -> dict[str, int]:
    assert answer.status_code == 200, answer.text
    return {match["manifestId"]: match["similarityScore"] for match in answer.json()["matches"]}


@pytest.mark.parametrize("image_format", ["png", "jpeg", "webp", "avif", "tiff"])
def test_every_format_is_released_verified_and_found_again(services: Imprimatur, image_format: str) -> None:
    image, data = released(services, 36, image_format)
    document = services.verification.verify(data, services.local_caller()).to_document()
    assert document["conclusion"] == "issued_here"
    statuses = {(one["technique"], one["status"]) for one in document["evidence"]}
    assert {("credential", "ours"), ("credential", "intact_untrusted"), ("watermark", "agrees")} <= statuses
    assert ("metadata", "digital_source_type") in statuses
    assert document["record_id"] == image.record_id


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="needs exiftool (Debian: libimage-exiftool-perl)")
@pytest.mark.parametrize("image_format", ["png", "jpeg", "webp", "avif", "tiff"])
def test_an_independent_tool_reads_the_disclosure_of_the_file_that_ships(
    services: Imprimatur, tmp_path: Path, image_format: str
) -> None:
    image, data = released(services, 37, image_format)
    path = tmp_path / f"image.{image_format}"
    path.write_bytes(data)
    shown = subprocess.run(["exiftool", "-json", "-G1", path], capture_output=True, check=True)
    tags = json.loads(shown.stdout)[0]
    assert tags["XMP-iptcExt:DigitalSourceType"].endswith("/trainedAlgorithmicMedia")
    assert tags["XMP-dc:Identifier"] == image.record_id
    label = next(value for name, value in tags.items() if name.upper().endswith(":AIGC"))
    assert image.record_id in str(label)


def test_erasing_a_subject_takes_the_kept_manifest_with_it(services: Imprimatur) -> None:
    """The manifest holds a thumbnail, and the prompt where it was disclosed."""
    who = replace(services.local_caller(), subject="local/user/forgotten")
    order = Order(GenerationRequest(prompt="a green tree", seed=61, steps=2), who, "png")
    image = services.generation.run(order).images[0]
    name = manifest_id(services, image)
    http = TestClient(create_app(services))
    assert http.get(f"/manifests/{name}").status_code == 200
    record = services.records.get(image.record_id)

    services.erasing.erase(who.subject, ground="asked for", caller=services.local_caller())

    assert http.get(f"/manifests/{name}").status_code == 404
    recovered = services.credentials.recover(record)
    assert recovered is not None
    assert recovered.manifest_store is None


def test_the_prompt_is_in_the_file_only_where_the_caller_asks_for_it(services: Imprimatur) -> None:
    prompt = "a lighthouse on a rock, by night"
    _, silent = released(services, 39, prompt=prompt)
    _, open_ = released(services, 39, disclose_prompt=True, prompt=prompt)
    assert prompt.encode() not in silent
    assert prompt.encode() in open_


def test_a_picture_whose_credential_is_a_trap_is_not_used(
    services: Imprimatur, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services.publisher, "_read", lambda *_: RawStore("gave_up", message="reading took too long"))
    with pytest.raises(GenerationFailedError, match="without its credential"):
        released(
            services, 40, original=encoded(textured(56)), task="image-to-image", strength=0.5, width=512, height=512
        )


def test_a_visible_label_is_drawn_declared_and_survives_beside_the_mark(settings: Settings) -> None:
    with painting_service(settings.model_copy(update={"visible_label": "AI"})) as opened:
        _, data = released(opened, 38)
        corner = pixels_of(data)[-60:, -90:].astype(int)
        plain = textured(38)[-60:, -90:].astype(int)
        assert np.abs(corner - plain).max() > 60
        document = opened.verification.verify(data, opened.local_caller()).to_document()
        assert document["conclusion"] == "issued_here"
        credential = next(one for one in document["evidence"] if one["status"] == "intact_untrusted")
        assert "c2pa.addedText" in [action["action"] for action in credential["details"]["actions"]]


def test_the_health_tells_of_certificates_that_end(settings: Settings) -> None:
    clock = {"ahead": timedelta()}
    with Imprimatur(settings, clock=lambda: utc_now() + clock["ahead"]) as opened:
        expires = earliest_expiry(opened.publisher.keys.current().certificate_chain_pem)
        for remaining, status in (
            (timedelta(days=31), "green"),
            (timedelta(days=29), "yellow"),
            (timedelta(days=6), "red"),
        ):
            clock["ahead"] = expires - remaining - utc_now()
            assert opened.health()["parts"]["certificate"]["status"] == status


class TestByBinding:
    def test_a_watermarks_payload_leads_to_the_manifest(
        self, services: Imprimatur, http: TestClient, issued: tuple[ImageResult, bytes]
    ) -> None:
        query = {"alg": WATERMARK_ALGORITHM, "value": base64_of(payload(services, issued[0]))}
        expected = {manifest_id(services, issued[0]): 100}
        assert matches(http.get("/matches/byBinding", params=query)) == expected
        assert matches(http.post("/matches/byBinding", json=query)) == expected
        assert matches(http.get("/v1/matches/byBinding", params=query)) == expected

    def test_a_fingerprint_leads_to_the_manifest_with_its_similarity(
        self, services: Imprimatur, http: TestClient, issued: tuple[ImageResult, bytes]
    ) -> None:
        copy = pixels_of(encoded(pixels_of(issued[1]), "JPEG", quality=60))
        for pixels, at_least in ((pixels_of(issued[1]), 100), (copy, 90)):
            query = {"alg": ISCC_ALGORITHM, "value": base64_of(fingerprint(pixels).iscc.encode())}
            assert matches(http.get("/matches/byBinding", params=query))[manifest_id(services, issued[0])] >= at_least

    def test_what_is_made_up_leads_nowhere(self, http: TestClient, issued: tuple[ImageResult, bytes]) -> None:
        other = fingerprint(textured(99)).iscc.encode()
        for alg, value in ((WATERMARK_ALGORITHM, bytes(8)), (ISCC_ALGORITHM, other)):
            assert matches(http.get("/matches/byBinding", params={"alg": alg, "value": base64_of(value)})) == {}

    @pytest.mark.parametrize(
        ("query", "parameter"),
        [
            ({"alg": "com.example.unknown", "value": "AAAA"}, "alg"),
            ({"alg": WATERMARK_ALGORITHM, "value": "AAAA"}, "value"),
            ({"alg": WATERMARK_ALGORITHM, "value": "§"}, "value"),
            ({"alg": ISCC_ALGORITHM, "value": "AAAA"}, "value"),
            ({"alg": WATERMARK_ALGORITHM}, "value"),
            ({"alg": WATERMARK_ALGORITHM, "value": "AAAA", "maxResults": 0}, "maxResults"),
        ],
    )
    def test_a_query_that_cannot_be_is_a_400(self, http: TestClient, query: dict[str, Any], parameter: str) -> None:
        answer = http.get("/matches/byBinding", params=query)
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == parameter

    def test_a_value_too_long_for_an_address_is_a_414(self, http: TestClient) -> None:
        query = {"alg": ISCC_ALGORITHM, "value": "A" * 4000}
        assert http.get("/matches/byBinding", params=query).status_code == 414

    def test_no_more_than_asked_for_is_given(
        self, http: TestClient, services: Imprimatur, issued: tuple[ImageResult, bytes]
    ) -> None:
        again = released(services, 31)  # the same picture twice
        code = base64_of(fingerprint(pixels_of(issued[1])).iscc.encode())
        query: dict[str, Any] = {"alg": ISCC_ALGORITHM, "value": code}
        both = matches(http.get("/matches/byBinding", params=query))
        assert {manifest_id(services, image) for image, _ in (issued, again)} <= set(both)
        assert len(matches(http.get("/matches/byBinding", params=query | {"maxResults": 1}))) == 1


class TestByContent:
    @pytest.mark.parametrize("alg", [None, WATERMARK_ALGORITHM, ISCC_ALGORITHM])
    def test_a_stripped_copy_leads_to_the_manifest(
        self, services: Imprimatur, http: TestClient, issued: tuple[ImageResult, bytes], alg: str | None
    ) -> None:
        copy = encoded(pixels_of(issued[1]), "JPEG", quality=70)
        query = {"alg": alg} if alg else {}
        answer = http.post("/matches/byContent", content=copy, headers={"Content-Type": "image/jpeg"}, params=query)
        assert matches(answer)[manifest_id(services, issued[0])] > 80

    def test_a_hint_narrows_the_answer(
        self, services: Imprimatur, http: TestClient, issued: tuple[ImageResult, bytes]
    ) -> None:
        hint = {"hintAlg": WATERMARK_ALGORITHM, "hintValue": base64_of(payload(services, issued[0]))}
        answer = http.post("/matches/byContent", content=issued[1], headers={"Content-Type": "image/png"}, params=hint)
        assert set(matches(answer)) == {manifest_id(services, issued[0])}

    def test_a_mark_carried_over_to_another_picture_leads_nowhere(
        self, services: Imprimatur, http: TestClient, issued: tuple[ImageResult, bytes]
    ) -> None:
        forged = services.marking.embed(textured(77), services.records.get(issued[0].record_id))
        answer = http.post("/matches/byContent", content=encoded(forged), headers={"Content-Type": "image/png"})
        assert matches(answer) == {}

    def test_what_is_no_image_is_refused(self, http: TestClient) -> None:
        wrong = {"Content-Type": "text/plain"}
        assert http.post("/matches/byContent", content=b"text", headers=wrong).status_code == 415
        damaged = {"Content-Type": "image/png"}
        assert http.post("/matches/byContent", content=b"text", headers=damaged).status_code == 400
        unknown = {"alg": "com.example.unknown"}
        assert http.post("/matches/byContent", content=b"x", headers=damaged, params=unknown).status_code == 400


class TestManifests:
    def test_the_store_is_given_and_validates_beside_the_released_file(
        self, services: Imprimatur, http: TestClient, issued: tuple[ImageResult, bytes]
    ) -> None:
        answer = http.get(f"/manifests/{manifest_id(services, issued[0])}")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/c2pa"
        report = services.publisher.read(issued[1], "image/png", manifest_store=answer.content)
        assert report.state == "valid"
        assert report.unique_id == issued[0].record_id

    def test_the_active_manifest_alone_is_a_store_too(
        self, services: Imprimatur, http: TestClient, issued: tuple[ImageResult, bytes]
    ) -> None:
        name = manifest_id(services, issued[0])
        answer = http.get(f"/manifests/{name}", params={"returnActiveManifest": "true"})
        assert services.publisher.read_store(answer.content).manifest_label == name

    def test_what_is_not_released_is_not_found_like_what_is_not_there(
        self, services: Imprimatur, http: TestClient
    ) -> None:
        image, data = released(services, 33)
        name, code = manifest_id(services, image), fingerprint(pixels_of(data)).iscc.encode()
        with services.database.engine.connect() as connection:  # as its superuser, a state that nobody may read
            connection.execute(text("RESET ROLE"))
            connection.execute(text("UPDATE records SET state = 'held' WHERE record_id = :id"), {"id": image.record_id})
            connection.commit()
        hidden = http.get(f"/manifests/{name}")
        absent = http.get("/manifests/urn:c2pa:00000000-0000-4000-8000-000000000000")
        assert (hidden.status_code, hidden.json()) == (absent.status_code, absent.json())
        assert hidden.status_code == 404
        for alg, value in ((WATERMARK_ALGORITHM, payload(services, image)), (ISCC_ALGORITHM, code)):
            query = {"alg": alg, "value": base64_of(value)}
            assert name not in matches(http.get("/matches/byBinding", params=query))

    def test_what_is_no_identifier_is_a_400(self, http: TestClient) -> None:
        for name in ("1", "urn:uuid:00000000-0000-4000-8000-000000000000", "urn:c2pa:%00"):
            assert http.get(f"/manifests/{name}").status_code == 400

    def test_the_supported_algorithms_are_named(self, http: TestClient) -> None:
        assert http.get("/services/supportedAlgorithms").json() == {
            "watermarks": [{"alg": WATERMARK_ALGORITHM}],
            "fingerprints": [{"alg": ISCC_ALGORITHM}],
        }

    def test_strangers_get_no_thumbnail_of_what_a_customer_sent(self, services: Imprimatur, http: TestClient) -> None:
        original = textured(55)
        image, data = released(
            services, 34, original=encoded(original), task="image-to-image", strength=0.5, width=512, height=512
        )
        small = thumbnail_jpeg(original)
        assert small in data
        public = http.get(f"/manifests/{manifest_id(services, image)}").content
        assert small not in public
        report = services.publisher.read(data, "image/png", manifest_store=public)
        assert report.state == "valid"
        assert report.claims == ("declared_ai", "declared_edited")


def test_strangers_may_ask_so_often_and_whoever_has_a_key_oftener(settings: Settings) -> None:
    with painting_service(settings.model_copy(update={"lookups_per_minute": 3})) as opened:
        client = TestClient(create_app(opened))
        key = opened.create_key(tenant="acme", name="lookups", roles=("verify",))[1]
        answers = [client.get("/services/supportedAlgorithms") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[-1].json()["error"]["code"] == "rate_limited"
        assert int(answers[-1].headers["Retry-After"]) >= 1
        with_key = {"Authorization": f"Bearer {key}"}
        assert client.get("/services/supportedAlgorithms", headers=with_key).status_code == 200
        wrong = {"Authorization": "Bearer imp_0"}
        assert client.get("/services/supportedAlgorithms", headers=wrong).status_code == 401


def _statuses(services: Imprimatur, data: bytes) -> tuple[str, set[tuple[str, str]]]:
    document = services.verification.verify(data, services.local_caller()).to_document()
    return document["conclusion"], {(one["technique"], one["status"]) for one in document["evidence"]}


class TestRecovery:
    def test_a_stripped_copy_gets_its_credential_back_checked_again(
        self, services: Imprimatur, issued: tuple[ImageResult, bytes]
    ) -> None:
        copy = encoded(pixels_of(issued[1]), "JPEG", quality=75)
        conclusion, statuses = _statuses(services, copy)
        assert conclusion == "issued_here"
        assert {("credential", "none"), ("credential", "recovered")} <= statuses

    def test_a_kept_store_that_was_changed_is_told(self, services: Imprimatur, monkeypatch: pytest.MonkeyPatch) -> None:
        _, data = released(services, 35)
        from api.credentials import Credentials

        honest = Credentials._get

        def changed(self: Credentials, reference: Any) -> bytes:
            store = bytearray(honest(self, reference))
            position = bytes(store).index(b"trainedAlgorithmicMedia")
            store[position] ^= 1
            return bytes(store)

        monkeypatch.setattr(Credentials, "_get", changed)
        conclusion, statuses = _statuses(services, encoded(pixels_of(data)))
        assert conclusion == "issued_here"  # by the ledger and the pixels, not by that store
        assert ("credential", "recovered_broken") in statuses

    def test_a_transplanted_mark_is_a_conflict(self, services: Imprimatur, issued: tuple[ImageResult, bytes]) -> None:
        forged = services.marking.embed(textured(78), services.records.get(issued[0].record_id))
        conclusion, statuses = _statuses(services, encoded(forged))
        assert conclusion == "conflict"
        assert ("credential", "recovered") not in statuses

    def test_a_strangers_credential_with_our_names_in_it_is_not_ours(
        self, services: Imprimatur, issued: tuple[ImageResult, bytes], tmp_path: Path
    ) -> None:
        """Another picture, signed by somebody else, under our record's id and our manifest's label."""
        forger = development_signer(tmp_path, utc_now)
        made = definition(description(unique_id=issued[0].record_id, soft_bindings=()))
        made["label"] = manifest_id(services, issued[0])
        forged, _ = sign(encoded(textured(80)), "image/png", made, forger, None)
        report = services.publisher.read(forged, "image/png")
        assert (report.manifest_label, report.unique_id) == (made["label"], issued[0].record_id)

        conclusion, statuses = _statuses(services, forged)

        assert conclusion == "inconclusive"
        assert ("credential", "not_ours") in statuses
        assert ("credential", "ours") not in statuses

    def test_a_credential_moved_to_another_picture_is_broken(
        self, services: Imprimatur, issued: tuple[ImageResult, bytes]
    ) -> None:
        """The whole store, byte for byte, in another picture's file."""
        marker = issued[1].index(b"caBX") - 4
        length = int.from_bytes(issued[1][marker : marker + 4], "big") + 12
        other = encoded(textured(79))
        end_of_header = other.index(b"IDAT") - 4
        moved = other[:end_of_header] + issued[1][marker : marker + length] + other[end_of_header:]
        conclusion, statuses = _statuses(services, moved)
        assert conclusion == "credential_broken"
        assert ("credential", "ours") not in statuses


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_honest_transformation_is_never_a_conflict(
    services: Imprimatur, issued: tuple[ImageResult, bytes], attack: str
) -> None:
    """On all of the watermark's attacks: it agrees, or it is not comparable."""
    changed = np.ascontiguousarray(ATTACKS[attack](pixels_of(issued[1])))
    conclusion, statuses = _statuses(services, encoded(changed))
    assert conclusion in ("issued_here", "inconclusive"), statuses
    assert ("watermark", "differs") not in statuses


@pytest.fixture(scope="module")
def tsa(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TimestampAuthority]:
    with TimestampAuthority(tmp_path_factory.mktemp("tsa")) as running:
        yield running


@pytest.mark.skipif(not is_available(), reason="needs openssl")
class TestTimeStamps:
    def _settings(self, settings: Settings, tsa: TimestampAuthority, **changes: Any) -> Settings:
        return settings.model_copy(
            update={"time_stamp_url": tsa.url, "time_stamp_anchors": Path(tsa.root), "time_stamp_timeout_s": 2.0}
            | changes
        )

    def test_a_released_image_is_stamped_and_the_record_says_so(
        self, settings: Settings, tsa: TimestampAuthority
    ) -> None:
        with painting_service(self._settings(settings, tsa)) as opened:
            image, data = released(opened, 41)
            report = opened.publisher.read(data, "image/png")
            assert report.signer is not None
            assert report.signer.time_is_trusted
            credential = opened.results.credential(opened.records.get(image.record_id))
            assert credential is not None
            assert credential["time_stamp"] == "stamped"
            assert opened.health()["parts"]["time_stamps"]["status"] == "green"

    def test_while_the_authority_is_away_images_leave_unstamped_and_the_kept_manifest_is_stamped_later(
        self, settings: Settings, tsa: TimestampAuthority
    ) -> None:
        with painting_service(self._settings(settings, tsa)) as opened:
            with tsa.failing(Fault.UNAVAILABLE):
                image, data = released(opened, 42)
            record = opened.records.get(image.record_id)
            credential = opened.results.credential(record)
            assert credential is not None
            assert credential["time_stamp"] == "pending"
            assert opened.health()["parts"]["time_stamps"]["status"] == "yellow"
            assert opened.credentials.waiting_stamps() == 1

            assert opened.credentials.stamp_due() == 0  # nothing is due yet
            self._make_due(opened)
            with tsa.failing(Fault.UNAVAILABLE):
                assert opened.credentials.stamp_due() == 0
            self._make_due(opened)
            opened.publisher.authority._away_until = float("-inf")  # type: ignore[union-attr]  # a minute has passed
            assert opened.credentials.stamp_due() == 1

            assert opened.credentials.waiting_stamps() == 0
            recovered = opened.credentials.recover(record)
            assert recovered is not None
            assert recovered.manifest_store is not None
            report = opened.publisher.read(data, "image/png", manifest_store=recovered.manifest_store)
            assert report.state == "valid"
            assert "timeStamp.validated" in {code.code for code in report.codes}
            assert report.unique_id == image.record_id
            # The file that left is what the record says, and strangers find the stamped manifest under its old name.
            assert opened.results.image(image.record_id, opened.local_caller())[0] == data
            store = TestClient(create_app(opened)).get(f"/manifests/{credential['manifest']}").content
            assert store == recovered.manifest_store

    def test_where_a_stamp_is_required_nothing_leaves_without(
        self, settings: Settings, tsa: TimestampAuthority
    ) -> None:
        with painting_service(self._settings(settings, tsa, time_stamp_required=True)) as opened:
            with tsa.failing(Fault.UNAVAILABLE), pytest.raises(GenerationFailedError, match="time-stamp authority"):
                released(opened, 43)
            assert opened.health()["parts"]["time_stamps"]["status"] == "red"

    @staticmethod
    def _make_due(opened: Imprimatur) -> None:
        with opened.database.engine.begin() as connection:
            pending = select(credential_manifests.c.manifest_id).where(credential_manifests.c.stamp_state == "pending")
            connection.execute(
                update(credential_manifests)
                .where(credential_manifests.c.manifest_id.in_(pending))
                .values(stamp_due_at=utc_now() - timedelta(seconds=1))
            )
