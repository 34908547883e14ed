"""The flow of a generation, with its steps in order. No image leaves before its record is durable and included."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from api import entries, inputs
from api.boundaries import unavailable
from api.decoding import decode
from api.drafts import Draft, HeldRequest
from api.errors import (
    BusyError,
    ConfigurationError,
    GenerationCancelledByCallerError,
    GenerationFailedError,
    GenerationTimedOutError,
    HeldError,
    InvalidInputError,
    QuarantinedError,
    RefusedError,
    ServiceError,
)
from api.keys import Caller, Role
from api.publishing import origin
from api.records import Record
from audit import records as audit_records
from audit.errors import AuditError
from audit.events import Body, Event, EventId
from audit.records import ObjectReference, VaultReference
from generator.errors import (
    GenerationCancelledError,
    GenerationTimeoutError,
    GeneratorError,
    QueueFullError,
    UnknownModelError,
    UnsupportedRequestError,
)
from generator.image import GeneratedImage
from generator.request import GenerationRequest, ResolvedRequest
from generator.serving import Cancellation, Place
from provenance.encode import thumbnail_jpeg
from provenance.errors import ProvenanceError
from provenance.ingredients import Ingredient
from provenance.sdk_signing import SIGNABLE_FORMATS
from safety.checks import Stage, run_checks
from safety.duplicates.check import LISTED_WORK
from safety.errors import CheckFailedError, SafetyError
from safety.findings import Finding
from safety.policy import Decision, DecisionOutcome, Policy
from safety.registry import BuiltChecks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from api.composition import Imprimatur
    from api.publishing import Published
    from audit.receipt import Receipt

_LOGGER = logging.getLogger(__name__)


class Step(StrEnum):
    """The steps of the flow, in order; an observer is told of each when it is done.

    Those from `GENERATED` to `SIGNED` are told for each image. `INPUTS_EXAMINED` is told only where there are inputs.
    """

    RECEIVED = "received"
    PROMPT_EXAMINED = "prompt examined"
    INPUTS_EXAMINED = "inputs examined"
    GENERATED = "generated"
    MARKED = "marked"
    ENCODED = "encoded"
    EXAMINED = "examined"
    SIGNED = "signed"
    STORED = "stored"
    CONCLUDED = "concluded"
    INCLUDED = "included"


Observer = Callable[[Step], None]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Order:
    """What a caller asks for: the request as it came, the file format of the answer, and who asks.

    `image` and `mask` are files as they came; the flow decodes them, and gives the request their pixels.
    `disclose_prompt`: the caller wants the prompt in the credential, for everybody to read.
    """

    request: GenerationRequest
    caller: Caller
    image_format: str
    idempotency_key: str | None = None
    image: bytes | None = field(default=None, repr=False)
    mask: bytes | None = field(default=None, repr=False)
    disclose_prompt: bool = False


@dataclass(frozen=True, slots=True)
class ImageResult:
    """What became of one image. `data` (the signed file) and `receipt` are there only when it was released."""

    record_id: str
    outcome: DecisionOutcome
    seed: int
    findings: tuple[dict[str, Any], ...]
    decision: dict[str, Any]
    data: bytes | None = field(default=None, repr=False)
    receipt: Receipt | None = None


@dataclass(frozen=True, slots=True)
class GenerationResult:
    """What became of a request: one result an image, in order."""

    images: tuple[ImageResult, ...]

    @property
    def record_id(self) -> str:
        """The record of the request: that of its first image."""
        return self.images[0].record_id

    @property
    def outcome(self) -> DecisionOutcome:
        """The most severe outcome among the images."""
        order = (DecisionOutcome.REFUSE, DecisionOutcome.REVIEW, DecisionOutcome.RELEASE)
        return next(outcome for outcome in order if any(image.outcome is outcome for image in self.images))


@dataclass(frozen=True, slots=True)
class _Run:
    """What the steps of one request share."""

    order: Order
    request: ResolvedRequest
    policy: Policy
    checks: BuiltChecks
    inputs: tuple[inputs.Input, ...]
    described_inputs: tuple[audit_records.Input, ...]
    ingredients: tuple[Ingredient, ...]
    records: tuple[Record, ...]
    actor: VaultReference
    prompt: VaultReference
    observe: Observer
    cancellation: Cancellation

    @property
    def parent_id(self) -> str:
        return self.records[0].parent_id


@dataclass(frozen=True, slots=True)
class _Examined:
    """One image with everything that its final event will say.

    `data` is the signed file of an image that is released; `pending`, of one that is held, what its release needs.
    """

    record: Record
    image: GeneratedImage
    findings: tuple[Finding, ...]
    decision: Decision
    body: Body | None = None
    data: bytes = field(default=b"", repr=False)
    pending: ObjectReference | None = None
    pending_sha256: str | None = None


class GenerationFlow:
    """Runs requests. Thread-safe: their images are made together where they go together, in a fair line."""

    def __init__(self, services: Imprimatur) -> None:
        self._services = services

    def run(
        self,
        order: Order,
        *,
        observe: Observer = lambda _step: None,
        progress: Progress | None = None,
        cancellation: Cancellation | None = None,
    ) -> GenerationResult:
        """Run one request to its end: every image is released, held or refused, or none is.

        Args:
            observe: told of each step when it is done; an exception from it fails the attempt.
            progress: told (image steps done, image steps in all) while the model works.
            cancellation: calls the request off, from any thread, as long as nothing was released.

        Raises:
            InvalidInputError: the request cannot be done as it stands; nothing was started.
            RefusedError: the policy refused the prompt or an input.
            GenerationFailedError: a step could not run; nothing left.
            GenerationCancelledByCallerError, GenerationTimedOutError: as they say; nothing left.
            UnavailableError: database or object store away; nothing left.
            BusyError, IdempotencyConflictError, AttemptLostError, ConfigurationError: as they say.
        """
        services = self._services
        cancellation = cancellation or Cancellation()
        with self._admitted(order.caller.tenant) as place:
            try:
                request, pictures = self._accept(order)
            except InvalidInputError as error:
                services.log_rejection("generate", error, tenant=order.caller.tenant)
                raise
            run = self._receive(order, request, pictures, observe, cancellation)
            if isinstance(run, str):
                return services.results.load(run, order.caller)
            with self._held_open(run.records):
                prompt_findings = self._examine_prompt(run)
                self._examine_inputs(run, prompt_findings)
                examined, event_ids = self._make(run, place, prompt_findings, progress)
            return self._deliver(run, examined, event_ids)

    def resume(self, held: HeldRequest, opened: Sequence[Record], *, stage: str) -> GenerationResult:
        """Go on with a request that was held at its prompt or input (`stage`) and approved since.

        `opened` are its records, open again for this process. Waits for a place as long as it takes, because a
        person has decided already.

        Raises:
            As `run`; HeldError also when a later stage holds it again.
        """
        services = self._services
        order = Order(
            held.request,
            Caller(held.tenant, held.subject, frozenset({Role.GENERATE})),
            held.image_format,
            image=held.image,
            mask=held.mask,
            disclose_prompt=held.disclose_prompt,
        )
        with self._held_open(opened), self._admitted(held.tenant, patient=True) as place:
            request, pictures = self._accept(order)
            if services.card(request.model).digest != held.model_digest:
                raise ConfigurationError(
                    f"the model {request.model} has changed since the request was made; ask for it again"
                )
            policy = services.policies.of(held.tenant)
            run = _Run(
                order, request, policy, services.checks_of(policy), pictures, inputs.described(pictures),
                inputs.ingredients(pictures), tuple(opened), held.actor, held.prompt, lambda _step: None,
                Cancellation(),
            )  # fmt: skip
            prompt_findings = tuple(entries.finding_of(finding) for finding in held.findings)
            if stage == Stage.PROMPT.value:
                self._examine_inputs(run, prompt_findings)
            examined, event_ids = self._make(run, place, prompt_findings, None)
        return self._deliver(run, examined, event_ids)

    def finish(self, draft: Draft, record: Record, *, review: EventId) -> tuple[bytes, Body]:
        """Sign and store an image that a person has approved, exactly as it was examined.

        Returns the file and the event that releases it. Raises `ServiceError`; then nothing may leave.
        """
        try:
            pixels = decode(draft.encoded, self._services.decode_limits).pixels
            published = self._sign(draft, record, pixels, human_validated=True)
            return published.data, self._store(draft, record, published, self._subject_of(draft), review=review)
        except (AuditError, ProvenanceError, GeneratorError) as error:
            step, cause = _describe(error)
            raise GenerationFailedError(
                f"{step}: {cause}; the image is still held", step=step, record_id=record.record_id
            ) from error

    def _make(
        self, run: _Run, place: Place, prompt_findings: tuple[Finding, ...], progress: Progress | None
    ) -> tuple[list[_Examined], list[EventId]]:
        """Generate, examine and conclude the images of a request whose prompt and inputs may go on."""
        with contextlib.closing(self._generate(run, place, progress)) as images:
            examined = [
                self._prepare(run, record, image, prompt_findings)
                for record, image in zip(run.records, images, strict=True)
            ]
        run.observe(Step.STORED)
        run.cancellation.check()
        event_ids = self._conclude(examined)
        run.observe(Step.CONCLUDED)
        return examined, event_ids

    @contextmanager
    def _held_open(self, opened: Sequence[Record]) -> Iterator[None]:
        """Keep the leases alive while the block runs, and close the records as failed if it fails."""
        with self._services.records.heartbeat([record.record_id for record in opened]), self._closing_failures(opened):
            yield

    @contextmanager
    def _admitted(self, tenant: str, *, patient: bool = False) -> Iterator[Place]:
        """Hold a place in the line; raises `BusyError`, or waits if `patient`."""
        with contextlib.ExitStack() as stack:
            place: Place | None = None
            while place is None:
                try:
                    place = stack.enter_context(self._services.queue.admit(tenant))
                except QueueFullError as error:
                    if not patient:
                        raise BusyError(str(error), retry_after_s=error.retry_after_s) from error
                    time.sleep(error.retry_after_s)
            yield place

    def _accept(self, order: Order) -> tuple[ResolvedRequest, tuple[inputs.Input, ...]]:
        """The request with every value filled in, and its inputs. No record exists yet."""
        if order.image_format not in SIGNABLE_FORMATS:
            raise InvalidInputError(
                f"the format '{order.image_format}' is not written; use one of {', '.join(SIGNABLE_FORMATS)}",
                parameter="output_format",
            )
        try:
            card = self._services.card(order.request.model)
        except UnknownModelError as error:
            raise InvalidInputError(str(error), parameter="model") from error
        pictures = inputs.decode_inputs({"image": order.image, "mask": order.mask}, self._services.decode)
        pixels = {one.role: one.pixels for one in pictures}
        request = dataclasses.replace(order.request, image=pixels.get("image"), mask=pixels.get("mask"))
        try:
            return request.resolve(card), pictures
        except UnsupportedRequestError as error:
            raise InvalidInputError(str(error), parameter=error.parameter) from error

    def _receive(
        self,
        order: Order,
        request: ResolvedRequest,
        pictures: tuple[inputs.Input, ...],
        observe: Observer,
        cancellation: Cancellation,
    ) -> _Run | str:
        """Open the leased records and write `received`, durably, before any work.

        Returns the run, or the parent id of the finished request that this one repeats; then nothing was written.
        """
        services, caller = self._services, order.caller
        described = inputs.described(pictures)
        with unavailable(), services.database.engine.connect() as connection:
            opened = tuple(services.records.open(connection, tenant=caller.tenant, count=request.count))
            if order.idempotency_key is not None:
                finished = services.records.claim(
                    connection,
                    tenant=caller.tenant,
                    key=order.idempotency_key,
                    request=_request_document(order),
                    parent_id=opened[0].record_id,
                )
                if finished is not None:
                    return finished
            policy = services.policies.of(caller.tenant)
            actor = services.vault.put(caller.subject, "actor", caller.subject.encode())
            prompt = services.vault.put(caller.subject, "prompt", _prompt_document(request))
            body = entries.received(
                request,
                tenant=caller.tenant,
                actor=actor,
                prompt=prompt,
                card=services.card(request.model),
                inputs=described,
                idempotency_key=order.idempotency_key,
                policy=policy,
            )
            services.log.append(Event(opened[0].record_id, body), connection=connection)
            connection.commit()
        observe(Step.RECEIVED)
        return _Run(
            order,
            request,
            policy,
            services.checks_of(policy),
            pictures,
            described,
            inputs.ingredients(pictures),
            opened,
            actor,
            prompt,
            observe,
            cancellation,
        )

    def _examine_prompt(self, run: _Run) -> tuple[Finding, ...]:
        findings: list[Finding] = []
        for text in filter(None, (run.request.prompt, run.request.negative_prompt)):
            findings += run_checks(run.checks.prompt, text)
        if not findings:  # a variation or enlargement without words; checks that run give at least one finding
            return ()
        self._go_on_or_end(run, "prompt", run.policy.decide(Stage.PROMPT, findings), findings, findings)
        run.observe(Step.PROMPT_EXAMINED)
        return tuple(findings)

    def _examine_inputs(self, run: _Run, prompt_findings: Sequence[Finding]) -> None:
        """A picture that came with the request is looked at like any that would leave; masks show nothing."""
        pictures = [one.decoded.pixels for one in run.inputs if one.role == "image"]
        for pixels in pictures:
            findings = run_checks(run.checks.image, pixels)
            decision = run.policy.decide(Stage.IMAGE, findings, prompt_findings)
            self._go_on_or_end(run, "input", decision, findings, prompt_findings)
        if pictures:
            run.observe(Step.INPUTS_EXAMINED)

    def _go_on_or_end(
        self,
        run: _Run,
        stage: str,
        decision: Decision,
        findings: Sequence[Finding],
        prompt_findings: Sequence[Finding],
    ) -> None:
        """Before anything was generated: return if the policy lets the request go on, else close it and raise."""
        if decision.outcome is DecisionOutcome.RELEASE:
            return
        error: type[RefusedError] = HeldError
        if decision.quarantined:
            error = QuarantinedError
            self._close_all(run.records, "quarantined", entries.quarantined(decision, findings, stage=stage))
        elif decision.outcome is DecisionOutcome.REFUSE:
            error = RefusedError
            self._close_all(run.records, "refused", entries.refused(decision, findings, stage=stage))
        else:
            self._put_aside(run, stage, decision, findings, prompt_findings)
        raise error(
            stage=stage,
            categories=decision.categories,
            policy_id=decision.policy_id,
            policy_version=str(decision.policy_version),
            policy_digest=decision.policy_digest,
            record_id=run.parent_id,
        )

    def _put_aside(
        self,
        run: _Run,
        stage: str,
        decision: Decision,
        findings: Sequence[Finding],
        prompt_findings: Sequence[Finding],
    ) -> None:
        """Hold a request before anything was generated, with all that it takes to go on when a person approves."""
        services, request = self._services, run.request
        held = HeldRequest(
            request=replace(run.order.request, model=request.model, seed=request.seed, steps=request.steps,
                            guidance=request.guidance, strength=request.strength),
            image=run.order.image,
            mask=run.order.mask,
            disclose_prompt=run.order.disclose_prompt,
            image_format=run.order.image_format,
            model_digest=services.card(request.model).digest,
            tenant=run.order.caller.tenant,
            subject=run.order.caller.subject,
            findings=entries.recorded_findings(prompt_findings),
            prompt=run.prompt,
            actor=run.actor,
        )  # fmt: skip
        with unavailable():
            pending = services.objects.put(held.to_bytes(), run.order.caller.subject, role="pending")
            with services.database.engine.begin() as connection:
                services.records.close(connection, [record.record_id for record in run.records], "held")
                event_id = services.reviews.hold(
                    connection, run.records[0], stage=stage, decision=decision, findings=findings, pending=pending
                )
            services.log.include(event_id)

    def _generate(self, run: _Run, place: Place, progress: Progress | None) -> Generator[GeneratedImage]:
        """The images, each as soon as it is there: the model works on while they are examined."""
        run.cancellation.check()
        with place.submit(run.request) as ticket:
            run.cancellation.on_cancel(ticket.cancel)
            for image in ticket.images(progress):
                run.observe(Step.GENERATED)
                yield image
                run.cancellation.check()

    def _prepare(
        self, run: _Run, record: Record, image: GeneratedImage, prompt_findings: tuple[Finding, ...]
    ) -> _Examined:
        """Mark, encode, examine the pixels that would ship, sign and store one image."""
        services = self._services
        marked = services.marking.embed(services.publisher.labelled(image.pixels), record)
        run.observe(Step.MARKED)
        encoded = services.publisher.encode(marked, run.order.image_format, record, ingredients=run.ingredients)
        run.observe(Step.ENCODED)

        pixels = decode(encoded, services.decode_limits).pixels
        read_back = services.marking.read_back(pixels, record)
        findings = (*run_checks(run.checks.image, pixels), services.marking.finding(read_back))
        decision = run.policy.decide(Stage.IMAGE, findings, prompt_findings)
        run.observe(Step.EXAMINED)

        everything = (*prompt_findings, *findings)
        examined = _Examined(record, image, everything, decision)
        if decision.outcome is DecisionOutcome.REFUSE:
            if decision.quarantined:
                return replace(examined, body=entries.quarantined(decision, everything))
            kept = self._keep_copy(decision, pixels, run.order.caller.subject)
            return replace(examined, body=entries.refused(decision, everything, objects=kept))
        draft = Draft(
            encoded=encoded,
            image_format=run.order.image_format,
            ingredients=run.ingredients,
            disclosed_prompt=run.request.prompt if run.order.disclose_prompt else None,
            facts=entries.release_facts(
                request=run.request, image=image, inputs=run.described_inputs,
                origin=origin(run.ingredients), decision=decision, findings=everything,
                read_back=read_back, prompt=run.prompt, actor=run.actor,
                tenant=run.order.caller.tenant, card=services.card(image.model),
            ),
        )  # fmt: skip
        subject = run.order.caller.subject
        if decision.outcome is DecisionOutcome.REVIEW:
            with unavailable():
                pending = services.objects.put(draft.to_bytes(), subject, role="pending")
            return replace(examined, pending=pending, pending_sha256=hashlib.sha256(encoded).hexdigest())
        published = self._sign(draft, record, pixels)
        run.observe(Step.SIGNED)
        return replace(examined, body=self._store(draft, record, published, subject), data=published.data)

    def _sign(
        self, draft: Draft, record: Record, pixels: NDArray[np.uint8], *, human_validated: bool = False
    ) -> Published:
        """The signed file of an examined image; `pixels` are those of its encoded form."""
        services, facts = self._services, draft.facts
        card = services.card(facts.model.id)
        if card.digest != facts.model.digest:
            raise ConfigurationError(f"the model {card.id} is not the one that made this image")
        return services.publisher.sign(
            draft.encoded,
            draft.image_format,
            record,
            card,
            pixels,
            mark=None if facts.watermark is None else facts.watermark.payload,
            task=facts.task,
            ingredients=draft.ingredients,
            prompt=draft.disclosed_prompt,
            human_validated=human_validated,
        )

    def _store(
        self, draft: Draft, record: Record, published: Published, subject: str, *, review: EventId | None = None
    ) -> Body:
        """Keep the signed file; the event that releases it. `review`: the event by which a person approved it."""
        services = self._services
        with unavailable():
            stored = services.objects.put(published.data, subject)
        services.credentials.keep(published, record, draft.image_format, subject)
        return entries.released(draft.facts, published, draft.image_format, stored, review=review)

    def _subject_of(self, draft: Draft) -> str:
        """Whose data an image is, as the vault keeps it under the record's actor."""
        with unavailable():
            return self._services.vault.get(draft.facts.actor).decode()

    def _keep_copy(
        self, decision: Decision, pixels: NDArray[np.uint8], subject: str
    ) -> tuple[audit_records.ObjectReference, ...]:
        """A small picture of what is refused as the copy of a listed work and for nothing else, to show beside it."""
        if set(decision.categories) != {LISTED_WORK}:
            return ()
        with unavailable():
            return (self._services.objects.put(thumbnail_jpeg(pixels), subject, role="thumbnail"),)

    def _conclude(self, examined: Sequence[_Examined]) -> list[EventId]:
        """Close every record and write its final event, all in one transaction."""
        services = self._services
        with unavailable(), services.database.engine.begin() as connection:
            ids: list[EventId] = []
            for one in examined:
                record_id = one.record.record_id
                digest = hashlib.sha256(one.data).hexdigest() if one.data else None
                state = "held" if one.body is None else one.body.kind
                services.records.close(connection, [record_id], state, image_sha256=digest)
                if one.body is not None:
                    ids.append(services.log.append(Event(record_id, one.body), connection=connection))
                    continue
                assert one.pending is not None, "what is neither released nor refused was put aside"
                ids.append(
                    services.reviews.hold(
                        connection, one.record, stage=Stage.IMAGE.value, decision=one.decision,
                        findings=one.findings, pending=one.pending, image_sha256=one.pending_sha256,
                    )
                )  # fmt: skip
        return ids

    def _deliver(self, run: _Run, examined: Sequence[_Examined], event_ids: Sequence[EventId]) -> GenerationResult:
        """Wait until every event is in a signed checkpoint; only then may bytes leave."""
        with unavailable():
            self._services.log.include_all(event_ids)
        run.observe(Step.INCLUDED)
        results = []
        for one, event_id in zip(examined, event_ids, strict=True):
            released = one.decision.outcome is DecisionOutcome.RELEASE
            results.append(
                ImageResult(
                    record_id=one.record.record_id,
                    outcome=one.decision.outcome,
                    seed=one.image.seed,
                    findings=tuple(entries.finding_document(finding) for finding in one.findings),
                    decision=dict(one.decision.to_public()),
                    data=one.data if released else None,
                    receipt=self._services.results.receipt(event_id) if released else None,
                )
            )
        return GenerationResult(tuple(results))

    @contextmanager
    def _closing_failures(self, opened: Sequence[Record]) -> Iterator[None]:
        """Whatever goes wrong in the block, the record says `failed` and why, if it can still be written."""
        try:
            yield
        except RefusedError:
            raise
        except BaseException as error:
            step, cause = _describe(error)
            parent_id = opened[0].parent_id
            try:
                self._close_all(opened, "failed", entries.failed(step, cause))
            except ServiceError as lost:
                # The lease ends by itself and the attempt is closed as abandoned.
                _LOGGER.error("record %s could not be closed as failed: %s", parent_id, lost.message)
            if isinstance(error, ServiceError) or not isinstance(error, Exception):
                raise
            raise _failure(error)(
                f"{step}: {cause}; no image left, the record {parent_id} says why",
                step=step,
                record_id=parent_id,
            ) from error

    def _close_all(self, opened: Sequence[Record], state: str, body: Body) -> None:
        services = self._services
        with unavailable(), services.database.engine.begin() as connection:
            services.records.close(connection, [record.record_id for record in opened], state)
            event_id = services.log.append(Event(opened[0].parent_id, body), connection=connection)
        with unavailable():
            services.log.include(event_id)


