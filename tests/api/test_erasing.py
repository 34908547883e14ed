"""Erasure from the outside: after it, a copy of the whole disk with every key that exists gives nothing back."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import create_engine, text

from api.cli import main
from api.composition import Imprimatur
from api.errors import ConfigurationError, NotFoundError
from api.retention_rules import read_rules
from audit.errors import ErasedError
from audit.fsck import fsck
from tests.api.disk_copy import opens_with, traces
from tests.api.ledger_house import open_house, release
from tests.postgres_server import PostgresServer, packaged_binaries

PROMPT = "a lighthouse with the words Meerschaum-Quittung on its wall"
SERVICE_PASSWORD = "of the service"
USER = "acme/user/wilhelmina.zwetschgenbaum"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """An external server, with passwords; who owns the tables is not who the service logs in as."""
    with PostgresServer(packaged_binaries(), tls=False) as server:
        owner = create_engine(server.url(), isolation_level="AUTOCOMMIT")
        with owner.connect() as connection:
            connection.execute(text("CREATE ROLE imprimatur_service"))
            connection.execute(text(f"CREATE ROLE service_login LOGIN PASSWORD '{SERVICE_PASSWORD}'"))
            connection.execute(text("GRANT imprimatur_service TO service_login"))
        owner.dispose()
        yield server


@pytest.fixture
def urls(server: PostgresServer) -> dict[str, str]:
    """Settings of a fresh database on the server."""
    name = f"house_{secrets.token_hex(4)}"
    owner = create_engine(server.url(), isolation_level="AUTOCOMMIT")
    with owner.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    owner.dispose()
    return {
        "database_url": server.url("service_login", SERVICE_PASSWORD, name).render_as_string(hide_password=False),
        "owner_database_url": server.url(database=name).render_as_string(hide_password=False),
    }


@pytest.fixture
def house(urls: dict[str, str], tmp_path: Path) -> Iterator[Imprimatur]:
    """A service on a server whose files can be copied while it is down."""
    with open_house(urls["database_url"], tmp_path / "data", owner_database_url=urls["owner_database_url"]) as opened:
        yield opened


@pytest.fixture
def command(house: Imprimatur, urls: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """Runs `imprimatur` commands on the house."""
    monkeypatch.setenv("IMPRIMATUR_DATA_DIR", str(house.settings.data_dir))
    for name, url in urls.items():
        monkeypatch.setenv(f"IMPRIMATUR_{name.upper()}", url)
    return CliRunner()


def run(command: CliRunner, *arguments: str, code: int = 0) -> dict[str, object]:
    """The JSON document that a command prints."""
    outcome = command.invoke(main, [*arguments, "--json"])
    assert outcome.exit_code == code, outcome.output
    document: dict[str, object] = json.loads(outcome.stdout.splitlines()[0])
    return document


def test_a_copy_of_the_disk_and_all_keys_give_back_nothing_that_was_erased(
    house: Imprimatur, server: PostgresServer, command: CliRunner, tmp_path: Path
) -> None:
    pixels = secrets.token_bytes(40_000)
    prompt, image = release(house, USER, PROMPT, pixels)
    kept, _ = release(house, "acme/user/bob", "a blue boat", secrets.token_bytes(1000))
    with house.database.engine.connect() as connection:
        row = connection.execute(
            text("SELECT i.ciphertext, s.wrapped_key, s.name FROM vault_items i JOIN vault_subjects s"
                 " ON s.id = i.subject_id WHERE i.id = CAST(:id AS uuid)"), {"id": prompt.id}
        ).one()  # fmt: skip
    sealed_pixels = next((tmp_path / "data" / "objects").rglob(image.sha256)).read_bytes()
    old_keys = {path.name: path.read_bytes() for path in (tmp_path / "data" / "keys" / "vault").iterdir()}

    document = run(command, "audit", "erase", "--tenant", "acme", "--user", USER.split("/")[-1], "--ground", "asked")
    assert document["objects"] == 2

    # The adversary's copy, taken from a server that crashed: data files with everything that was ever written to them,
    # write-ahead log, object store, and the keys folder as it is now.
    server.kill()
    copy = tmp_path / "copy"
    shutil.copytree(server.data, copy / "postgres")
    shutil.copytree(tmp_path / "data", copy / "data")
    server.start()
    found = traces(copy, {"prompt": PROMPT.encode(), "user": USER.encode(), "pixels": pixels[:64]})
    assert found == []
    assert traces(copy, {"digest": image.sha256.encode()}) != [], "the search finds what is there"

    # The old rows are still in the copy, as the issue with deletion has it ...
    files = b"".join(path.read_bytes() for path in (copy / "postgres").rglob("*") if path.is_file())
    assert bytes(row.wrapped_key) in files
    assert not any(key in files for key in old_keys.values()), "no epoch key ever went to the database"
    # ... and no key of the copy opens them; the destroyed key would have.
    keys = [path.read_bytes() for path in (copy / "data" / "keys").rglob("*") if path.is_file()]
    assert not any(old in key for old in old_keys.values() for key in keys)
    (old_key,) = old_keys.items()
    assert _opens(old_key[1], old_key[0], row, prompt.subject_id, sealed_pixels)
    for path in (copy / "data" / "keys" / "vault").iterdir():
        assert not _opens(path.read_bytes(), old_key[0], row, prompt.subject_id, sealed_pixels)
        assert not _opens(path.read_bytes(), path.name, row, prompt.subject_id, sealed_pixels)

    # What was not erased is there, and everything still proves.
    assert house.vault.get(kept) == b"a blue boat"
    with pytest.raises(ErasedError):
        house.vault.get(prompt)
    assert house.fsck().ok
    assert fsck(house.database.engine, house.log, house.vault, house.objects).ok


def _opens(epoch_key: bytes, file_name: str, row: object, subject_id: str, sealed_object: bytes) -> bool:
    """Whether an epoch key leads to the subject's key, and that to what it sealed."""
    from audit.sealing import derive

    key_id = file_name.removeprefix("epoch-").removesuffix(".key")
    wrapped: bytes = bytes(row.wrapped_key)  # type: ignore[attr-defined]
    return opens_with(
        derive(epoch_key, "wrapping"), wrapped, [f"subject {subject_id} epoch {key_id}".encode(), subject_id.encode()]
    )


