"""The Merkle ledger over the events: RFC 6962 hashing, C2SP tiles and checkpoints."""

from audit.ledger.checkpoint import Checkpoint
from audit.ledger.keys import LedgerKey, LedgerPublicKey
from audit.ledger.leaf import Leaf

__all__ = ["Checkpoint", "Leaf", "LedgerKey", "LedgerPublicKey"]
