"""The C2PA list of soft-binding algorithms: which names are registered, and where their makers' readers are.

`soft-binding-algorithms.json` is taken from the list of the Coalition for Content Provenance and Authenticity
(<https://github.com/c2pa-org/softbinding-algorithm-list>, CC BY 4.0): names, kinds and addresses, without the rest.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from provenance.vocabulary import NAMESPACE


@dataclass(frozen=True)
class SoftBindingAlgorithm:
    """One entry: `kind` is `watermark` or `fingerprint`; `url` is where its maker explains it, if anywhere."""

    alg: str
    kind: str
    url: str | None


@functools.cache
def registered_algorithms() -> Mapping[str, SoftBindingAlgorithm]:
    """The list by name."""
    entries = json.loads((Path(__file__).parent / "soft-binding-algorithms.json").read_text("utf-8"))
    return MappingProxyType(
        {entry["alg"]: SoftBindingAlgorithm(entry["alg"], entry["type"], entry["url"]) for entry in entries}
    )


def is_our_own(alg: str) -> bool:
    """Whether a name lies in our namespace: allowed, and to be said openly that it is not on the list."""
    return alg.startswith(f"{NAMESPACE}.")
