"""The vault: personal data that events commit to and that can be erased for good.

Each subject has a random key for each kind of data and month; items are sealed under it. These keys are wrapped by the
*epoch key*, a file outside the database, because deleted rows live on in the database's heap, write-ahead log and
backups. Erasing wraps all other keys under a new epoch key and destroys the old one: what is left anywhere of the
erased rows then opens with no key that exists.
"""

from __future__ import annotations

import re
import secrets
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    bindparam,
    delete,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as insert_or_ignore

from audit import keyfiles
from audit.database import database_errors
from audit.erasing import Candidate, Erasure, HoldCheck, Recorder, RetentionRule, expired, tenant_of
from audit.errors import (
    ErasedError,
    KeyFileError,
    LegalHoldError,
    UnknownSubjectError,
    VaultCorruptError,
    VaultError,
)
from audit.events import commitment
from audit.records import VaultReference
from audit.sealing import KEY_BYTES, derive, keyed_digest, new_key, seal, unseal
from audit.tables import vault_destructions, vault_epochs, vault_items, vault_subjects

SALT_BYTES = 32
LOCK_KEY = 0x494D5052_5641554C  # "IMPRVAUL"; writers share it, erasing has it alone
LOCK_TIMEOUT_SECONDS = 60
MAX_SUBJECT_LENGTH = 1024
_KIND = re.compile(r"[A-Za-z0-9_.-]{1,40}")
REWRAP_BATCH = 1000

_LIMIT_WAIT = text("SELECT set_config('lock_timeout', :timeout, true)")
_LOCK_SHARED = text("SELECT pg_advisory_xact_lock_shared(:key)")
_LOCK_ALONE = text("SELECT pg_advisory_xact_lock(:key)")


@dataclass(frozen=True)
class Disclosure:
    """An item of the vault, with the salt that shows it to be what an event committed to."""

    purpose: str
    salt: bytes
    plaintext: bytes


@dataclass(frozen=True)
class SubjectKey:
    """A subject's key, unwrapped; for the object store, not to be kept."""

    subject_id: str
    key: bytes

    def __repr__(self) -> str:
        return f"SubjectKey({self.subject_id})"


@dataclass(frozen=True)
class _Epoch:
    number: int
    key_id: str
    wrapping: bytes
    handles: bytes


