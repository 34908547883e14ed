"""Group commit: of the threads that want events recorded, one at a time commits for all that wait.

No thread of its own: the first caller does the work of the moment, and then hands the lead to one of those who came
meanwhile. So a lone caller waits for nobody, and sixteen share one transaction.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import TypeAlias

from audit.errors import AuditBusyError, AuditError, AuditUnavailableError
from audit.ledger.sequencer import MAX_BATCH_EVENTS, Sequencer
from audit.ledger.writing import Batch, EventRow

MAX_AWAITED = 4096  # events whose appender has not asked for their place yet; later ones are proved from the database
WAIT_TIMEOUT_SECONDS = 90  # for another thread's transaction, which itself waits for the lock no longer than 30

Place: TypeAlias = "tuple[int, Batch]"
"""Index of a leaf, and the batch in which it came into the tree."""


class _Ticket:
    """One caller's wish and what became of it; guarded by the committer's lock until it is done."""

    def __init__(self, rows: Sequence[EventRow], wanted: Sequence[str], *, drains: bool) -> None:
        self.rows = rows
        self.wanted = set(wanted)
        self.drains = drains
        self.found: dict[str, Place] = {}
        self.error: BaseException | None = None
        self.is_done = False
        self.leads = False
        self.signal = threading.Lock()  # released to wake the caller: each time to lead, and once when done
        self.signal.acquire()


class GroupCommitter:
    """Records events for any number of threads of this process."""

    def __init__(self, sequencer: Sequencer) -> None:
        self._sequencer = sequencer
        self._guard = threading.Lock()
        self._waiting: deque[_Ticket] = deque()
        self._is_led = False
        self._expected: OrderedDict[str, None] = OrderedDict()
        self._included: OrderedDict[str, Place] = OrderedDict()

    def record(self, rows: Sequence[EventRow]) -> dict[str, Place]:
        """Stores rows and sees to it that they are in the tree, together with those of other threads.

        Gives the places of those that this process saw get one (another process may have given it).

        Raises:
            AuditError: as `Sequencer.run`.
        """
        return self._wish(_Ticket(rows, [row.id for row in rows], drains=False))

    def include(self, event_ids: Sequence[str]) -> dict[str, Place]:
        """Sees to it that stored events are in the tree; gives the places of those that this process saw get one.

        Raises:
            AuditError: as `Sequencer.run`.
        """
        with self._guard:
            known = {id: self._included.pop(id) for id in event_ids if id in self._included}
        if len(known) == len(event_ids):
            return known
        return known | self._wish(_Ticket((), [id for id in event_ids if id not in known], drains=False))

    def drain(self) -> None:
        """Puts everything that waits into the tree.

        Raises:
            AuditError: as `Sequencer.run`.
        """
        self._wish(_Ticket((), (), drains=True))

    def expect(self, event_id: str) -> None:
        """Notes that `include` will be asked for an event, so that its place is kept."""
        with self._guard:
            self._expected[event_id] = None
            while len(self._expected) > MAX_AWAITED:
                self._expected.popitem(last=False)

    def _wish(self, ticket: _Ticket) -> dict[str, Place]:
        with self._guard:
            self._waiting.append(ticket)
            if not self._is_led:
                self._is_led = ticket.leads = True
                ticket.signal.release()
        while not ticket.is_done:
            if not ticket.signal.acquire(timeout=WAIT_TIMEOUT_SECONDS):
                self._withdraw(ticket)
            elif ticket.leads:
                ticket.leads = False
                self._lead()
        if ticket.error is not None:
            raise ticket.error
        return ticket.found

    def _withdraw(self, ticket: _Ticket) -> None:
        """Gives up waiting for another thread."""
        with self._guard:
            if ticket.leads or ticket.is_done:
                return  # in the meantime it came to its turn
            if ticket not in self._waiting:
                raise AuditUnavailableError(
                    "could not record events: the database does not answer; whether they were stored is unknown"
                )
            self._waiting.remove(ticket)
        raise AuditBusyError("could not record events: another thread waits for the database; nothing was stored")

    def _lead(self) -> None:
        """One transaction for those that wait; then the next of them leads."""
        with self._guard:
            taken = self._take()
        error: BaseException | None = None
        try:
            run = self._sequencer.run([row for ticket in taken for row in ticket.rows])
        except BaseException as caught:  # noqa: BLE001 - handed to every caller whose events were in the transaction
            error = caught
        with self._guard:
            if error is None:
                unfinished = self._hand_out(taken, run.batches, more_wait=run.more_wait)
                self._waiting.extendleft(reversed(unfinished))
            else:
                unfinished = []
            self._is_led = bool(self._waiting)
            if self._waiting:
                self._waiting[0].leads = True
                self._waiting[0].signal.release()
            for number, ticket in enumerate(ticket for ticket in taken if ticket not in unfinished):
                ticket.error = error if error is None or number == 0 else _for_another_thread(error)
                ticket.is_done = True
                ticket.signal.release()

    def _take(self) -> list[_Ticket]:
        taken: list[_Ticket] = []
        count = 0
        while self._waiting and (not taken or count + len(self._waiting[0].rows) <= MAX_BATCH_EVENTS):
            taken.append(self._waiting.popleft())
            count += len(taken[-1].rows)
        return taken

    def _hand_out(self, taken: Sequence[_Ticket], batches: Sequence[Batch], *, more_wait: bool) -> list[_Ticket]:
        """Gives places to those who asked, keeps those that will be asked for; returns who has to go on waiting."""
        wanted = {id: ticket for ticket in taken for id in ticket.wanted}
        for batch in batches:
            for index, event_id in enumerate(batch.event_ids, batch.first_index):
                if event_id in wanted:
                    wanted[event_id].found[event_id] = index, batch
                    self._expected.pop(event_id, None)
                elif event_id in self._expected:
                    del self._expected[event_id]
                    self._included[event_id] = index, batch
        while len(self._included) > MAX_AWAITED:
            self._included.popitem(last=False)
        if not more_wait:
            return []
        for ticket in taken:
            ticket.rows = ()
        return [ticket for ticket in taken if ticket.drains or len(ticket.found) < len(ticket.wanted)]


def _for_another_thread(error: BaseException) -> BaseException:
    """An error of its own for each thread, since raising one changes its traceback."""
    if isinstance(error, AuditError):
        twin: BaseException = type(error)(*error.args)
    else:
        twin = AuditUnavailableError(f"could not record events: the transaction they were in failed ({error!r})")
    twin.__cause__ = error
    return twin
