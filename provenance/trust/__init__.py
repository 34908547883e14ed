"""Whom we trust to have signed a credential or stamped its time: anchors, lists, and the lists of a given day."""

from __future__ import annotations

from provenance.trust.anchors import AnchorKind, TrustAnchor, anchors_of
from provenance.trust.lists import (
    C2PA_TIME_STAMP_LIST,
    C2PA_TRUST_LIST,
    TrustList,
    key_purposes,
    official_trust_list,
)

__all__ = [
    "C2PA_TIME_STAMP_LIST",
    "C2PA_TRUST_LIST",
    "AnchorKind",
    "TrustAnchor",
    "TrustList",
    "anchors_of",
    "key_purposes",
    "official_trust_list",
]
