"""The signer is exchanged while the service runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from provenance.certificate import earliest_expiry, leaf_digest
from provenance.credential import sign_credential
from provenance.development_ca import development_signer
from provenance.errors import CertificateProfileError, SignerError
from provenance.signer import PemSigner, Signer
from provenance.signing_keys import LOOK_EVERY_S, SigningKeys, expires
from tests.provenance.pictures import description, encoded, now, textured

PASSWORD = b"correct horse"


class Clock:
    """Monotonic seconds that tests move on."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def another(folder: Path) -> PemSigner:
    return development_signer(folder, now)


def install(folder: Path, signer: PemSigner, chain: str | None = None) -> None:
    """Write key and chain as an operator does: one file after the other."""
    folder.mkdir(exist_ok=True)
    (folder / "key.pem").write_bytes(
        signer.private_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(PASSWORD),
        )
    )
    (folder / "chain.pem").write_text(chain or signer.certificate_chain_pem)


def opened(
    folder: Path,
    monotonic: Clock,
    clock: Callable[[], datetime] = now,
    changed: Callable[[Signer], None] = lambda _: None,
) -> SigningKeys:
    files = folder / "chain.pem", folder / "key.pem"
    return SigningKeys(
        lambda: PemSigner.load(*files, password=PASSWORD), files, clock, changed=changed, monotonic=monotonic
    )


def test_new_files_are_taken_into_use_without_a_restart(signer: PemSigner, tmp_path: Path) -> None:
    seen: list[Signer] = []
    monotonic = Clock()
    install(tmp_path / "use", signer)
    keys = opened(tmp_path / "use", monotonic, changed=seen.append)
    assert keys.current().certificate_chain_pem == signer.certificate_chain_pem

    newer = another(tmp_path / "newer")
    install(tmp_path / "use", newer)
    monotonic.seconds += 2 * LOOK_EVERY_S

    current = keys.current()
    assert current.certificate_chain_pem == newer.certificate_chain_pem
    assert [leaf_digest(one.certificate_chain_pem) for one in seen] == [leaf_digest(newer.certificate_chain_pem)]
    signed = sign_credential(encoded(textured(1, 64), "png"), "png", description(), current, clock=now)
    assert signed.report.state == "valid"


def test_half_a_rotation_keeps_the_old_pair_and_says_so_until_it_is_whole(signer: PemSigner, tmp_path: Path) -> None:
    monotonic = Clock()
    install(tmp_path / "use", signer)
    keys = opened(tmp_path / "use", monotonic)
    newer = another(tmp_path / "newer")

    install(tmp_path / "use", signer, chain=newer.certificate_chain_pem)
    monotonic.seconds += 2 * LOOK_EVERY_S
    assert keys.current().certificate_chain_pem == signer.certificate_chain_pem
    assert keys.problem is not None
    assert "does not belong" in keys.problem

    install(tmp_path / "use", newer)
    monotonic.seconds += 2 * LOOK_EVERY_S
    assert keys.current().certificate_chain_pem == newer.certificate_chain_pem
    assert keys.problem is None


def test_files_that_vanish_leave_the_signer_in_use(signer: PemSigner, tmp_path: Path) -> None:
    monotonic = Clock()
    install(tmp_path / "use", signer)
    keys = opened(tmp_path / "use", monotonic)
    (tmp_path / "use" / "key.pem").unlink()
    monotonic.seconds += 2 * LOOK_EVERY_S
    assert keys.current().certificate_chain_pem == signer.certificate_chain_pem
    assert keys.problem is not None


def test_an_expired_certificate_is_not_taken_into_use(signer: PemSigner, tmp_path: Path) -> None:
    install(tmp_path / "use", signer)
    with pytest.raises(CertificateProfileError, match="valid from"):
        opened(tmp_path / "use", Clock(), clock=lambda: now() + timedelta(days=4000))


def test_a_first_signer_that_cannot_be_loaded_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SignerError):
        opened(tmp_path, Clock())


def test_the_first_certificate_to_end_tells_the_expiry(signer: PemSigner, tmp_path: Path) -> None:
    install(tmp_path / "use", signer)
    assert expires(opened(tmp_path / "use", Clock())) == earliest_expiry(signer.certificate_chain_pem)
    assert timedelta(days=360) < earliest_expiry(signer.certificate_chain_pem) - now() < timedelta(days=366)
