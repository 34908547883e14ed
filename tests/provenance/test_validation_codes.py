from __future__ import annotations

import pytest

from provenance.validation_codes import EXPLANATIONS, explanation, is_integrity_failure, is_trust_only

FORBIDDEN = ("authentic", "real photo", "100 %", "guaranteed", "lawful", "compliant", "tampered")


@pytest.mark.parametrize(
    "code",
    [
        "assertion.dataHash.mismatch",
        "assertion.hashedURI.mismatch",
        "claimSignature.mismatch",
        "claimSignature.missing",
        "ingredient.manifest.missing",
        "assertion.missing",
        "signingCredential.ocsp.revoked",
        "some.future.failure",
    ],
)
def test_integrity_failures_count(code: str) -> None:
    assert is_integrity_failure(code)


@pytest.mark.parametrize(
    "code",
    [
        "signingCredential.untrusted",
        "timeStamp.untrusted",
        "signingCredential.ocsp.unknown",
        "claimSignature.validated",
        "assertion.dataHash.match",
        "ingredient.unknownProvenance",
        "signingCredential.expired",
        "claimSignature.outsideValidity",
    ],
)
def test_trust_and_success_codes_are_no_failure(code: str) -> None:
    assert not is_integrity_failure(code)


def test_a_revoked_certificate_is_more_than_a_question_of_trust() -> None:
    assert not is_trust_only("signingCredential.ocsp.revoked")


def test_unknown_codes_get_an_honest_explanation() -> None:
    assert "no explanation" in explanation("com.example.new")


def test_explanations_are_sentences_without_words_we_do_not_print() -> None:
    for text in EXPLANATIONS.values():
        assert text.endswith(".")
        assert not any(word in text.lower() for word in FORBIDDEN)
