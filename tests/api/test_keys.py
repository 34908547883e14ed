"""API keys on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from api.database import Database, open_database
from api.errors import InvalidInputError, NotAuthenticatedError, NotFoundError, NotPermittedError, UnavailableError
from api.keys import Caller, KeyStore, Role
from api.settings import Settings


@pytest.fixture(scope="module")
def database(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = open_database(Settings(database_url=database_url, data_dir=tmp_path_factory.mktemp("data")))
    yield database
    database.close()


@pytest.fixture
def keys(database: Database) -> KeyStore:
    return KeyStore(database.engine)


def _made(
    keys: KeyStore, database: Database, *, tenant: str = "press", name: str = "desk", roles: frozenset[Role]
) -> tuple[str, str]:
    with database.engine.begin() as connection:
        return keys.create(connection, tenant=tenant, name=name, roles=roles)


GENERATE = frozenset({Role.GENERATE})


def test_a_key_leads_to_its_tenant_and_roles(keys: KeyStore, database: Database) -> None:
    key_id, key = _made(keys, database, roles=frozenset({Role.GENERATE, Role.VERIFY}))

    assert key.startswith(f"imp_{key_id}_")
    assert keys.authenticate(key) == Caller("press", f"press/key/{key_id}", frozenset({Role.GENERATE, Role.VERIFY}))


def test_keys_are_never_made_twice(keys: KeyStore, database: Database) -> None:
    made = [_made(keys, database, roles=GENERATE) for _ in range(5)]

    assert len({key for _, key in made}) == len({key_id for key_id, _ in made}) == 5


def test_a_wrong_secret_is_refused_like_an_unknown_key(keys: KeyStore, database: Database) -> None:
    _, key = _made(keys, database, roles=GENERATE)
    other_secret = _made(keys, database, roles=GENERATE)[1].rpartition("_")[2]
    wrong = key.rpartition("_")[0] + "_" + other_secret
    last_digit = key[:-1] + ("0" if key[-1] != "0" else "1")
    unknown = f"imp_{'0' * 16}_{'0' * 64}"
    messages = set()

    for attempt in (wrong, last_digit, unknown):
        with pytest.raises(NotAuthenticatedError) as refused:
            keys.authenticate(attempt)
        messages.add(refused.value.message)

    assert len(messages) == 1  # which of the two it was is not told
    assert other_secret not in messages.pop()


@pytest.mark.parametrize(
    "change",
    [
        lambda key: None,
        lambda key: "",
        lambda key: key[:-1],
        lambda key: key + "0",
        lambda key: key + "\n",
        lambda key: " " + key,
        lambda key: key.upper(),
        lambda key: key.replace("imp_", "sk-"),
        lambda key: "Bearer " + key,
        lambda key: key.replace("_", "\0"),
        lambda key: "imp_' OR 1=1 --_" + "0" * 64,
        lambda key: "imp_" + "١" * 16 + "_" + "0" * 64,
        lambda key: "\udc80" * 85,
    ],
)
def test_malformed_keys_are_refused(keys: KeyStore, database: Database, change) -> None:  # type: ignore[no-untyped-def]
    _, key = _made(keys, database, roles=GENERATE)

    with pytest.raises(NotAuthenticatedError, match="Authorization: Bearer"):
        keys.authenticate(change(key))


def test_malformed_keys_are_refused_without_asking_the_database() -> None:
    keys = KeyStore(create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none"))

    with pytest.raises(NotAuthenticatedError):
        keys.authenticate("imp_")
    with pytest.raises(UnavailableError, match="database"):
        keys.authenticate(f"imp_{'0' * 16}_{'0' * 64}")


def test_a_revoked_key_is_refused_for_ever(keys: KeyStore, database: Database) -> None:
    key_id, key = _made(keys, database, roles=GENERATE)
    _, other = _made(keys, database, roles=GENERATE)
    with database.engine.begin() as connection:
        keys.revoke(connection, key_id)

    with pytest.raises(NotAuthenticatedError):
        keys.authenticate(key)
    assert keys.authenticate(other).tenant == "press"
    for unknown in (key_id, "f" * 16):
        with pytest.raises(NotFoundError, match=unknown), database.engine.begin() as connection:
            keys.revoke(connection, unknown)
    with pytest.raises(NotAuthenticatedError):
        keys.authenticate(key)


def test_roles_permit_what_they_name_and_admin_all_but_quarantine(keys: KeyStore, database: Database) -> None:
    for role in Role:
        caller = keys.authenticate(_made(keys, database, roles=frozenset({role}))[1])
        for asked in Role:
            if role is asked or (role is Role.ADMIN and asked is not Role.QUARANTINE):
                caller.require(asked)
            else:
                with pytest.raises(NotPermittedError, match=f"'{asked.value}'"):
                    caller.require(asked)


def test_tenants_and_their_users_are_told_apart(keys: KeyStore, database: Database) -> None:
    one, two = (keys.authenticate(_made(keys, database, tenant=name, roles=GENERATE)[1]) for name in ("one", "two"))

    assert (one.tenant, two.tenant) == ("one", "two")
    assert one.on_behalf_of("ann").subject == "one/user/ann" != two.on_behalf_of("ann").subject
    assert one.on_behalf_of("ann").roles == one.roles
    assert one.on_behalf_of(None) == one.on_behalf_of("") == one


@pytest.mark.parametrize("tenant", ["", "a/b", "one/user/ann", "a\0b", "a\nb", "\udc80"])
def test_tenants_whose_subjects_could_be_mistaken_are_refused(keys: KeyStore, database: Database, tenant: str) -> None:
    with pytest.raises(InvalidInputError, match="tenant"):
        _made(keys, database, tenant=tenant, roles=GENERATE)


def test_a_name_is_one_printable_line_and_roles_are_needed(keys: KeyStore, database: Database) -> None:
    with pytest.raises(InvalidInputError, match="name"):
        _made(keys, database, name="desk\x1b[2J", roles=GENERATE)
    with pytest.raises(InvalidInputError, match="role"):
        _made(keys, database, roles=frozenset())


def test_secrets_are_not_stored(keys: KeyStore, database: Database, database_url: str) -> None:
    key_id, key = _made(keys, database, name="searched", roles=GENERATE)
    secret = key.rpartition("_")[2]
    superuser = create_engine(database_url, poolclass=NullPool)
    with superuser.begin() as connection:
        rows = connection.scalars(text("SELECT t::text FROM api_keys t")).all()
        connection.execute(text("CHECKPOINT"))
        heap = bytes(connection.scalar(text("SELECT pg_read_binary_file(pg_relation_filepath('api_keys'))")) or b"")
        hashed = connection.scalar(text("SELECT secret_sha256 FROM api_keys WHERE key_id = :k"), {"k": key_id})

    assert any(key_id in row for row in rows)
    assert key_id.encode() in heap  # the search finds what is there
    assert hashed in heap
    for form in (secret.encode(), bytes.fromhex(secret), key.encode()):
        assert form not in heap
        assert form != hashed
    assert not any(secret in row for row in rows)


def test_the_list_shows_no_secret_and_the_newest_first(keys: KeyStore, database: Database) -> None:
    first, _ = _made(keys, database, name="first", roles=GENERATE)
    second, key = _made(keys, database, name="second", roles=frozenset({Role.VERIFY, Role.AUDIT}))
    with database.engine.begin() as connection:
        keys.revoke(connection, first)

    listed = keys.list()
    assert [entry.key_id for entry in listed[:2]] == [second, first]
    assert (listed[0].name, listed[0].roles, listed[0].revoked_at) == ("second", ("audit", "verify"), None)
    assert listed[1].revoked_at is not None
    assert key.rpartition("_")[2] not in repr(listed)
