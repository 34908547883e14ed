"""Where the database's errors become this package's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

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
        raise _typed(doing, error.orig, is_lost=error.connection_invalidated) from error
    except psycopg.Error as error:  # from the sequencer, which speaks to the driver
        raise _typed(doing, error, is_lost=False) from error
    except PoolTimeoutError as error:
        raise AuditUnavailableError(f"could not {doing}: no database connection became free ({error})") from error
    except SQLAlchemyError as error:
        raise AuditError(f"could not {doing}: {error}") from error


def _typed(doing: str, cause: BaseException | None, *, is_lost: bool) -> AuditError:
    state = getattr(cause, "sqlstate", None)
    reason = " ".join(str(cause).split())[:500]
    if state == _LOCK_NOT_AVAILABLE:
        return AuditBusyError(f"could not {doing}: another process holds the lock; try again")
    if state in _STORAGE_FULL:
        return StorageFullError(f"could not {doing}: the database's disk is full ({reason}); free space and try again")
    if is_lost or _is_connection_error(cause, state):
        return AuditUnavailableError(
            f"could not {doing}: no connection to the database ({reason}); whether a commit under way "
            "took effect is unknown; check that the database runs, then try again"
        )
    return AuditError(f"could not {doing}: the database refused ({reason})")


def _is_connection_error(cause: BaseException | None, state: str | None) -> bool:
    if state is None:
        return isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)
    # 08: connection exception; 57P: shutdown and start-up; 53300: too many connections
    return state.startswith(("08", "57P")) or state == "53300"
