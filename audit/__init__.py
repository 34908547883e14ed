"""The audit log: events, Merkle ledger, receipts, the vault of erasable personal data, and the object store."""

from audit.erasing import Erasure, RetentionRule
from audit.erasure import Eraser
from audit.errors import AuditError
from audit.events import Event, EventId
from audit.holds import LegalHold, LegalHolds
from audit.ledger import Checkpoint, LedgerKey, LedgerPublicKey
from audit.log import AuditLog
from audit.objects import ObjectStore
from audit.reader import AuditReader, Inclusion, StoredEvent
from audit.receipt import CheckedReceipt, Receipt
from audit.records import ObjectReference, VaultReference
from audit.vault import Vault

__all__ = [
    "AuditError",
    "AuditLog",
    "AuditReader",
    "CheckedReceipt",
    "Checkpoint",
    "Eraser",
    "Erasure",
    "Event",
    "EventId",
    "Inclusion",
    "LedgerKey",
    "LedgerPublicKey",
    "LegalHold",
    "LegalHolds",
    "ObjectReference",
    "ObjectStore",
    "Receipt",
    "RetentionRule",
    "StoredEvent",
    "Vault",
    "VaultReference",
]