class Vault:
    """Personal data under per-subject keys. For any number of threads and processes at once.

    Args:
        engine: of the service role; the vault does not close it.
        keys_folder: holds the epoch key, `epoch-<id>.key`; outside the database and its backups, shared by all
            processes that use the vault.
        clock: gives times, with a time zone.
    """

    def __init__(self, engine: Engine, keys_folder: Path, clock: Callable[[], datetime]) -> None:
        self._engine = engine.execution_options(isolation_level="READ COMMITTED")
        self._keys_folder = keys_folder
        self._clock = clock
        self._known_epoch: _Epoch | None = None

    def put(self, subject: str, purpose: str, plaintext: bytes, connection: Connection | None = None) -> VaultReference:
        """Stores personal data of a subject.

        Args:
            subject: whose data it is, e.g. `tenant/user`; itself kept encrypted.
            purpose: what it is, e.g. `prompt`, as a retention rule names it; kept in clear.
            connection: the caller's transaction; the data is stored when the caller has committed.

        Raises:
            VaultError, KeyFileError: the subject is empty or too long; the epoch key is not at hand.
            AuditUnavailableError, StorageFullError: as the database says.
        """
        with database_errors("store in the vault"):
            if connection is not None:
                return self._put(connection, subject, purpose, plaintext)
            with self._engine.begin() as own:
                return self._put(own, subject, purpose, plaintext)

    def _put(self, connection: Connection, subject: str, purpose: str, plaintext: bytes) -> VaultReference:
        item_id = str(uuid.uuid4())
        salt = secrets.token_bytes(SALT_BYTES)
        self._lock(connection, alone=False)
        holder = self._subject_key(connection, subject, purpose)
        sealed = seal(derive(holder.key, "items"), salt + plaintext, _item_context(item_id, holder.subject_id, purpose))
        connection.execute(
            insert(vault_items).values(
                id=item_id,
                subject_id=holder.subject_id,
                purpose=purpose,
                ciphertext=sealed,
                created_at=self._clock(),
            )
        )
        return VaultReference(item_id, commitment(salt, plaintext).hex(), holder.subject_id)

    def get(self, reference: VaultReference) -> bytes:
        """The data that a reference leads to, checked against the reference's commitment.

        Raises:
            ErasedError: it was erased, or never was here.
            VaultCorruptError: the stored data does not open or is not what was committed to.
            KeyFileError: the epoch key is not at hand.
        """
        with database_errors("read the vault"), self._engine.begin() as connection:
            self._lock(connection, alone=False)
            return self._get(connection, reference)

    def subject_key(self, subject: str, kind: str) -> SubjectKey:
        """Key of a subject for a kind of data and this month, made if there is none; for the object store.

        Raises:
            As `put`.
        """
        with database_errors("read the vault"), self._engine.begin() as connection:
            self._lock(connection, alone=False)
            return self._subject_key(connection, subject, kind)

    def key_of(self, subject_id: str) -> SubjectKey:
        """Key of a subject by its random id.

        Raises:
            ErasedError: the subject was erased, or never was here.
        """
        with database_errors("read the vault"), self._engine.begin() as connection:
            self._lock(connection, alone=False)
            return self._key_of(connection, subject_id)

    def disclose(self, references: Sequence[VaultReference]) -> dict[VaultReference, Disclosure | VaultError]:
        """Opens many items at once, with their salts; the error of each that `get` would not give.

        Raises:
            KeyFileError: the epoch key is not at hand.
        """
        ids = {reference.id for reference in references}
        found: dict[VaultReference, Disclosure | VaultError] = {}
        with database_errors("read the vault"), self._engine.begin() as connection:
            self._lock(connection, alone=False)
            rows = {row.id: row for row in connection.execute(_ITEMS.where(vault_items.c.id.in_(ids)))}
            holders: dict[str, SubjectKey] = {}
            for reference in references:
                try:
                    row = rows.get(reference.id)
                    if row is None:
                        raise _erased(reference)
                    if row.subject_id not in holders:
                        holders[row.subject_id] = self._key_of(connection, row.subject_id)
                    found[reference] = _open_item(
                        reference, holders[row.subject_id], row.purpose, bytes(row.ciphertext)
                    )
                except VaultError as error:
                    found[reference] = error
        return found

    def check(self, references: Sequence[VaultReference]) -> dict[VaultReference, VaultError]:
        """The error of each item that `get` would not give; many at once.

        Raises:
            KeyFileError: the epoch key is not at hand.
        """
        opened = self.disclose(references)
        return {reference: error for reference, error in opened.items() if isinstance(error, VaultError)}

    def erase(self, subject: str, *, holds: HoldCheck | None = None, record: Recorder | None = None) -> Erasure:
        """Erases a subject: its items, its keys, and the epoch key that had wrapped them.

        All other keys are wrapped under a new epoch key first. Other processes notice with their next use of the
        vault. If this process dies on the way, `finish_erasure` destroys what is left of the old key.

        Raises:
            UnknownSubjectError: the vault holds nothing of the subject.
            LegalHoldError: some of it is under legal hold; nothing was erased.
            AuditBusyError: writers held the vault for longer than a minute.
            KeyFileError: the new key cannot be written, or the old one not destroyed (then call
                `finish_erasure` until it is).
        """
        with database_errors("erase from the vault"), self._engine.begin() as connection:
            self._lock(connection, alone=True)
            before = self._epoch(connection, create=False)
            chosen = []
            if before is not None:
                person = keyed_digest(before.handles, subject)
                chosen = self._candidates(connection, vault_subjects.c.person == person)
            if before is None or not chosen:
                raise UnknownSubjectError("the vault holds nothing of this subject; nothing was erased")
            held = self._held(connection, chosen, holds)
            if held:
                names = ", ".join(sorted(set(held.values())))
                raise LegalHoldError(f"data of this subject is under legal hold ({names}); nothing was erased")
            erasure = self._erase(connection, before, chosen, record)
        self._known_epoch = None
        self.finish_erasure()
        return erasure

    def expire(
        self,
        rules: Sequence[RetentionRule],
        *,
        holds: HoldCheck | None = None,
        record: Callable[[Connection, Erasure | None, int], None] | None = None,
        dry_run: bool = False,
    ) -> tuple[Erasure | None, list[Candidate], int]:
        """Erases what the rules keep no longer; gives the erasure, what it chose, and how much a hold kept.

        Args:
            record: writes the events in the transaction that erases; also called when nothing had expired.
            dry_run: choose only.

        Raises:
            As `erase`, but holds are no error here: what they cover stays.
        """
        with database_errors("apply the retention rules"), self._engine.begin() as connection:
            self._lock(connection, alone=True)
            before = self._epoch(connection, create=False)
            over = self._candidates(connection, expired(rules, self._clock())) if before and rules else []
            held = self._held(connection, over, holds)
            chosen = [candidate for candidate in over if candidate.id not in held]
            if dry_run:
                return None, chosen, len(held)
            erasure = self._erase(connection, before, chosen, None) if before is not None and chosen else None
            if record is not None:
                record(connection, erasure, len(held))
        if erasure is not None:
            self._known_epoch = None
            self.finish_erasure()
        return erasure, chosen, len(held)

    def finish_erasure(self) -> int:
        """Destroys key files of past epochs; gives how many.

        Call it at start: it ends what a process that died while erasing began.

        Raises:
            KeyFileError: a file cannot be destroyed.
        """
        with database_errors("finish an erasure"), self._engine.begin() as connection:
            self._lock(connection, alone=True)
            current = connection.scalar(select(vault_epochs.c.key_id).order_by(vault_epochs.c.number.desc()).limit(1))
            if current is not None and not self._key_file(current).exists():
                raise KeyFileError(
                    f"the vault's epoch key {self._key_file(current)} is missing; restore it from its backup"
                )
            # Only keys that this database names as past: another file may be another vault's, or one whose
            # transaction is not decided yet.
            past = connection.scalars(select(vault_epochs.c.key_id).where(vault_epochs.c.key_id != current))
            destroyed = 0
            for path in map(self._key_file, past):
                if path.exists():
                    keyfiles.destroy(path)
                    destroyed += 1
        return destroyed

    def _lock(self, connection: Connection, *, alone: bool) -> None:
        connection.execute(_LIMIT_WAIT, {"timeout": f"{LOCK_TIMEOUT_SECONDS}s"})
        connection.execute(_LOCK_ALONE if alone else _LOCK_SHARED, {"key": LOCK_KEY})

    def _key_file(self, key_id: str) -> Path:
        return self._keys_folder / f"epoch-{key_id}.key"

    def _epoch(self, connection: Connection, *, create: bool) -> _Epoch | None:
        row = connection.execute(
            select(vault_epochs.c.number, vault_epochs.c.key_id).order_by(vault_epochs.c.number.desc()).limit(1)
        ).one_or_none()
        if row is None:
            return self._new_epoch(connection, 1, self._clock()) if create else None
        return self._epoch_of(*row)

    def _epoch_of(self, number: int, key_id: str) -> _Epoch:
        known = self._known_epoch  # read once: another thread may replace it
        if known is None or known.key_id != key_id:
            known = _derive_epoch(number, key_id, keyfiles.read(self._key_file(key_id)))
            self._known_epoch = known
        return known

    def _new_epoch(self, connection: Connection, number: int, now: datetime) -> _Epoch:
        key_id = str(uuid.uuid4())
        key = keyfiles.create_once(self._key_file(key_id), new_key())
        inserted = connection.scalar(
            insert_or_ignore(vault_epochs)
            .values(number=number, key_id=key_id, created_at=now)
            .on_conflict_do_nothing()
            .returning(vault_epochs.c.key_id)
        )
        if inserted is not None:
            return _derive_epoch(number, key_id, key)
        # Another process began the first epoch at the same moment: its key counts, ours was never used.
        keyfiles.destroy(self._key_file(key_id))
        winner = self._epoch(connection, create=False)
        if winner is None:
            raise VaultError("the vault's first epoch could not be begun; try again")
        return winner

    def _subject_key(self, connection: Connection, subject: str, kind: str) -> SubjectKey:
        if not 0 < len(subject) <= MAX_SUBJECT_LENGTH or "\0" in subject:
            raise VaultError(f"a subject has 1 to {MAX_SUBJECT_LENGTH} characters, not {len(subject)}, and no NUL")
        if not _KIND.fullmatch(kind):
            raise VaultError(f"kind of data {kind[:60]!r} is refused; expected 1 to 40 letters, digits, _ . -")
        epoch = self._epoch(connection, create=True)
        if epoch is None:
            raise VaultError("the vault's first epoch could not be begun; try again")
        now = self._clock()
        month = now.astimezone(UTC).date().replace(day=1)
        handle = _handle(epoch, subject, kind, month)
        found = self._find(connection, epoch, handle)
        if found is not None:
            return found
        subject_id, key = str(uuid.uuid4()), new_key()
        inserted = connection.scalar(
            insert_or_ignore(vault_subjects)
            .values(
                id=subject_id,
                epoch=epoch.number,
                handle=handle,
                person=keyed_digest(epoch.handles, subject),
                tenant=tenant_of(subject),
                kind=kind,
                month=month,
                wrapped_key=seal(epoch.wrapping, key, _key_context(subject_id, epoch)),
                name=seal(derive(key, "name"), subject.encode(), subject_id.encode()),
                created_at=now,
            )
            .on_conflict_do_nothing(index_elements=["handle"])
            .returning(vault_subjects.c.id)
        )
        if inserted is not None:
            return SubjectKey(subject_id, key)
        winner = self._find(connection, epoch, handle)
        if winner is None:
            raise VaultError("the subject appeared and vanished while it was stored; try again")
        return winner

    def _find(self, connection: Connection, epoch: _Epoch, handle: bytes) -> SubjectKey | None:
        row = connection.execute(
            select(vault_subjects.c.id, vault_subjects.c.wrapped_key).where(vault_subjects.c.handle == handle)
        ).one_or_none()
        if row is None:
            return None
        subject_id, wrapped = row
        return SubjectKey(subject_id, _unwrap(bytes(wrapped), subject_id, epoch))

    def _key_of(self, connection: Connection, subject_id: str) -> SubjectKey:
        row = connection.execute(
            select(vault_subjects.c.wrapped_key, vault_epochs.c.number, vault_epochs.c.key_id)
            .join_from(vault_subjects, vault_epochs)
            .where(vault_subjects.c.id == subject_id)
        ).one_or_none()
        if row is None:
            raise ErasedError(f"subject {subject_id} was erased, or never was in this vault")
        wrapped, number, key_id = row
        return SubjectKey(subject_id, _unwrap(bytes(wrapped), subject_id, self._epoch_of(number, key_id)))

    def _get(self, connection: Connection, reference: VaultReference) -> bytes:
        row = connection.execute(_ITEMS.where(vault_items.c.id == reference.id)).one_or_none()
        if row is None:
            raise _erased(reference)
        holder = self._key_of(connection, row.subject_id)
        return _open_item(reference, holder, row.purpose, bytes(row.ciphertext)).plaintext

    def _candidates(self, connection: Connection, condition: ColumnElement[bool]) -> list[Candidate]:
        rows = connection.execute(
            select(vault_subjects.c.id, vault_subjects.c.tenant, vault_subjects.c.name).where(condition)
        ).all()
        candidates = []
        for subject_id, tenant, sealed_name in rows:
            name = _open_name(self._key_of(connection, subject_id), bytes(sealed_name))
            candidates.append(Candidate(subject_id, tenant or tenant_of(name), name))
        return candidates

    def _held(
        self, connection: Connection, candidates: Sequence[Candidate], holds: HoldCheck | None
    ) -> Mapping[str, str]:
        if holds is None or not candidates:
            return {}
        return holds(connection, candidates, lambda reference: self._get(connection, reference))

    def _erase(
        self, connection: Connection, before: _Epoch, chosen: Sequence[Candidate], record: Recorder | None
    ) -> Erasure:
        now = self._clock()
        after = self._new_epoch(connection, before.number + 1, now)
        if after.key_id == before.key_id:
            raise VaultError("no new epoch could be begun; nothing was erased, try again")
        ids = [candidate.id for candidate in chosen]
        gone = connection.scalars(
            delete(vault_items).where(vault_items.c.subject_id.in_(ids)).returning(vault_items.c.subject_id)
        )
        items = Counter(gone)
        connection.execute(delete(vault_subjects).where(vault_subjects.c.id.in_(ids)))
        self._rewrap(connection, before, after)
        connection.execute(insert(vault_destructions), [{"subject_id": id, "epoch_key": before.key_id} for id in ids])
        erasure = Erasure({id: items[id] for id in ids}, before.number, after.number, before.key_id, now)
        if record is not None:
            record(connection, erasure)
        return erasure

    def _rewrap(self, connection: Connection, before: _Epoch, after: _Epoch) -> None:
        survivors = connection.execute(
            select(
                vault_subjects.c.id,
                vault_subjects.c.kind,
                vault_subjects.c.month,
                vault_subjects.c.wrapped_key,
                vault_subjects.c.name,
            ),
            execution_options={"yield_per": REWRAP_BATCH},
        )
        for partition in survivors.partitions():
            connection.execute(
                update(vault_subjects).where(vault_subjects.c.id == bindparam("subject_id")),
                [_rewrapped(row, before, after) for row in partition],
            )


