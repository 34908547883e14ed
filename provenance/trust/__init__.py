"""Whom we trust to have signed a credential: certificate anchors, and the purposes their leaves must name."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from provenance.errors import TrustListError

C2PA_TRUST_LIST: Final = "c2pa-trust-list.pem"
KEY_PURPOSES: Final = "key-purposes.txt"


@dataclass(frozen=True)
class TrustList:
    """PEM anchors for claim signers, and the extended key usages (OIDs) of which a leaf must name one."""

    anchors_pem: str = field(repr=False)
    key_purposes: tuple[str, ...] = ()

    @classmethod
    def load(cls, anchors: Path) -> TrustList:
        """Read a trust list from a PEM file; comments between certificates are allowed. Raises `TrustListError`."""
        return cls(_certificates(anchors), key_purposes())

    @classmethod
    def of(cls, *anchors_pem: str) -> TrustList:
        """A trust list of exactly these certificates."""
        return cls("\n".join(_require_pem(pem, "the given text") for pem in anchors_pem), key_purposes())


def official_trust_list() -> TrustList:
    """The C2PA conformance programme's trust list that ships with this package (see ATTRIBUTION.txt beside it)."""
    return TrustList.load(Path(__file__).parent / C2PA_TRUST_LIST)


def key_purposes() -> tuple[str, ...]:
    """The extended key usages that this program accepts, whoever is trusted."""
    lines = (Path(__file__).parent / KEY_PURPOSES).read_text("utf-8").splitlines()
    return tuple(oid for line in lines if (oid := line.partition("#")[0].strip()))


def _certificates(path: Path) -> str:
    try:
        return _require_pem(path.read_text("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise TrustListError(f"The trust list {path} cannot be read ({error}); expected a PEM file.") from error


def _require_pem(text: str, where: str) -> str:
    """The certificates of `text` without the comments around them."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        certificates = x509.load_pem_x509_certificates(text.encode("utf-8"))
    except ValueError as error:
        raise TrustListError(f"{where} holds no PEM certificates ({error}).") from error
    return "".join(certificate.public_bytes(Encoding.PEM).decode("ascii") for certificate in certificates)
