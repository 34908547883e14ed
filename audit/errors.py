"""Every error that this package raises; the message says what was wrong, what was expected and what to do."""

from __future__ import annotations


class AuditError(Exception):
    """Root of the package's errors."""


class EventError(AuditError):
    """An event that cannot be recorded as it is."""


class BodyValueError(EventError):
    """A value that canonical JSON cannot carry; `path` names it (`$.public.findings[2].score`)."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path


class FloatInBodyError(BodyValueError):
    """A float in an event; floats have no single written form, so scores are decimal strings."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "floats are refused in events; pass a decimal string (audit.canonical.decimal_string)")


class BodyTooLargeError(EventError):
    """A body over the size that an event may have; larger evidence goes by object digest."""


class UnknownEventError(AuditError):
    """No event, leaf or record of that name is in the log."""


class AuditUnavailableError(AuditError):
    """The database is away or refused; nothing may be done that has to be logged."""


class AuditBusyError(AuditUnavailableError):
    """Another process held the ledger's lock for longer than the limit."""


class StorageFullError(AuditError):
    """The disk of the database or of the object store is full (or a quota is reached)."""


class KeyFileError(AuditError):
    """A key file is missing, unreadable or not what it should be."""


class LedgerError(AuditError):
    """The ledger, a proof or a checkpoint is not what it should be."""


class ProofError(LedgerError):
    """An inclusion or consistency proof that does not prove what it claims."""


class CheckpointError(LedgerError):
    """A checkpoint that is malformed or not signed by the expected key."""


class LedgerKeyMismatchError(LedgerError):
    """The stored ledger was signed by another key than the one configured."""


class LedgerCorruptError(LedgerError):
    """The stored tree does not give the root that its newest checkpoint states; nothing more is signed."""


class StampError(LedgerError):
    """A time-stamp (RFC 3161) that cannot be had or does not hold."""


class StampUnavailableError(StampError):
    """The time-stamp authority did not answer, or refused."""


class StampInvalidError(StampError):
    """A time-stamp that does not verify: other content, another authority, or malformed."""


class ReceiptError(AuditError):
    """A receipt that does not hold; the subclass says which part."""


class ReceiptFormatError(ReceiptError):
    """Not a receipt of a known format."""


class ReceiptSignatureError(ReceiptError):
    """The receipt's checkpoint is not signed by the expected log."""


class ReceiptProofError(ReceiptError):
    """The receipt's leaf is not in the tree that its checkpoint signs."""


class ReceiptDisclosureError(ReceiptError):
    """The receipt's body is not the one that its leaf commits to, or says something else than the receipt."""


class ReceiptImageError(ReceiptError):
    """The image at hand is not the one that the receipt was given for."""


class LogRewrittenError(ReceiptError):
    """The log no longer holds what it held when the receipt went out."""


class ReportError(AuditError):
    """A report that cannot be made; the message says why."""


class ReportSigningError(ReportError):
    """A report's document could not be signed or time-stamped."""


class VaultError(AuditError):
    """The vault cannot do what was asked."""


class ErasedError(VaultError):
    """The data was erased, or never was in this vault."""


class UnknownSubjectError(VaultError):
    """The vault holds nothing of that subject."""


class LegalHoldError(VaultError):
    """What should be erased is under legal hold; nothing was erased."""


class UnknownHoldError(VaultError):
    """There is no legal hold of that id, or it was released before."""


class RetentionRuleError(VaultError):
    """A retention rule cannot be applied as it stands."""


class VaultCorruptError(VaultError):
    """Vault data that does not decrypt, or does not match its commitment."""


class ObjectError(AuditError):
    """An object cannot be stored or given back."""


class ObjectMissingError(ObjectError):
    """The object store has no such object."""


class ObjectCorruptError(ObjectError):
    """An object that does not decrypt to its digest."""
