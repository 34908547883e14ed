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
    parts = {"ledger": _ledger(services), "certificate": _certificate(services)}
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
    """The signing certificate's expiry: yellow in its last 30 days, red in its last 7."""
    from cryptography import x509

    leaf = x509.load_pem_x509_certificate(services.publisher.signer.certificate_chain_pem.encode())
    remaining = leaf.not_valid_after_utc - services.clock()
    status = "red" if remaining < _RED_BEFORE_EXPIRY else "yellow" if remaining < _YELLOW_BEFORE_EXPIRY else "green"
    return {
        "status": status,
        "expires": leaf.not_valid_after_utc.isoformat(),
        "development": services.publisher.signer.is_development,
    }
