"""Where errors of the packages become the service's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from api.database import unavailable_when_away
from api.errors import ConfigurationError, UnavailableError
from audit.errors import AuditError, AuditUnavailableError
from generator.errors import GeneratorError
from provenance.errors import ProvenanceError
from safety.errors import SafetyError


@contextmanager
def unavailable() -> Iterator[None]:
    """The log, the vault or the object store cannot be reached: `UnavailableError`."""
    try:
        with unavailable_when_away():
            yield
    except AuditUnavailableError as error:
        raise UnavailableError(str(error)) from error


@contextmanager
def configured() -> Iterator[None]:
    """A part cannot be made from its settings and files: `ConfigurationError`."""
    try:
        yield
    except AuditUnavailableError as error:
        raise UnavailableError(str(error)) from error
    except (AuditError, GeneratorError, ProvenanceError, SafetyError) as error:
        raise ConfigurationError(str(error)) from error
