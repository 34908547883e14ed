"""The signature of a document: PAdES that another implementation verifies, and that any change breaks."""

from __future__ import annotations

import dataclasses
import io
import subprocess
from pathlib import Path
from typing import Any

import pypdf
import pytest
from pyhanko.keys import load_certs_from_pemder_data
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import validate_pdf_signature
from pyhanko.sign.validation.status import PdfSignatureStatus, SignatureCoverageLevel
from pyhanko_certvalidator import ValidationContext

from audit.errors import ReportSigningError
from audit.reports.content import plain
from audit.reports.signing import DocumentSigner, sign_document
from audit.reports.typesetting import typeset
from tests.audit.reports.conftest import write_certificate
from tests.audit.reports.made import Made
from tests.timestamp_authority import Fault, TimestampAuthority


@pytest.fixture(scope="module")
def unsigned(made: Made) -> bytes:
    return typeset(plain(made.report), data_sha256="ab" * 32, signature="none", pictures={})


@pytest.fixture(scope="module")
def signed(unsigned: bytes, signer: DocumentSigner) -> bytes:
    return sign_document(unsigned, signer, reason="a test")


def status(pdf: bytes, *roots: bytes) -> PdfSignatureStatus:
    trusted: list[Any] = [next(iter(load_certs_from_pemder_data(root))) for root in roots]
    signature = PdfFileReader(io.BytesIO(pdf)).embedded_signatures[0]
    context = ValidationContext(trust_roots=trusted, allow_fetching=False)
    return validate_pdf_signature(signature, context, context)


def test_the_signature_is_pades_certifies_and_covers_everything(signed: bytes, signer: DocumentSigner) -> None:
    found = status(signed, signer.chain[0])
    assert found.intact
    assert found.valid
    assert found.trusted
    assert found.coverage is SignatureCoverageLevel.ENTIRE_FILE
    signature = PdfFileReader(io.BytesIO(signed)).embedded_signatures[0].sig_object
    assert signature["/SubFilter"] == "/ETSI.CAdES.detached"
    assert "/DocMDP" in PdfFileReader(io.BytesIO(signed)).root["/Perms"]


def test_signing_changes_no_page(signed: bytes, unsigned: bytes) -> None:
    assert signed.startswith(unsigned)
    pages = [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(signed)).pages]
    assert pages == [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(unsigned)).pages]


def test_a_changed_byte_breaks_it(signed: bytes, signer: DocumentSigner) -> None:
    place = signed.index(b"stream") + 40
    changed = signed[:place] + bytes([signed[place] ^ 1]) + signed[place + 1 :]
    assert not status(changed, signer.chain[0]).intact


def test_a_certificate_that_nobody_vouches_for_is_not_trusted(signed: bytes, tmp_path: Path) -> None:
    write_certificate(tmp_path)
    stranger = DocumentSigner.load(tmp_path / "certificate.pem", tmp_path / "key.pem")
    assert not status(signed, stranger.chain[0]).trusted


def test_the_time_stamp_is_the_authority_s(
    unsigned: bytes, signer: DocumentSigner, timestamp_authority: TimestampAuthority
) -> None:
    stamping = dataclasses.replace(signer, time_stamp_url=timestamp_authority.url)
    stamped = sign_document(unsigned, stamping, reason="a test")
    found = status(stamped, signer.chain[0], timestamp_authority.root.read_bytes())
    assert found.timestamp_validity is not None
    assert found.timestamp_validity.intact
    assert found.timestamp_validity.trusted


@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.GARBAGE, Fault.REFUSES])
def test_an_authority_that_fails_is_named_and_nothing_is_signed(
    fault: Fault, unsigned: bytes, signer: DocumentSigner, timestamp_authority: TimestampAuthority
) -> None:
    stamping = dataclasses.replace(signer, time_stamp_url=timestamp_authority.url)
    with timestamp_authority.failing(fault), pytest.raises(ReportSigningError, match=r"127\.0\.0\.1"):
        sign_document(unsigned, stamping, reason="a test")


def test_an_encrypted_key_needs_its_password(tmp_path: Path, unsigned: bytes) -> None:
    write_certificate(tmp_path, password=b"correct")
    paths = tmp_path / "certificate.pem", tmp_path / "key.pem"
    with pytest.raises(ReportSigningError, match="password"):
        DocumentSigner.load(*paths)
    with pytest.raises(ReportSigningError, match="password"):
        DocumentSigner.load(*paths, password=b"wrong")
    loaded = DocumentSigner.load(*paths, password=b"correct")
    assert status(sign_document(unsigned, loaded, reason="a test")).intact


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        write_certificate(tmp_path / name)
    with pytest.raises(ReportSigningError, match="does not belong"):
        DocumentSigner.load(tmp_path / "one" / "certificate.pem", tmp_path / "other" / "key.pem")


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(ReportSigningError, match=r"certificate\.pem"):
        DocumentSigner.load(tmp_path / "certificate.pem", tmp_path / "key.pem")


def test_a_development_certificate_is_said_to_identify_nobody(signer: DocumentSigner) -> None:
    assert "identifies nobody" in dataclasses.replace(signer, is_development=True).describe()
    assert "Records custodian of Example" in signer.describe()


def test_another_program_finds_the_signature(signed: bytes, tmp_path: Path) -> None:
    import shutil

    if shutil.which("pdfsig") is None:
        pytest.skip("needs Debian's poppler-utils")
    (tmp_path / "signed.pdf").write_bytes(signed)
    done = subprocess.run(
        ["pdfsig", "-nocert", "signed.pdf"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "Signature is Valid" in done.stdout, done.stdout + done.stderr
    assert "ETSI.CAdES.detached" in done.stdout
