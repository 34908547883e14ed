"""The flow of a report: the records of a question, gathered, set, signed and bundled, and an event that says so."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from api.boundaries import unavailable
from api.errors import InvalidInputError, ServiceError
from api.keys import Caller
from api.reports.gathering import Gatherer, Scope
from api.reports.questions import STOPPED_STATES, AboutImage, AboutPeriod, AboutRequest, ReportQuestion
from audit.errors import ReportError
from audit.events import Event, ReportMade
from audit.reports.bundle import Staging, Written, write
from audit.reports.content import Edition, Question

if TYPE_CHECKING:
    from api.composition import Imprimatur

MOST_RECORDS = 5_000


class ReportFailedError(ServiceError):
    """A report could not be made; the message says why."""

    code = "report_failed"


class ReportFlow:
    """Makes reports. For the operator: they show every tenant's records."""

    def __init__(self, services: Imprimatur) -> None:
        self._services = services

    def make(self, asked: ReportQuestion, caller: Caller, *, edition: Edition, folder: Path) -> Written:
        """Answer a question: a signed document and its bundle in `folder`.

        Raises:
            NotFoundError: no such record.
            InvalidInputError: the file is no image; the period is empty or too full.
            ReportFailedError: the document could not be set or signed.
            UnavailableError: the database is away.
        """
        services = self._services
        scope = self._scope(asked, caller)
        services.checkpoint()  # what was recorded until now gets its place, and can be proved
        try:
            with unavailable(), tempfile.TemporaryDirectory(prefix="imprimatur-report-") as staged:
                staging = Staging(Path(staged))
                report, proved = Gatherer(services, scope, staging).gather()
                signer, fonts = services.document_signer, services.settings.report_fonts
                written = write(report, proved, staging, folder, edition=edition, signer=signer, fonts=fonts)
        except ReportError as error:
            raise ReportFailedError(str(error)) from error
        with unavailable():
            actor = services.vault.put(caller.subject, "actor", caller.subject.encode())
        services.append(
            Event(
                None,
                ReportMade(
                    report=report.id,
                    question=report.question.kind,
                    edition=edition,
                    items=len(report.items),
                    data_sha256=written.data_sha256,
                    records=tuple(item.record_id for item in report.items) if len(report.items) == 1 else (),
                    actor=actor,
                ),
            )
        )
        return written

    def _scope(self, asked: ReportQuestion, caller: Caller) -> Scope:
        match asked:
            case AboutRequest(record_id):
                parent = self._services.records.get(record_id).parent_id
                question = Question(kind="request", text=f"What happened with the request {parent}?", record_id=parent)
                return Scope(question, self._services.records.siblings(parent))
            case AboutImage():
                return self._scope_of_image(asked, caller)
            case AboutPeriod():
                return self._scope_of_period(asked)

    def _scope_of_image(self, asked: AboutImage, caller: Caller) -> Scope:
        examined = self._services.verification.verify(asked.data, caller)
        question = Question(
            kind="image",
            text=f"What does the log know of the file {asked.name}?",
            image_sha256=str(examined.image["sha256"]),
            image_name=asked.name,
        )
        found = [] if examined.record_id is None else [self._services.records.get(examined.record_id)]
        return Scope(question, found, data=asked.data, examined=examined)

    def _scope_of_period(self, asked: AboutPeriod) -> Scope:
        period, tenant = asked.period, asked.tenant
        found = self._services.records.opened(
            since=period.since,
            until=period.until,
            tenant=tenant,
            states=STOPPED_STATES if asked.only_stopped else None,
            limit=MOST_RECORDS + 1,
        )
        if len(found) > MOST_RECORDS:
            raise InvalidInputError(
                f"more than {MOST_RECORDS} records belong to this period; ask for a shorter one, or for one tenant",
                parameter="from",
            )
        what = "What did policies refuse or hold" if asked.only_stopped else "What happened"
        whose = f" to requests of tenant {tenant}" if tenant is not None else ""
        question = Question(
            kind="policy_incidents" if asked.only_stopped else "period",
            text=f"{what}{whose} from {period.since:%Y-%m-%d %H:%M} up to {period.until:%Y-%m-%d %H:%M} UTC?",
            since=period.since,
            until=period.until,
            tenant=tenant,
        )
        return Scope(question, found, period=period)
