"""The composition root: every part is made here, on first use, and given what it needs."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from api.boundaries import configured, unavailable
from api.database import Database, open_database, process_id
from api.decoding import DecodedImage, DecodeLimits
from api.errors import ConfigurationError, ServiceError, UnreadableSourceError
from api.keys import Caller, KeyStore, Role
from api.login_failures import LoginFailureLog
from api.records import RecordStore
from api.settings import Settings
from audit import events
from audit.events import Event

if TYPE_CHECKING:
    from api.checking import CheckBench
    from api.checkpointing import Checkpointing
    from api.credential_worker import CredentialWorker
    from api.credentials import Credentials
    from api.decode_worker import DecodeWorker
    from api.erasing import Erasing
    from api.generate import GenerationFlow
    from api.marking import Marking
    from api.models import Models
    from api.moderation import Moderation
    from api.policies import PolicyBook
    from api.publishing import Publisher
    from api.reports.flow import ReportFlow
    from api.results import Results
    from api.reviews import ReviewQueue
    from api.screening import Screening
    from api.sentence_encoder import LoadedEncoder
    from api.trust_lists import TrustLists
    from api.verify import VerificationFlow
    from audit.fsck import FsckReport
    from audit.ledger import Checkpoint
    from audit.log import AuditLog
    from audit.objects import ObjectStore
    from audit.records import VaultReference
    from audit.reports.signing import DocumentSigner
    from audit.vault import Vault
    from generator.card import ModelCard
    from generator.catalogue import ModelCatalogue
    from generator.engine import Engine
    from generator.serving import GenerationQueue
    from provenance.signer import Signer
    from provenance.trust import TrustList
    from provenance.trust.store import TrustStore
    from safety.duplicates.index import ReferenceIndex
    from safety.duplicates.ingest import IngestReport
    from safety.policy import Policy
    from safety.prompt.term_files import TermFile
    from safety.registry import BuiltChecks


def utc_now() -> datetime:
    """The present time with its zone."""
    return datetime.now(UTC)


class Imprimatur:
    """The service: a context manager over everything that has a life. Parts are made when first asked for."""

    def __init__(self, settings: Settings, *, clock: Callable[[], datetime] = utc_now) -> None:
        """Open the database and close what crashed processes left open.

        Raises:
            UnavailableError: no database.
            ConfigurationError: a setting or key file is wrong.
        """
        # Idle worker threads of the numeric libraries sleep instead of spinning, which leaves a busy machine to
        # the others. Read when the libraries are loaded, which is after this.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        self.settings = settings
        self.clock = clock
        self.database: Database = open_database(settings)
        self.records = RecordStore(self.database.engine, owner=process_id(), lease_s=settings.lease_s)
        self.keys = KeyStore(self.database.engine)
        self.login_failures = LoginFailureLog(self.append, clock)
        self.decode_limits = DecodeLimits(settings.max_upload_bytes, settings.max_pixels)
        self._engines: dict[str, Engine] = {}
        self._engines_lock = threading.Lock()
        try:
            self.close_abandoned()
            self._complete_erasures()
        except BaseException:
            self.database.close()
            raise

    # -- parts ---------------------------------------------------------------------------------------------------

    @cached_property
    def log(self) -> AuditLog:
        """The audit log."""
        from audit.ledger import LedgerKey
        from audit.log import AuditLog

        with configured():
            key = LedgerKey.load_or_create(self.settings.keys_dir / "ledger.key", self.settings.origin)
        return AuditLog(self.database.engine, key, self.clock)

    @cached_property
    def vault(self) -> Vault:
        """Personal data, encrypted, erasable."""
        from audit.vault import Vault

        return Vault(self.database.engine, self.settings.keys_dir / "vault", self.clock)

    @cached_property
    def objects(self) -> ObjectStore:
        """Files by their digest, encrypted under their subject's key."""
        from audit.objects import ObjectStore

        with configured():
            return ObjectStore(self.settings.object_store_url, self.vault)

    @cached_property
    def policies(self) -> PolicyBook:
        """Which policy is in force for whom."""
        from api.policies import PolicyBook
        from safety.registry import default_registry

        return PolicyBook(self.database.engine, lambda: self.log, default_registry(), self.settings.policy_path)

    @property
    def policy(self) -> Policy:
        """The policy of the house."""
        return self.policies.house()

    @cached_property
    def erasing(self) -> Erasing:
        """Erasure, retention, legal holds."""
        from api.erasing import Erasing

        return Erasing(self)

    @cached_property
    def checkpointing(self) -> Checkpointing:
        """Checkpoints on demand, and their stamps."""
        from api.checkpointing import Checkpointing

        return Checkpointing(self)

    @cached_property
    def encoder(self) -> LoadedEncoder:
        """The sentence encoder that the generator and the prompt check share."""
        from api.sentence_encoder import load_encoder

        return load_encoder()

    @cached_property
    def references(self) -> ReferenceIndex:
        """The index of listed works."""
        from safety.duplicates.index import ReferenceIndex

        return ReferenceIndex(self.database.engine, self.clock)

    @property
    def checks(self) -> BuiltChecks:
        """The checks that the policy of the house asks for."""
        return self.checks_of(self.policy)

    @cached_property
    def _bench(self) -> CheckBench:
        from api.checking import CheckBench
        from safety.prompt.encoder import MiniLmEncoder
        from safety.registry import CheckDependencies, default_registry

        encoder = MiniLmEncoder(self.encoder.model, self.encoder.tokenizer, self.encoder.digest)
        terms: list[TermFile] = []
        if self.settings.terms_dir is not None:
            from safety.prompt.term_files import read_term_folder

            with configured():
                terms = read_term_folder(self.settings.terms_dir)
        return CheckBench(default_registry(), CheckDependencies(encoder, self.references, terms))

    @cached_property
    def catalogue(self) -> ModelCatalogue:
        """The models that may be used: the embedded one, and the cards in `models_dir`."""
        from generator.catalogue import EMBLEM_CARD, ModelCatalogue

        with configured():
            further = sorted(self.settings.model_cards_dir.glob("*.yaml"))
            return ModelCatalogue.from_files([EMBLEM_CARD, *further])

    @cached_property
    def models(self) -> Models:
        """Adding and checking models."""
        from api.models import Models

        return Models(lambda: self.catalogue, self.settings.model_cards_dir, self.append)

    @cached_property
    def queue(self) -> GenerationQueue:
        """The line before the models."""
        from generator.serving import GenerationQueue

        settings = self.settings
        return GenerationQueue(
            lambda model_id: self.engine(model_id),
            places=settings.queue_length,
            batch_size=settings.batch_size,
            timeout_s=settings.generation_timeout_s,
        )

    @cached_property
    def marking(self) -> Marking:
        """The watermark's keys."""
        from api.marking import Marking, ServiceKeys, marks

        with configured():
            service, laboratory, number = marks(ServiceKeys(self.settings.keys_dir))
        return Marking(service, laboratory, self.records, number)

    @cached_property
    def trust(self) -> TrustStore:
        """The trust list in force, and every earlier one."""
        from api.signing import first_trust_list
        from provenance.trust.store import TrustStore

        return TrustStore(self.database.engine, first_trust_list(self.settings), self.clock)

    @cached_property
    def trust_lists(self) -> TrustLists:
        """Changes of the trust lists."""
        from api.trust_lists import TrustLists

        return TrustLists(self.database.engine, self.trust, self.log)

    @cached_property
    def publisher(self) -> Publisher:
        """Encoding, signing, reading back."""
        from api import signing
        from api.publishing import Publisher

        settings = self.settings
        return Publisher(
            signing.signing_keys(settings, self.clock, self._certificate_changed),
            self.trust,
            settings.provider,
            read=self.credential_reader.read,
            training_mining=signing.training_mining(settings),
            label=signing.visible_label(settings),
            authority=signing.time_stamp_authority(settings, self.trust.current),
        )

    @cached_property
    def credential_reader(self) -> CredentialWorker:
        """The bounded reader of foreign credentials."""
        from api.credential_worker import CredentialWorker

        return CredentialWorker(self.decode_limits.max_bytes, timeout_s=self.settings.decode_timeout_s)

    @cached_property
    def credentials(self) -> Credentials:
        """The repository of manifests."""
        from api.credentials import Credentials

        return Credentials(
            self.database.engine,
            self.records,
            lambda: self.objects,
            lambda: self.publisher,
            lambda: self.results,
            lambda: self.marking,
            self.clock,
        )

    def trust_list(self, digest: str | None) -> TrustList:
        """The trust list in force, or an earlier one by its digest. Raises `NotFoundError`."""
        from api.errors import NotFoundError
        from provenance.errors import TrustListError

        try:
            with unavailable():
                return self.trust.current() if digest is None else self.trust.snapshot(digest)
        except TrustListError as error:
            raise NotFoundError(str(error)) from error

    def _certificate_changed(self, signer: Signer) -> None:
        from provenance.certificate import leaf_digest

        digest = leaf_digest(signer.certificate_chain_pem)
        self.append(Event(None, events.KeyCreated(purpose="credential", key_id=digest, public_key=digest)))

    @cached_property
    def decoder(self) -> DecodeWorker:
        """The bounded decoder for foreign bytes."""
        from api.decode_worker import DecodeWorker

        return DecodeWorker(self.decode_limits, timeout_s=self.settings.decode_timeout_s)

    @cached_property
    def results(self) -> Results:
        """Records read back from the log."""
        from api.results import Results

        return Results(self)

    @cached_property
    def reviews(self) -> ReviewQueue:
        """What waits for a person."""
        from api.reviews import ReviewQueue

        return ReviewQueue(self, expiry_s=self.settings.review_expiry_s)

    @cached_property
    def moderation(self) -> Moderation:
        """The checks, for whoever asks about texts and images of their own."""
        from api.moderation import Moderation

        return Moderation(self)

    @cached_property
    def generation(self) -> GenerationFlow:
        """The flow of a generation."""
        from api.generate import GenerationFlow

        return GenerationFlow(self)

    @cached_property
    def verification(self) -> VerificationFlow:
        """The flow of a verification."""
        from api.verify import VerificationFlow

        return VerificationFlow(self)

    @cached_property
    def screening(self) -> Screening:
        """Prompt checks alone."""
        from api.screening import Screening

        policy = self.policies.of(self.settings.tenant)
        return Screening(self.checks_of(policy).prompt, policy)

    @cached_property
    def reports(self) -> ReportFlow:
        """The flow of a report for legal review."""
        from api.reports.flow import ReportFlow

        return ReportFlow(self)

    @cached_property
    def document_signer(self) -> DocumentSigner:
        """Who signs reports."""
        from api.reports.signer import document_signer

        with configured():
            return document_signer(self.settings, self.clock)

    # -- acts ----------------------------------------------------------------------------------------------------

    def checks_of(self, policy: Policy) -> BuiltChecks:
        """The checks that a policy asks for, built once. Raises `ConfigurationError`."""
        with configured():
            return self._bench.checks_of(policy)

    def card(self, model_id: str | None) -> ModelCard:
        """The card of a model, or of the default model. Raises `UnknownModelError`."""
        return self.catalogue.get(model_id or self.settings.model)

    def engine(self, model_id: str) -> Engine:
        """The engine of a model; loads nothing before its first use."""
        from generator.diffusion import DiffusionEngine
        from generator.placement import Wishes

        settings = self.settings
        with self._engines_lock:
            if model_id not in self._engines:
                card = self.card(model_id)
                self._engines[model_id] = DiffusionEngine(
                    card,
                    self._shared_components(card),
                    Wishes(settings.device, settings.dtype, settings.memory_saving, settings.compile_models),
                    threads=settings.threads,
                )
            return self._engines[model_id]

    def _shared_components(self, card: ModelCard) -> dict[str, object]:
        """Parts of a pipeline that are passed in rather than stored with the model, if the card names ours."""
        if card.text_encoder_digest is None:
            return {}
        if card.text_encoder_digest != self.encoder.digest:
            raise ConfigurationError(
                f"model {card.id} needs a text encoder with SHA-256 {card.text_encoder_digest}, which is not here"
            )
        return {"text_encoder": self.encoder.model, "tokenizer": self.encoder.tokenizer}

    def warm_up(self) -> None:
        """Load everything that a request needs, so that the first one does not wait and a fault shows at start."""
        engine: Any = self.engine(self.card(None).id)
        engine.load()
        # Made here and not at first use, because two threads that ask at once would make two.
        _ = self.checks, self.marking, self.publisher, self.log, self.objects, self.decoder, self.results
        _ = self.queue, self.generation, self.verification, self.screening, self.reviews, self.moderation

    def local_caller(self) -> Caller:
        """Who uses the command line: the operator, with every role."""
        return Caller(self.settings.tenant, f"{self.settings.tenant}/cli", frozenset({Role.ADMIN}), operator=True)

    def actor(self, caller: Caller) -> VaultReference:
        """Who asks, put into the vault for an event to refer to."""
        with unavailable():
            return self.vault.put(caller.subject, "actor", caller.subject.encode())

    def decode(self, data: bytes) -> DecodedImage:
        """Decode foreign bytes in the bounded worker. Raises `InvalidInputError`."""
        return self.decoder.decode(data)

    def read_source(self, source: str) -> bytes:
        """The bytes of a file or URL.

        Raises:
            UnreadableSourceError, ImageTooLargeError: as they say.
        """
        from api.errors import ImageTooLargeError
        from api.fetching import fetch, is_url

        limit = self.settings.max_upload_bytes
        if is_url(source):
            return fetch(source, max_bytes=limit, allow_private=self.settings.url_private_addresses)
        try:
            with Path(source).open("rb") as stream:
                data = stream.read(limit + 1)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise UnreadableSourceError(f"{source} cannot be read: {reason}") from error
        if len(data) > limit:
            raise ImageTooLargeError(f"{source} has more than {limit} bytes")
        return data

    def inspect(self, data: bytes) -> list[dict[str, Any]]:
        """The findings of all image checks on one file, as JSON."""
        from api.entries import finding_document
        from safety.checks import run_checks

        findings = run_checks(self.checks.image, self.decode(data).pixels)
        return [finding_document(finding) for finding in findings]

    def add_references(
        self, folder: Path, *, rights_claim: str | None, progress: Callable[[int, int], None] | None
    ) -> IngestReport:
        """List the image files under a folder, and log that."""
        from safety.duplicates.ingest import ingest_folder

        report = ingest_folder(
            folder,
            self.references,
            lambda data: self.decode(data).pixels,
            rights_claim=rights_claim,
            progress=progress,
        )
        if report.added:
            snapshot = self.references.snapshot().id
            self.append(Event(None, events.ReferencesAdded(
                snapshot=snapshot, count=len(report.added), sources=(rights_claim or str(folder),)
            )))  # fmt: skip
        return report

    def withdraw_reference(self, reference_id: str, *, reason: str) -> None:
        """Take a work out of the search, and log that. Raises `NotFoundError`."""
        from api.errors import NotFoundError
        from safety.errors import ReferenceIndexError

        try:
            self.references.withdraw(reference_id)
        except ReferenceIndexError as error:
            raise NotFoundError(str(error)) from error
        snapshot = self.references.snapshot().id
        self.append(Event(None, events.ReferencesWithdrawn(
            snapshot=snapshot, count=1, reason=reason, references=(reference_id,)
        )))  # fmt: skip

    def create_key(self, *, tenant: str, name: str, roles: Iterable[str]) -> tuple[str, str]:
        """Make an API key, and log that in the same transaction; returns its id and the key."""
        with unavailable(), self.database.engine.begin() as connection:
            made = self.keys.create(connection, tenant=tenant, name=name, roles=frozenset(Role(role) for role in roles))
            body = events.KeyCreated(purpose="api", key_id=made[0], details={"tenant": tenant})
            event_id = self.log.append(Event(None, body), connection)
        self.log.include(event_id)
        return made

    def revoke_key(self, key_id: str) -> None:
        """Revoke an API key, and log that in the same transaction."""
        with unavailable(), self.database.engine.begin() as connection:
            self.keys.revoke(connection, key_id)
            event_id = self.log.append(Event(None, events.KeyRevoked(purpose="api", key_id=key_id)), connection)
        self.log.include(event_id)

    def append(self, event: Event) -> None:
        """Write an event and wait until it is in a checkpoint."""
        with unavailable():
            self.log.record(event)

    def log_rejection(self, flow: str, error: ServiceError, *, tenant: str) -> None:
        """Log that an input could not be used: what was wrong with it, not the input."""
        self.append(
            Event(
                None,
                events.Rejected(
                    flow=flow,
                    error=error.code,
                    message=error.message[:500],
                    parameter=error.parameter,
                    tenant=tenant,
                ),
            )
        )

    def fsck(self) -> FsckReport:
        """Rebuild the ledger from the events and compare everything with everything."""
        from api.checkpointing import stamp_trust
        from audit.fsck import fsck

        stamps = stamp_trust(self) if self.settings.time_stamp_anchors else None
        with unavailable():
            return fsck(self.database.engine, self.log, self.vault, self.objects, stamps=stamps)

    def checkpoint(self) -> Checkpoint:
        """A signed checkpoint of everything recorded so far."""
        with unavailable():
            return self.log.checkpoint()

    def close_abandoned(self) -> list[str]:
        """Close attempts whose lease has expired, each with its event; returns their record ids."""
        with unavailable(), self.database.engine.begin() as connection:
            expired = self.records.expire(connection)
            for record in expired:
                body = events.Abandoned(
                    attempt=record.record_id, reason="the lease expired without an end of the attempt"
                )
                self.log.append(Event(record.record_id, body), connection)
        if expired:
            with unavailable():
                self.log.checkpoint()
        return [record.record_id for record in expired]

    def _complete_erasures(self) -> None:
        """Do what an erasure that was interrupted has left to do."""
        from sqlalchemy import select

        from audit.tables import vault_destructions

        with unavailable(), self.database.engine.connect() as connection:
            is_pending = connection.execute(select(vault_destructions.c.subject_id).limit(1)).first() is not None
        if is_pending:
            self.erasing.complete()

    def health(self) -> dict[str, Any]:
        """Whether the service can work: `status` is green, yellow (soon not) or red, with each part."""
        from api.health import health

        return health(self)

    def close(self) -> None:
        """Give everything back."""
        with contextlib.suppress(ServiceError):  # the database may be away
            self.login_failures.flush(force=True)
        if "reviews" in self.__dict__:
            self.reviews.close()
        if "decoder" in self.__dict__:
            self.decoder.close()
        if "credential_reader" in self.__dict__:
            self.credential_reader.close()
        if "queue" in self.__dict__:
            self.queue.close()
        for engine in self._engines.values():
            engine.close()
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
