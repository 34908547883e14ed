"""The flow of a generation, with its steps in order. No image leaves before its record is durable and included."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from api import entries, inputs
from api.boundaries import unavailable
from api.decoding import decode
from api.errors import (
    BusyError,
    GenerationCancelledByCallerError,
    GenerationFailedError,
    GenerationTimedOutError,
    HeldError,
    InvalidInputError,
    RefusedError,
    ServiceError,
)
from api.keys import Caller
from api.publishing import origin
from api.records import Record
from audit import records as audit_records
from audit.errors import AuditError
from audit.events import Body, Event, EventId
from audit.records import VaultReference
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
from provenance.errors import ProvenanceError
from provenance.ingredients import Ingredient
from safety.checks import Stage, run_checks
from safety.errors import CheckFailedError, SafetyError
from safety.findings import Finding
from safety.policy import Decision, DecisionOutcome

if TYPE_CHECKING:
    from api.composition import Imprimatur
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
    """

    request: GenerationRequest
    caller: Caller
    image_format: str
    idempotency_key: str | None = None
    image: bytes | None = field(default=None, repr=False)
    mask: bytes | None = field(default=None, repr=False)


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
    """One image with everything that its final event will say."""

    record: Record
    image: GeneratedImage
    findings: tuple[Finding, ...]
    decision: Decision
    body: Body
    data: bytes = field(repr=False)


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
            with services.records.heartbeat([record.record_id for record in run.records]), self._closing_failures(run):
                prompt_findings = self._examine_prompt(run)
                self._examine_inputs(run)
                with contextlib.closing(self._generate(run, place, progress)) as images:
                    examined = [
                        self._prepare(run, record, image, prompt_findings)
                        for record, image in zip(run.records, images, strict=True)
                    ]
                observe(Step.STORED)
                cancellation.check()
                event_ids = self._conclude(examined)
                observe(Step.CONCLUDED)
            return self._deliver(run, examined, event_ids)

    @contextmanager
    def _admitted(self, tenant: str) -> Iterator[Place]:
        """Hold a place in the line; raises `BusyError`."""
        with contextlib.ExitStack() as stack:
            try:
                place = stack.enter_context(self._services.queue.admit(tenant))
            except QueueFullError as error:
                raise BusyError(str(error), retry_after_s=error.retry_after_s) from error
            yield place

    def _accept(self, order: Order) -> tuple[ResolvedRequest, tuple[inputs.Input, ...]]:
        """The request with every value filled in, and its inputs. No record exists yet."""
        if order.image_format not in ("png", "jpeg", "webp"):
            raise InvalidInputError(
                f"the format '{order.image_format}' is not written; use png, jpeg or webp", parameter="output_format"
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
            )
            services.log.append(Event(opened[0].record_id, body), connection=connection)
            connection.commit()
        observe(Step.RECEIVED)
        return _Run(
            order,
            request,
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
        services = self._services
        findings: list[Finding] = []
        for text in filter(None, (run.request.prompt, run.request.negative_prompt)):
            findings += run_checks(services.checks.prompt, text)
        self._go_on_or_end(run, "prompt", services.policy.decide(Stage.PROMPT, findings), findings)
        run.observe(Step.PROMPT_EXAMINED)
        return tuple(findings)

    def _examine_inputs(self, run: _Run) -> None:
        """A picture that came with the request is looked at like any that would leave; masks show nothing."""
        pictures = [one.decoded.pixels for one in run.inputs if one.role == "image"]
        for pixels in pictures:
            findings = run_checks(self._services.checks.image, pixels)
            self._go_on_or_end(run, "input", self._services.policy.decide(Stage.IMAGE, findings), findings)
        if pictures:
            run.observe(Step.INPUTS_EXAMINED)

    def _go_on_or_end(self, run: _Run, stage: str, decision: Decision, findings: Sequence[Finding]) -> None:
        """Before anything was generated: return if the policy lets the request go on, else close it and raise."""
        if decision.outcome is DecisionOutcome.RELEASE:
            return
        refused = decision.outcome is DecisionOutcome.REFUSE
        body = (entries.refused if refused else entries.held)(decision, findings, stage=stage)
        self._close_all(run, "refused" if refused else "held", body)
        raise (RefusedError if refused else HeldError)(
            stage=stage,
            categories=decision.categories,
            policy_id=decision.policy_id,
            policy_version=str(decision.policy_version),
            policy_digest=decision.policy_digest,
            record_id=run.parent_id,
        )

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
        findings = tuple(run_checks(services.checks.image, pixels))
        decision = services.policy.decide(Stage.IMAGE, findings)
        run.observe(Step.EXAMINED)

        everything = (*prompt_findings, *findings)
        if decision.outcome is DecisionOutcome.REFUSE:
            return _Examined(record, image, everything, decision, entries.refused(decision, everything), b"")
        read_back = services.marking.read_back(pixels, record)
        card = services.card(image.model)
        published = services.publisher.sign(
            encoded, run.order.image_format, record, card, pixels, task=run.request.task, ingredients=run.ingredients
        )
        run.observe(Step.SIGNED)
        with unavailable():
            stored = services.objects.put(published.data, run.order.caller.subject)
        if decision.outcome is DecisionOutcome.REVIEW:
            body: Body = entries.held(decision, everything, (stored,))
        else:
            body = entries.released(
                published=published, image=image, request=run.request, inputs=run.described_inputs,
                origin=origin(run.ingredients), image_format=run.order.image_format, decision=decision,
                findings=everything, read_back=read_back, stored=stored, prompt=run.prompt, actor=run.actor,
                tenant=run.order.caller.tenant, card=card,
            )  # fmt: skip
        return _Examined(record, image, everything, decision, body, published.data)

    def _conclude(self, examined: Sequence[_Examined]) -> list[EventId]:
        """Close every record and write its final event, all in one transaction."""
        services = self._services
        states = {
            DecisionOutcome.RELEASE: "released",
            DecisionOutcome.REVIEW: "held",
            DecisionOutcome.REFUSE: "refused",
        }
        with unavailable(), services.database.engine.begin() as connection:
            ids: list[EventId] = []
            for one in examined:
                digest = hashlib.sha256(one.data).hexdigest() if one.data else None
                record_id = one.record.record_id
                services.records.close(connection, [record_id], states[one.decision.outcome], image_sha256=digest)
                ids.append(services.log.append(Event(record_id, one.body), connection=connection))
        return ids

    def _deliver(self, run: _Run, examined: Sequence[_Examined], event_ids: Sequence[EventId]) -> GenerationResult:
        """Wait until every event is in a signed checkpoint; only then may bytes leave."""
        with unavailable():
            for event_id in event_ids:
                self._services.log.include(event_id)
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
    def _closing_failures(self, run: _Run) -> Iterator[None]:
        """Whatever goes wrong in the block, the record says `failed` and why, if it can still be written."""
        try:
            yield
        except RefusedError:
            raise
        except BaseException as error:
            step, cause = _describe(error)
            try:
                self._close_all(run, "failed", entries.failed(step, cause))
            except ServiceError as lost:
                # The lease ends by itself and the attempt is closed as abandoned.
                _LOGGER.error("record %s could not be closed as failed: %s", run.parent_id, lost.message)
            if isinstance(error, ServiceError) or not isinstance(error, Exception):
                raise
            raise _failure(error)(
                f"{step}: {cause}; no image left, the record {run.parent_id} says why",
                step=step,
                record_id=run.parent_id,
            ) from error

    def _close_all(self, run: _Run, state: str, body: Body) -> None:
        services = self._services
        with unavailable(), services.database.engine.begin() as connection:
            services.records.close(connection, [record.record_id for record in run.records], state)
            event_id = services.log.append(Event(run.parent_id, body), connection=connection)
        with unavailable():
            services.log.include(event_id)


def _describe(error: BaseException) -> tuple[str, str]:
    """The step that failed, by the package that raised, and what it said."""
    match error:
        case CheckFailedError():
            return "check", str(error)
        case SafetyError():
            return "safety", str(error)
        case GenerationCancelledError():
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
        {**values, "format": order.image_format, "subject": order.caller.subject}, sort_keys=True
    ).encode()
