"""Fixtures of the provenance tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from provenance.development_ca import development_root_pem, development_signer
from provenance.signer import PemSigner
from provenance.trust import TrustList
from tests.provenance.pictures import now


@pytest.fixture(scope="session")
def signer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


@pytest.fixture(scope="session")
def signer(signer_folder: Path) -> PemSigner:
    return development_signer(signer_folder, now)


@pytest.fixture(scope="session")
def development_trust(signer: PemSigner, signer_folder: Path) -> TrustList:
    """A trust list that names the development root: for tests only."""
    assert signer.is_development
    return TrustList.of(development_root_pem(signer_folder))
