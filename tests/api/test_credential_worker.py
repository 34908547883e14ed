"""Reading credentials in a process that hostile files may break."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from api.credential_worker import CredentialWorker
from provenance.credential import sign_credential
from provenance.development_ca import development_signer
from provenance.ingredients import Ingredient
from provenance.raw_store import RawStore, read_raw, reading_settings
from provenance.reader import read_credential
from provenance.signer import PemSigner
from provenance.trust import official_trust_list
from tests.provenance.pictures import description, encoded, now, textured


@pytest.fixture(scope="module")
def worker() -> Iterator[CredentialWorker]:
    opened = CredentialWorker(8 << 20, timeout_s=20)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> PemSigner:
    return development_signer(tmp_path_factory.mktemp("keys"), lambda: datetime.now(UTC))


@pytest.fixture(scope="module")
def signed(signer: PemSigner) -> bytes:
    return sign_credential(encoded(textured(1, 64), "png"), "png", description(), signer, clock=now).data


def test_the_worker_reads_what_the_sdk_reads(worker: CredentialWorker, signed: bytes) -> None:
    settings = reading_settings(official_trust_list())
    here, there = read_raw(signed, "image/png", settings), worker.read(signed, "image/png", settings)
    assert json.loads(there.summary_json)["active_manifest"] == json.loads(here.summary_json)["active_manifest"]
    assert there.kind == here.kind == "store"
    assert worker.read(encoded(textured(1, 64), "png"), "image/png", settings).kind == "none"


def test_a_store_of_its_own_is_validated_against_the_image(worker: CredentialWorker, signer: PemSigner) -> None:
    image = sign_credential(encoded(textured(2, 64), "png"), "png", description(), signer, clock=now)
    raw = worker.read(image.data, "image/png", reading_settings(None), image.manifest_store)
    assert json.loads(raw.summary_json)["validation_state"] == "Valid"


def test_every_public_test_file_is_read_the_same_in_the_worker(worker: CredentialWorker, shared_data: Path) -> None:
    trust = official_trust_list()
    for path in sorted((shared_data / "c2pa/public-testfiles").glob("*.jpg")):
        data = path.read_bytes()
        here, there = (read_credential(data, "jpeg", trust, read=read) for read in (read_raw, worker.read))
        assert (here.state, here.claims, here.failures, here.tree) == (
            there.state, there.claims, there.failures, there.tree,
        ), path.name  # fmt: skip


def test_a_killed_child_is_replaced(worker: CredentialWorker, signed: bytes) -> None:
    worker.read(signed, "image/png", reading_settings(None))
    assert worker._process is not None
    worker._process.kill()
    worker._process.wait()
    assert worker.read(signed, "image/png", reading_settings(None)).kind == "store"


def _png_with_store(store: bytes) -> bytes:
    """A PNG whose caBX chunk holds the given bytes."""
    import zlib

    image = encoded(textured(3, 32), "png")
    end = image.index(b"IDAT") - 4
    chunk = b"caBX" + store
    return image[:end] + struct.pack(">I", len(store)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + image[end:]


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def _nested(depth: int) -> bytes:
    """Superboxes in superboxes."""
    description_box = _box(b"jumd", b"c2pa\x00\x11\x00\x10\x80\x00\x00\xaa\x00\x38\x9b\x71\x03c2pa\x00")
    store = description_box
    for _ in range(depth):
        store = description_box + _box(b"jumb", store)
    return _box(b"jumb", store)


@pytest.mark.parametrize(
    "store",
    [
        b"",
        b"jumb",
        _box(b"jumb", b""),
        _nested(5_000),
        _box(b"jumb", b"\xff" * 100_000),
        struct.pack(">I", 0xFFFFFFFF) + b"jumb" + bytes(64),
        struct.pack(">I", 1) + b"jumb" + struct.pack(">Q", 1 << 62) + bytes(64),
        _nested(3)[:-7],
    ],
    ids=["empty", "header", "hollow", "deep", "noise", "long", "huge", "cut"],
)
def test_a_store_that_is_a_trap_is_unreadable_and_the_worker_goes_on(
    worker: CredentialWorker, signed: bytes, store: bytes
) -> None:
    report = read_credential(_png_with_store(store), "png", None, read=worker.read)
    assert report.state in ("invalid", "none")
    assert read_credential(signed, "png", None, read=worker.read).state == "valid"


def test_what_takes_too_long_is_stopped(signed: bytes) -> None:
    slow = CredentialWorker(8 << 20, timeout_s=0.001)
    raw = slow.read(signed, "image/png", reading_settings(None))
    assert (raw.kind, "was stopped" in raw.message) == ("gave_up", True)
    slow.close()


def test_what_needs_too_much_memory_is_unreadable(signed: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    small = CredentialWorker(8 << 20, timeout_s=30)
    small._memory_bytes = 1 << 20  # not even the interpreter's libraries fit
    raw = small.read(signed, "image/png", reading_settings(None))
    assert raw == RawStore("gave_up", message="the credential made its reader fail")
    small.close()


def test_a_long_line_of_ancestors_is_read_to_the_end(worker: CredentialWorker, signer: PemSigner) -> None:
    image = encoded(textured(4, 32), "png")
    data = sign_credential(image, "png", description(title="0"), signer, clock=now).data
    for generation in range(1, 12):
        parent = Ingredient(data, "image/png", "parentOf", f"{generation - 1}")
        data = sign_credential(
            image, "png", description(title=str(generation), ingredients=(parent,)), signer, clock=now
        ).data

    report = read_credential(data, "png", None, read=worker.read)

    depth, level = 0, report.tree
    while level:
        assert [one.title for one in level] == [str(10 - depth)]
        depth, level = depth + 1, level[0].children
    assert depth == 11
    assert not report.tree_is_cut


def test_a_circle_of_ancestors_is_cut(signed: bytes) -> None:
    """No signer can make one, but a hostile store may say so."""
    raw = read_raw(signed, "image/png", reading_settings(None))
    summary, detailed = json.loads(raw.summary_json), json.loads(raw.detailed_json)
    label = summary["active_manifest"]
    ingredient = {
        "dc:title": "itself",
        "relationship": "parentOf",
        "activeManifest": {"url": f"self#jumbf=/c2pa/{label}", "hash": ""},
    }
    detailed["manifests"][label]["assertion_store"] |= {
        "c2pa.ingredient.v3": ingredient,
        "c2pa.ingredient.v3__1": ingredient,
    }
    summary["manifests"][label]["ingredients"] = [{"relationship": "parentOf", "active_manifest": label}]
    circular = RawStore("store", json.dumps(summary), json.dumps(detailed), raw.crjson)

    report = read_credential(signed, "png", None, read=lambda *_: circular)

    assert report.tree_is_cut
    assert len(report.ingredients) == 2


@pytest.mark.parametrize("key", ["title", "claim_generator_info", "ingredients", "assertions", "signature_info"])
@pytest.mark.parametrize("value", [None, 7, [], {}, [[]], [{"a": {}}], "\x1b[2J<script>", {"title": {"x": ["y"]}}])
def test_values_of_the_wrong_kind_do_no_harm(signed: bytes, key: str, value: Any) -> None:
    raw = read_raw(signed, "image/png", reading_settings(None))
    summary = json.loads(raw.summary_json)
    summary["manifests"][summary["active_manifest"]][key] = value
    report = read_credential(
        signed, "png", None, read=lambda *_: RawStore("store", json.dumps(summary), raw.detailed_json, raw.crjson)
    )
    assert report.state == "valid"
    shown = repr((report.title, report.claim_generator, report.actions, report.ingredients, report.signer))
    assert "\x1b" not in shown


def test_the_child_gets_none_of_the_services_settings(signed: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMPRIMATUR_SIGNING_KEY_PASSPHRASE", "secret")
    fresh = CredentialWorker(8 << 20)
    fresh.read(signed, "image/png", reading_settings(None))
    assert fresh._process is not None
    environment = Path(f"/proc/{fresh._process.pid}/environ").read_bytes()
    assert b"secret" not in environment
    fresh.close()
    assert "IMPRIMATUR_SIGNING_KEY_PASSPHRASE" in os.environ
