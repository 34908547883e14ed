"""Whether the service can work, for load balancers and operators."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from api.errors import ServiceError

if TYPE_CHECKING:
    from api.composition import Imprimatur

_YELLOW_BEFORE_EXPIRY = timedelta(days=30)
_RED_BEFORE_EXPIRY = timedelta(days=7)
_ORDER = ("green", "yellow", "red")


def health(services: Imprimatur) -> dict[str, Any]:
    """Status of each part and of the whole, which is that of its worst part. Says no secrets: it needs no key."""
    parts = {"ledger": _ledger(services), "certificate": _certificate(services), "time_stamps": _time_stamps(services)}
    worst = max((part["status"] for part in parts.values()), key=_ORDER.index)
    return {"status": worst, "parts": parts}


def _ledger(services: Imprimatur) -> dict[str, Any]:
    """The database answers, and its newest checkpoint is signed by our key."""
    from audit.errors import AuditError

    try:
        checkpoint = services.log.latest_checkpoint()
    except (AuditError, ServiceError) as error:
        return {"status": "red", "message": type(error).__name__}
    return {"status": "green", "size": checkpoint.size if checkpoint else 0}


def _certificate(services: Imprimatur) -> dict[str, Any]:
    """The signing certificates' expiry: yellow in the last 30 days, red in the last 7; yellow too where newer ones
    could not be taken into use.
    """
    from provenance.certificate import earliest_expiry

    keys = services.publisher.keys
    signer = keys.current()
    expires = earliest_expiry(signer.certificate_chain_pem)
    remaining = expires - services.clock()
    status = "red" if remaining < _RED_BEFORE_EXPIRY else "yellow" if remaining < _YELLOW_BEFORE_EXPIRY else "green"
    part = {
        "status": "yellow" if status == "green" and keys.problem else status,
        "expires": expires.isoformat(),
        "development": signer.is_development,
    }
    return part | ({"message": "newer certificates could not be taken into use"} if keys.problem else {})


def _time_stamps(services: Imprimatur) -> dict[str, Any]:
    """The authority: yellow while it is away or stamps are owed, red where nothing may be released without it."""
    authority = services.publisher.authority
    if authority is None:
        return {"status": "green", "configured": False}
    try:
        waiting = services.credentials.waiting_stamps()
    except ServiceError as error:
        return {"status": "red", "message": type(error).__name__}
    is_away = authority.problem is not None
    status = "red" if is_away and authority.required else "yellow" if is_away or waiting else "green"
    return {"status": status, "configured": True, "away": is_away, "waiting": waiting}
