"""The ledger over HTTP, read as a stranger would: with a client that knows the specifications and nothing of ours."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from rfc3161_client import VerifierBuilder, decode_timestamp_response
from starlette.testclient import TestClient

from api.composition import Imprimatur
from api.http import create_app
from api.settings import Settings
from tests.api.ledger_house import failed, open_house
from tests.timestamp_authority import Fault, TimestampAuthority

EVENTS = 600


@pytest.fixture(scope="module")
def house(
    database_url: str, tmp_path_factory: pytest.TempPathFactory, timestamp_authority: TimestampAuthority
) -> Iterator[Imprimatur]:
    with open_house(database_url, tmp_path_factory.mktemp("house"), timestamp_authority) as opened:
        opened.log.record_all([failed(number) for number in range(EVENTS - 1)])
        yield opened


@pytest.fixture(scope="module")
def client(house: Imprimatur) -> TestClient:
    house.log.record(failed(EVENTS - 1))
    return TestClient(create_app(house))


def leaf_hash(leaf: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + leaf).digest()


def root_of(hashes: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, word for word."""
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return hashlib.sha256(b"\x01" + root_of(hashes[:split]) + root_of(hashes[split:])).digest()


def read_checkpoint(client: TestClient) -> tuple[int, bytes, str]:
    """Size, root and note of the checkpoint, its signature verified as C2SP signed-note says."""
    answer = client.get("/ledger/checkpoint")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    name, key_id, key = client.get("/ledger/key").text.strip().split("+", 2)
    text, _, signature_line = answer.text.rpartition("\n\n")
    _, signer, encoded = signature_line.strip().split(" ")
    signature = base64.b64decode(encoded)
    assert (signer, signature[:4].hex()) == (name, key_id)
    Ed25519PublicKey.from_public_bytes(base64.b64decode(key)[1:]).verify(signature[4:], f"{text}\n".encode())
    origin, size, root = text.split("\n")
    assert origin == name
    return int(size), base64.b64decode(root), answer.text


def bundle(client: TestClient, path: str) -> list[bytes]:
    """The entries of a bundle."""
    content = client.get(f"/ledger/tile/entries/{path}").content
    entries = []
    while content:
        length = int.from_bytes(content[:2], "big")
        entries.append(content[2 : 2 + length])
        content = content[2 + length :]
    return entries


def test_a_stranger_rebuilds_the_tree_from_tiles_and_entries(client: TestClient) -> None:
    size, root, _ = read_checkpoint(client)
    assert size == EVENTS
    entries = bundle(client, "000") + bundle(client, "001") + bundle(client, "002.p/88")
    assert len(entries) == EVENTS
    hashes = [leaf_hash(entry) for entry in entries]
    assert root_of(hashes) == root
    tiles = [client.get(f"/ledger/tile/0/{path}").content for path in ("000", "001", "002.p/88")]
    assert b"".join(tiles) == b"".join(hashes)
    upper = client.get("/ledger/tile/1/000.p/2").content
    assert upper == root_of(hashes[:256]) + root_of(hashes[256:512])


def test_tiles_may_be_cached_for_ever_and_checkpoints_for_seconds(client: TestClient) -> None:
    for path in ("0/000", "entries/000", "0/002.p/5", "entries/002.p/5"):
        answer = client.get(f"/ledger/tile/{path}")
        assert answer.headers["content-type"] == "application/octet-stream"
        assert "immutable" in answer.headers["cache-control"]
    assert client.get("/ledger/checkpoint").headers["cache-control"] == "public, max-age=5"


