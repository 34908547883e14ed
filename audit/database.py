"""Where the database's errors become this package's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from audit.errors import AuditBusyError, AuditError, AuditUnavailableError, StorageFullError

# SQLSTATEs, PostgreSQL's appendix A
_LOCK_NOT_AVAILABLE = "55P03"
_STORAGE_FULL = {"53100", "53400"}  # disk_full, configuration_limit_exceeded


@contextmanager
def database_errors(doing: str) -> Iterator[None]:
    """Turns errors of the database into typed ones; `doing` completes "could not ...".

    Raises:
        AuditBusyError: a lock was not had in time.
        StorageFullError: the database's disk is full.
        AuditUnavailableError: the connection was lost or refused.
        AuditError: anything else the database refused.
    """
    try:
        yield
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None)
        reason = " ".join(str(error.orig).split())[:500]
        if state == _LOCK_NOT_AVAILABLE:
            raise AuditBusyError(f"could not {doing}: another process holds the lock; try again") from error
        if state in _STORAGE_FULL:
            raise StorageFullError(
                f"could not {doing}: the database's disk is full ({reason}); free space and try again"
            ) from error
        if error.connection_invalidated or _is_connection_error(error, state):
            raise AuditUnavailableError(
                f"could not {doing}: no connection to the database ({reason}); whether a commit under way "
                "took effect is unknown; check that the database runs, then try again"
            ) from error
        raise AuditError(f"could not {doing}: the database refused ({reason})") from error
    except SQLAlchemyError as error:  # the pool's time-out among them
        raise AuditUnavailableError(f"could not {doing}: {error}") from error


def _is_connection_error(error: DBAPIError, state: str | None) -> bool:
    if state is None:
        return type(error.orig).__name__ in {"OperationalError", "InterfaceError"}
    # 08: connection exception; 57P: shutdown and start-up; 53300: too many connections
    return state.startswith(("08", "57P")) or state == "53300"