def _describe(error: BaseException) -> tuple[str, str]:
    """The step that failed, by the package that raised, and what it said."""
    match error:
        case CheckFailedError():
            return "check", str(error)
        case SafetyError():
            return "safety", str(error)
        case GenerationCancelledError() | KeyboardInterrupt():
            return "generation", "cancelled by the caller"
        case GeneratorError():
            return "generation", str(error)
        case ProvenanceError():
            return "provenance", str(error)
        case AuditError():
            return "storage", str(error)
        case ServiceError():
            return "service", error.message
        case _:
            return "internal", f"{type(error).__name__}: {error}"


def _failure(error: BaseException) -> type[GenerationFailedError]:
    """What the caller is told apart."""
    if isinstance(error, GenerationCancelledError):
        return GenerationCancelledByCallerError
    return GenerationTimedOutError if isinstance(error, GenerationTimeoutError) else GenerationFailedError


def _prompt_document(request: ResolvedRequest) -> bytes:
    return json.dumps({"prompt": request.prompt, "negative_prompt": request.negative_prompt}).encode()


def _request_document(order: Order) -> bytes:
    """What makes two requests with one idempotency key the same: everything the caller sent."""
    request = order.request
    values = {
        one.name: getattr(request, one.name)
        for one in dataclasses.fields(request)
        if one.name not in ("image", "mask", "extend")
    }
    values["extend"] = None if request.extend is None else dataclasses.astuple(request.extend)
    for name, data in (("image", order.image), ("mask", order.mask)):
        values[name] = None if data is None else hashlib.sha256(data).hexdigest()
    return json.dumps(
        {
            **values,
            "format": order.image_format,
            "subject": order.caller.subject,
            "disclose_prompt": order.disclose_prompt,
        },
        sort_keys=True,
    ).encode()
