"""Credentials, signing, trust, watermarks, soft bindings, disclosure metadata, and reading them all back."""

from __future__ import annotations

from provenance.errors import ProvenanceError
from provenance.ingredients import Ingredient
from provenance.manifest import ManifestDescription, ModelStatement, SoftBinding
from provenance.printable import printable
from provenance.report import CredentialReport

__all__ = [
    "CredentialReport",
    "Ingredient",
    "ManifestDescription",
    "ModelStatement",
    "ProvenanceError",
    "SoftBinding",
    "printable",
]