def test_an_erasure_that_was_interrupted_is_completed_at_the_next_start(
    house: Imprimatur, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    release(house, USER, PROMPT, b"pixels")
    monkeypatch.setattr("audit.vault.Vault.finish_erasure", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        house.erasing.erase(USER, ground="asked", caller=house.local_caller())
    monkeypatch.undo()
    folder = tmp_path / "data" / "keys" / "vault"
    assert len(list(folder.iterdir())) == 2
    Imprimatur(house.settings).close()
    assert len(list(folder.iterdir())) == 1
    assert [path for path in (tmp_path / "data" / "objects").rglob("*") if path.is_file()] == []
    assert house.log.recent(1)[0].kind == "key_destroyed"


def test_a_hold_blocks_the_command_until_it_is_released(house: Imprimatur, command: CliRunner) -> None:
    release(house, USER, PROMPT, b"pixels")
    placed = run(command, "audit", "hold", "add", "--subject", USER, "--reason", "matter 7")
    assert run(command, "audit", "hold", "list")["covers"] == USER
    erase = ("audit", "erase", "--subject", USER, "--ground", "asked")
    error = run(command, *erase, code=3)["error"]
    assert isinstance(error, dict)
    assert error["code"] == "legal_hold"
    run(command, "audit", "hold", "release", str(placed["hold_id"]), "--reason", "settled")
    assert run(command, *erase)["items"] == 3  # prompt, actor, and the hold's copy of the name
    assert command.invoke(main, ["audit", "hold", "list"]).output == ""
    assert "an erased subject" in command.invoke(main, ["audit", "hold", "list", "--all"]).output


def test_retention_runs_by_its_rules_file(
    house: Imprimatur, urls: dict[str, str], command: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(house, USER, PROMPT, b"pixels")
    assert "IMPRIMATUR_RETENTION_PATH" in str(run(command, "audit", "retention", code=3))
    rules = tmp_path / "retention.yaml"
    rules.write_text("rules:\n  - {kind: prompt, days: 0}\n  - {kind: image, days: 30, tenant: acme}\n")
    monkeypatch.setenv("IMPRIMATUR_RETENTION_PATH", str(rules))
    owner = create_engine(urls["owner_database_url"])
    with owner.begin() as connection:  # time cannot be made to pass for a command
        connection.execute(text("UPDATE vault_subjects SET month = month - interval '3 months'"))
    owner.dispose()
    assert run(command, "audit", "retention", "--dry-run")["expired"] == 2
    done = {"dry_run": False, "expired": 2, "items": 1, "objects": 1, "withheld": 0}
    assert run(command, "audit", "retention") == done
    assert house.fsck().ok


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("rules: [{kind: prompt}]", "rules.0.days"),
        ("rules: [{kind: prompt, days: -1}]", "rules.0.days"),
        ("rules: [{kind: prompt, days: '3'}]", "rules.0.days"),
        ("rules: [{kind: prompt, days: 3, tennant: acme}]", "rules.0.tennant"),
        ("rules: []", "rules"),
        ("[]", "file"),
        ("rules: [", "no YAML"),
    ],
)
def test_a_wrong_rules_file_is_named_with_its_place(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "retention.yaml"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=problem):
        read_rules(path)


def test_wrong_use_is_an_error_of_the_caller_and_does_nothing(house: Imprimatur, command: CliRunner) -> None:
    for arguments in (
        ("erase", "--ground", "asked"),
        ("erase", "--subject", "a/b", "--user", "b", "--ground", "asked"),
        ("erase", "--subject", "acme/nobody", "--ground", "asked"),
        ("erase", "--subject", "acme/nobody", "--ground", " "),
        ("hold", "add", "--reason", "matter 7"),
        ("hold", "add", "--tenant", "a", "--record", "rec_" + "0" * 32, "--reason", "matter 7"),
        ("hold", "add", "--tenant", "a", "--reason", ""),
        ("hold", "release", "nothing", "--reason", "settled"),
    ):
        assert run(command, "audit", *arguments, code=2)["error"]
    assert house.log.recent() == []
    assert house.erasing.holds(released=True) == []


def test_holding_a_record_holds_its_request(house: Imprimatur) -> None:
    with house.database.engine.begin() as connection:
        first, second = house.records.open(connection, tenant="acme", count=2)
    placed = house.erasing.place_hold(
        reason="matter 7", caller=house.local_caller(), subject=None, tenant=None, records=[second.record_id]
    )
    assert set(placed.records) == {first.record_id, second.record_id}
    with pytest.raises(NotFoundError):
        house.erasing.place_hold(
            reason="matter 7", caller=house.local_caller(), subject=None, tenant=None, records=["rec_" + "0" * 32]
        )


def test_the_service_owns_nothing_and_its_login_gets_no_further(house: Imprimatur, urls: dict[str, str]) -> None:
    house.create_key(tenant="acme", name="t", roles=("verify",))
    login = create_engine(urls["database_url"])
    for statement in ("DELETE FROM audit_events", "DROP TABLE audit_events", "SET ROLE imprimatur_owner"):
        with pytest.raises(Exception, match="permission denied|must be owner"), login.begin() as connection:  # noqa: RUF043
            connection.execute(text(statement))
    login.dispose()
    assert house.health()["parts"]["ledger"]["status"] == "green"


def test_erasing_needs_no_model(house: Imprimatur) -> None:
    """An operator's command answers at once: no network library, no model."""
    code = "import sys, api.erasing, api.cli.erasing; print([m for m in ('torch', 'diffusers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
