"""Checkpoints, stamps and proofs from the command line; what it prints is checked offline, and spoilt is refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from api.cli import main
from api.composition import Imprimatur
from audit.ledger.merkle import verify_consistency
from tests.api.ledger_house import failed, open_house
from tests.timestamp_authority import Fault, TimestampAuthority


@pytest.fixture(scope="module")
def house(
    database_url: str, tmp_path_factory: pytest.TempPathFactory, timestamp_authority: TimestampAuthority
) -> Iterator[Imprimatur]:
    folder = tmp_path_factory.mktemp("house")
    with pytest.MonkeyPatch.context() as environment, open_house(database_url, folder, timestamp_authority) as opened:
        environment.setenv("IMPRIMATUR_DATA_DIR", str(folder))
        environment.setenv("IMPRIMATUR_DATABASE_URL", database_url)
        environment.setenv("IMPRIMATUR_TIME_STAMP_URL", timestamp_authority.url)
        environment.setenv("IMPRIMATUR_TIME_STAMP_ANCHORS", str(timestamp_authority.root))
        opened.log.record_all([failed(number) for number in range(20)])
        yield opened


def run(*arguments: object, code: int = 0) -> dict[str, Any]:
    """The JSON document that a command prints."""
    outcome = CliRunner().invoke(main, ["audit", *map(str, arguments), "--json"])
    assert outcome.exit_code == code, outcome.output
    document: dict[str, Any] = json.loads(outcome.stdout.splitlines()[0])
    return document


def test_stamps_and_proofs_from_the_command_line_hold_offline_and_spoilt_ones_do_not(
    house: Imprimatur, timestamp_authority: TimestampAuthority, tmp_path: Path
) -> None:
    with timestamp_authority.failing(Fault.UNAVAILABLE):
        assert run("checkpoint", "--stamp", code=3)["error"]["code"] == "time_stamp_unavailable"
    made = run("checkpoint", "--stamp")
    assert made["size"] == 20
    assert run("checkpoint", "--stamp")["stamp"] == made["stamp"], "what is stamped is not stamped again"
    note, stamp = tmp_path / "checkpoint.txt", tmp_path / "stamp.tsr"
    note.write_text(made["note"], "utf-8")
    stamp.write_bytes(base64.b64decode(made["stamp"]))
    offline = ("check-checkpoint", note, "--log-key", made["log_key"])
    stamped = (*offline, "--stamp", stamp, "--anchors", timestamp_authority.root)
    assert run(*offline)["root"] == made["root"]
    assert run(*stamped)["stamped_at"] == made["stamped_at"]
    assert run(*offline, "--stamp", stamp, code=2)["error"]["param"] == "stamp"

    stamp.write_bytes(stamp.read_bytes()[:-1] + b"\x00")
    assert run(*stamped, code=3)["problem"] == "StampInvalidError"
    note.write_text(made["note"].replace("\n20\n", "\n21\n"), "utf-8")
    assert run(*offline, code=3)["problem"] == "CheckpointError"
    note.write_bytes(b"\xff\xfe no text")
    assert run(*offline, code=3)["problem"] == "CheckpointError"

    proof = run("consistency", 7)
    assert (proof["from"], proof["to"]) == (7, 20)
    hashes = [base64.b64decode(entry) for entry in proof["proof"]]
    verify_consistency(7, 20, hashes, *(base64.b64decode(proof[name]) for name in ("old_root", "new_root")))
    assert run("consistency", 3, 7)["checkpoint"] is None
    for wrong in ((8, 7), (1, 21)):
        assert run("consistency", *wrong, code=2)["error"]
    report = run("fsck")
    assert (report["ok"], report["not_checked"]) == (True, [])


def test_without_an_authority_a_stamp_is_a_matter_of_configuration(
    house: Imprimatur, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("IMPRIMATUR_TIME_STAMP_URL")
    assert "IMPRIMATUR_TIME_STAMP_URL" in run("checkpoint", "--stamp", code=3)["error"]["message"]