def _rewrapped(row: Row[*tuple[Any, ...]], before: _Epoch, after: _Epoch) -> dict[str, object]:
    holder = SubjectKey(row.id, _unwrap(bytes(row.wrapped_key), row.id, before))
    name = _open_name(holder, bytes(row.name))
    return {
        "subject_id": row.id,
        "epoch": after.number,
        "handle": _handle(after, name, row.kind, row.month),
        "person": keyed_digest(after.handles, name),
        "wrapped_key": seal(after.wrapping, holder.key, _key_context(row.id, after)),
    }


def _open_name(holder: SubjectKey, sealed_name: bytes) -> str:
    return unseal(derive(holder.key, "name"), sealed_name, holder.subject_id.encode()).decode()


def _handle(epoch: _Epoch, subject: str, kind: str, month: date | None) -> bytes:
    return keyed_digest(epoch.handles, f"{subject}\0{kind}\0{month or ''}")


_ITEMS = select(vault_items.c.id, vault_items.c.subject_id, vault_items.c.purpose, vault_items.c.ciphertext)


def _erased(reference: VaultReference) -> ErasedError:
    return ErasedError(f"vault item {reference.id} was erased, or never was in this vault")


def _open_item(reference: VaultReference, holder: SubjectKey, purpose: str, ciphertext: bytes) -> Disclosure:
    context = _item_context(reference.id, holder.subject_id, purpose)
    opened = unseal(derive(holder.key, "items"), ciphertext, context)
    salt, plaintext = opened[:SALT_BYTES], opened[SALT_BYTES:]
    if commitment(salt, plaintext).hex() != reference.commitment or holder.subject_id != reference.subject_id:
        raise VaultCorruptError(f"vault item {reference.id} is not the data that was committed to")
    return Disclosure(purpose, salt, plaintext)


def _derive_epoch(number: int, key_id: str, key: bytes) -> _Epoch:
    if len(key) != KEY_BYTES:
        raise KeyFileError(f"epoch key {key_id} has {len(key)} bytes, expected {KEY_BYTES}; restore it")
    return _Epoch(number, key_id, derive(key, "wrapping"), derive(key, "handles"))


def _unwrap(wrapped: bytes, subject_id: str, epoch: _Epoch) -> bytes:
    return unseal(epoch.wrapping, wrapped, _key_context(subject_id, epoch))


def _key_context(subject_id: str, epoch: _Epoch) -> bytes:
    return f"subject {subject_id} epoch {epoch.key_id}".encode()


def _item_context(item_id: str, subject_id: str, purpose: str) -> bytes:
    return f"item {item_id} subject {subject_id} purpose {purpose}".encode()
