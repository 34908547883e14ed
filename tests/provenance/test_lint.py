from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from provenance.errors import CertificateProfileError, ManifestLintError
from provenance.lint import require_signable, unregistered_soft_bindings
from provenance.manifest import SoftBinding
from provenance.signer import PemSigner
from provenance.vocabulary import WATERMARK_ALGORITHM
from tests.provenance.pictures import description, now


def test_our_own_description_is_signable(signer: PemSigner) -> None:
    require_signable(description(), signer, now())


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"digital_source_type": "trainedAlgorithmicMedia"}, "not in the IPTC or C2PA vocabulary"),
        ({"digital_source_type": "http://cv.iptc.org/newscodes/digitalsourcetype/made-up"}, "made-up"),
        ({"soft_bindings": (SoftBinding("com.example.other", "x"),)}, "neither on the C2PA algorithm list"),
        ({"soft_bindings": (SoftBinding(WATERMARK_ALGORITHM, ""),)}, "has no value"),
        ({"training_mining": (("c2pa.ai_training", "notAllowed"),)}, "training-mining entry"),
        ({"training_mining": (("cawg.ai_training", "no"),)}, "training-mining entry"),
        ({"created_at": datetime(2026, 1, 1)}, "no time zone"),  # noqa: DTZ001  (what is tested)
        ({"thumbnail_jpeg": b"\xff\xd8" + bytes(70_000)}, "thumbnail has 70002 bytes"),
    ],
)
def test_what_the_sdk_would_sign_but_the_specification_forbids_is_refused(
    signer: PemSigner, changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ManifestLintError, match=problem):
        require_signable(description(**changes), signer, now())


def test_all_problems_are_told_at_once(signer: PemSigner) -> None:
    with pytest.raises(ManifestLintError) as caught:
        require_signable(
            description(digital_source_type="x", soft_bindings=(SoftBinding("y", ""),)),
            signer,
            now(),
        )
    assert len(caught.value.problems) == 3


def test_an_expired_certificate_is_refused_before_signing(signer: PemSigner) -> None:
    with pytest.raises(CertificateProfileError, match="valid from"):
        require_signable(description(), signer, now() + timedelta(days=500))


def test_our_watermark_is_flagged_as_not_on_the_list() -> None:
    assert unregistered_soft_bindings(description()) == (WATERMARK_ALGORITHM,)