@pytest.mark.parametrize(
    "path",
    ["0/003", "0/002", "0/002.p/89", "1/000", "2/000.p/1", "64/000.p/1", "0/0", "0/000.p/256", "0/x000/000", "-1/000",
     "entries/003", "0/000.p/0", "0/x001/x234/067", "data/000", ""],
)  # fmt: skip
def test_tiles_that_are_not_there_or_named_otherwise_are_not_found(client: TestClient, path: str) -> None:
    answer = client.get(f"/ledger/tile/{path}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


def test_an_inclusion_proof_leads_from_a_leaf_to_the_checkpoint(client: TestClient) -> None:
    size, root, note = read_checkpoint(client)
    for index in (0, 255, 256, 599):
        proof = client.get("/ledger/proof/inclusion", params={"index": index}).json()
        assert (proof["size"], proof["checkpoint"]) == (size, note)
        running, position, last = leaf_hash(proof["leaf"].encode()), index, size - 1
        for sibling in map(base64.b64decode, proof["proof"]):  # RFC 9162 section 2.1.3.2
            if position & 1 or position == last:
                running = hashlib.sha256(b"\x01" + sibling + running).digest()
                while not position & 1 and position:
                    position, last = position >> 1, last >> 1
            else:
                running = hashlib.sha256(b"\x01" + running + sibling).digest()
            position, last = position >> 1, last >> 1
        assert running == root


def test_an_event_is_proved_by_its_id_and_a_leaf_in_an_older_tree(client: TestClient, house: Imprimatur) -> None:
    event = house.log.recent(1)[0]
    proof = client.get("/ledger/proof/inclusion", params={"event": event.id}).json()
    assert proof["index"] == EVENTS - 1
    assert event.id in proof["leaf"]
    older = client.get("/ledger/proof/inclusion", params={"index": 3, "size": 4}).json()
    assert (older["size"], older["checkpoint"], len(older["proof"])) == (4, None, 2)


def test_a_consistency_proof_joins_two_sizes(client: TestClient, house: Imprimatur) -> None:
    from audit.ledger.merkle import verify_consistency

    newest = client.get("/ledger/proof/consistency", params={"from": 300}).json()
    assert newest["to"] == EVENTS
    assert newest["checkpoint"] == client.get("/ledger/checkpoint").text
    older = client.get("/ledger/proof/consistency", params={"from": 7, "to": 300}).json()
    for found, old, new in ((newest, 300, EVENTS), (older, 7, 300)):
        proof = [base64.b64decode(entry) for entry in found["proof"]]
        verify_consistency(old, new, proof, house.log.root(old), house.log.root(new))


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("inclusion", 400),
        ("inclusion?index=1&event=x", 400),
        ("inclusion?event=x&size=3", 400),
        ("inclusion?event=x", 404),
        ("inclusion?event=01a20426-d1b0-799e-959d-d03fd81c3291", 404),
        ("inclusion?index=600", 404),
        ("inclusion?index=5&size=5", 404),
        ("inclusion?index=-1", 400),
        ("inclusion?index=99999999999999999999", 400),
        ("consistency", 400),
        ("consistency?from=9&to=8", 404),
        ("consistency?from=1&to=601", 404),
    ],
)
def test_proofs_that_cannot_be_are_typed_errors(client: TestClient, path: str, status: int) -> None:
    answer = client.get(f"/ledger/proof/{path}")
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


def test_stamps_are_served_and_verify_without_our_code(
    client: TestClient, house: Imprimatur, timestamp_authority: TimestampAuthority
) -> None:
    assert client.get("/ledger/stamps").json() == {"stamps": []}
    house.checkpointing.stamped()
    (stamp,) = client.get("/ledger/stamps").json()["stamps"]
    assert stamp["size"] == EVENTS
    assert datetime.fromisoformat(stamp["time"]).tzinfo is not None
    root = x509.load_pem_x509_certificate(timestamp_authority.root.read_bytes())
    response = decode_timestamp_response(base64.b64decode(stamp["response"]))
    assert VerifierBuilder(roots=[root]).build().verify_message(response, stamp["checkpoint"].encode())


def test_the_schedule_stamps_what_is_new_and_only_that(
    house: Imprimatur, timestamp_authority: TimestampAuthority, client: TestClient
) -> None:
    from api.checkpointing import CheckpointSchedule

    schedule = CheckpointSchedule(house)
    schedule.tick()
    asked = timestamp_authority.requests
    schedule.tick()
    assert timestamp_authority.requests == asked
    with timestamp_authority.failing(Fault.UNAVAILABLE):
        house.log.append(failed())
        schedule.tick()  # is only noted: the log goes on
    newest = house.log.latest_checkpoint()
    assert newest is not None
    assert newest.size == EVENTS + 1, "what waited has its place"
    schedule.tick()
    assert [stamp.checkpoint.size for stamp in house.checkpointing.stamps(limit=1)] == [EVENTS + 1]


def test_the_running_schedule_ticks_by_itself(house: Imprimatur) -> None:
    from api.checkpointing import CheckpointSchedule

    quick = Imprimatur(house.settings.model_copy(update={"checkpoint_interval_s": 0.05}))
    schedule = CheckpointSchedule(quick)
    event_id = house.log.append(failed())
    schedule.start()
    try:
        for _ in range(200):
            if house.log.event(event_id).index is not None:
                break
            schedule._stop.wait(0.05)
    finally:
        schedule.close()
        quick.close()
    assert house.log.event(event_id).index is not None


def test_reads_are_limited_by_address_and_a_house_may_keep_its_ledger_to_auditors(
    house: Imprimatur, tmp_path: Path
) -> None:
    limited: Settings = house.settings.model_copy(update={"ledger_reads_per_minute": 3})
    with Imprimatur(limited) as opened:
        client = TestClient(create_app(opened))
        assert [client.get("/ledger/key").status_code for _ in range(4)] == [200, 200, 200, 429]
    closed: Settings = house.settings.model_copy(update={"ledger_public": False})
    with Imprimatur(closed) as opened:
        client = TestClient(create_app(opened))
        keys = {role: opened.create_key(tenant="acme", name="t", roles=(role,))[1] for role in ("audit", "generate")}
        answers = {
            role: client.get("/ledger/checkpoint", headers={"Authorization": f"Bearer {key}"}).status_code
            for role, key in keys.items()
        }
        assert answers == {"audit": 200, "generate": 403}
        assert client.get("/ledger/checkpoint").status_code == 401
