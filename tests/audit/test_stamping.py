"""Time stamps on checkpoints, by a real authority on loopback."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from audit import AuditLog
from audit.errors import AuditError, KeyFileError, StampInvalidError, StampUnavailableError
from audit.fsck import fsck
from audit.stamping import Stamper, StampTrust, stored_stamps
from tests.audit.samples import failed
from tests.timestamp_authority import Fault, TimestampAuthority


@pytest.fixture
def trust(timestamp_authority: TimestampAuthority) -> StampTrust:
    return StampTrust.load(timestamp_authority.root)


@pytest.fixture
def stamper(service: Engine, timestamp_authority: TimestampAuthority, trust: StampTrust) -> Stamper:
    return Stamper(service, timestamp_authority.url, trust, timeout_s=1)


def test_a_stamp_is_kept_and_verifies_offline(
    log: AuditLog, service: Engine, stamper: Stamper, trust: StampTrust
) -> None:
    log.record(failed())
    checkpoint = log.checkpoint()
    stamp = stamper.stamp(checkpoint)
    assert abs(stamp.time - datetime.now(UTC)) < timedelta(minutes=1)
    assert "Test time-stamp authority" in stamp.authority
    log.record(failed())
    ((stamped, response),) = stored_stamps(service, log.public_key)
    assert stamped == checkpoint
    assert trust.verify(response, stamped) == stamp
    assert stored_stamps(service, log.public_key, size=2) == []


def test_openssl_verifies_what_is_kept(
    log: AuditLog, service: Engine, stamper: Stamper, timestamp_authority: TimestampAuthority, tmp_path: Path
) -> None:
    log.record(failed())
    stamper.stamp(log.checkpoint())
    ((stamped, response),) = stored_stamps(service, log.public_key)
    (tmp_path / "note").write_text(stamped.note)
    (tmp_path / "response.tsr").write_bytes(response)
    command = [
        "openssl",
        "ts",
        "-verify",
        "-data",
        "note",
        "-in",
        "response.tsr",
        "-CAfile",
        str(timestamp_authority.root),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_stamp_of_another_checkpoint_does_not_hold(log: AuditLog, stamper: Stamper, trust: StampTrust) -> None:
    log.record(failed())
    response = stamper.stamp(log.checkpoint()).response
    log.record(failed())
    with pytest.raises(StampInvalidError, match="checkpoint 2"):
        trust.verify(response, log.checkpoint())


def test_an_authority_that_is_not_trusted_is_refused(
    log: AuditLog, service: Engine, timestamp_authority: TimestampAuthority, trust: StampTrust, tmp_path: Path
) -> None:
    log.record(failed())
    with TimestampAuthority(tmp_path) as stranger, pytest.raises(StampInvalidError, match="roots of the authority"):
        Stamper(service, stranger.url, trust).stamp(log.checkpoint())
    assert stored_stamps(service, log.public_key) == []


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.UNAVAILABLE, StampUnavailableError),
        (Fault.GARBAGE, StampInvalidError),
        (Fault.REFUSES, StampUnavailableError),
        (Fault.REPLAYS, StampInvalidError),
        (Fault.HANGS, StampUnavailableError),
    ],
)
def test_an_authority_that_fails_is_a_typed_error_and_nothing_is_kept(
    log: AuditLog,
    service: Engine,
    stamper: Stamper,
    timestamp_authority: TimestampAuthority,
    fault: Fault,
    error: type[AuditError],
) -> None:
    log.record(failed())
    stamper.stamp(log.checkpoint())
    log.record(failed())
    with timestamp_authority.failing(fault), pytest.raises(error):
        stamper.stamp(log.checkpoint())
    assert len(stored_stamps(service, log.public_key)) == 1
    assert stamper.stamp(log.checkpoint()).checkpoint.size == 2


def test_stamping_twice_keeps_one(log: AuditLog, service: Engine, stamper: Stamper) -> None:
    log.record(failed())
    for _ in range(2):
        stamper.stamp(log.checkpoint())
    assert len(stored_stamps(service, log.public_key)) == 1


def test_stamps_can_be_neither_changed_nor_removed(log: AuditLog, owner: Engine, stamper: Stamper) -> None:
    log.record(failed())
    stamper.stamp(log.checkpoint())
    for statement in ("UPDATE ledger_stamps SET response = ''", "DELETE FROM ledger_stamps", "TRUNCATE ledger_stamps"):
        with pytest.raises(Exception, match="append-only"), owner.begin() as connection:
            connection.execute(text(statement))


def test_a_file_without_certificates_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    for path in (tmp_path / "empty.pem", tmp_path / "absent.pem"):
        with pytest.raises(KeyFileError):
            StampTrust.load(path)


@pytest.mark.parametrize("url", ["ftp://example.com", "file:///etc/passwd", "example.com"])
def test_other_addresses_than_http_are_refused(service: Engine, trust: StampTrust, url: str) -> None:
    with pytest.raises(StampUnavailableError, match="no address"):
        Stamper(service, url, trust)


def test_a_nearby_authority_that_is_away_is_a_typed_error(log: AuditLog, service: Engine, trust: StampTrust) -> None:
    log.record(failed())
    with pytest.raises(StampUnavailableError, match="stamped later"):
        Stamper(service, "http://127.0.0.1:9/", trust).stamp(log.checkpoint())
    assert fsck(service, log).ok
