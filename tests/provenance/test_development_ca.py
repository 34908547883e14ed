from __future__ import annotations

import os
import stat
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from provenance.certificate import require_profile
from provenance.development_ca import development_signer
from provenance.errors import SignerError
from tests.provenance.pictures import now


def certificates(folder: Path) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(development_signer(folder, now).certificate_chain_pem.encode())


def test_the_leaf_fits_the_certificate_profile(tmp_path: Path) -> None:
    require_profile(development_signer(tmp_path, now).certificate_chain_pem, now())


def test_names_say_that_it_is_not_for_production(tmp_path: Path) -> None:
    for certificate in certificates(tmp_path):
        for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
            assert "not for production" in str(certificate.subject.get_attributes_for_oid(oid)[0].value)


def test_a_second_call_gives_the_same_certificates(tmp_path: Path) -> None:
    assert certificates(tmp_path) == certificates(tmp_path)


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    development_signer(tmp_path, now)

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "development").iterdir()}

    assert set(modes) == {"chain.pem", "leaf-key.pem", "root.pem"}
    assert set(modes.values()) == {0o600}


def _serial(folder: str) -> int:
    return certificates(Path(folder))[0].serial_number


def test_processes_that_start_at_once_agree(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4) as pool:
        serials = set(pool.map(_serial, [str(tmp_path)] * 8))

    assert len(serials) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["development"]  # nothing left half-made


def test_certificates_about_to_expire_are_renewed(tmp_path: Path) -> None:
    first = certificates(tmp_path)[0].serial_number

    later = development_signer(tmp_path, lambda: now() + timedelta(days=340))

    leaf = x509.load_pem_x509_certificates(later.certificate_chain_pem.encode())[0]
    assert leaf.serial_number != first


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_that_cannot_be_written_is_a_signer_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(SignerError, match="cannot be written"):
        development_signer(tmp_path / "keys", now)


def test_a_file_in_place_of_the_folder_is_a_signer_error(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("in the way")
    with pytest.raises(SignerError, match="cannot be written"):
        development_signer(tmp_path / "keys", now)


def test_a_broken_chain_is_named(tmp_path: Path) -> None:
    development_signer(tmp_path, now)
    (tmp_path / "development" / "chain.pem").write_text("no certificate")
    with pytest.raises(SignerError, match=r"chain\.pem is not a PEM certificate"):
        development_signer(tmp_path, now)
