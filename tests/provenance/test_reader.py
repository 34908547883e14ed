"""Reading credentials: the C2PA public test files, hostile files, and what the SDK leaves unsaid.

The expectations over the public test files hold for c2pa-rs 0.91; other versions judge some files differently.
"""

from __future__ import annotations

import json
from pathlib import Path

import c2pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provenance.credential import sign_credential
from provenance.reader import UNREADABLE_CODE, read_credential
from provenance.report import Claim, CredentialState
from provenance.signer import PemSigner
from provenance.trust import official_trust_list
from tests.provenance.pictures import description, encoded, now, textured

EDITED: tuple[Claim, ...] = ("declared_edited",)
EXPECTED: dict[str, tuple[CredentialState, tuple[Claim, ...], set[str], dict[str, set[str]]]] = {
    # file: state, claims, failed checks of its own credential, recorded failures per ingredient
    "A": ("none", (), set(), {}),
    "C": ("valid", EDITED, set(), {}),
    "CA": ("valid", EDITED, set(), {}),
    "CACA": ("valid", EDITED, set(), {}),
    "CAI": ("valid", EDITED, set(), {}),
    "CIE-sig-CA": ("valid", EDITED, set(), {"E-sig-CA.jpg": {"claimSignature.mismatch", "timeStamp.mismatch"}}),
    "E-clm-CAICAI": (
        "invalid",
        EDITED,
        {"assertion.hashedURI.mismatch", "ingredient.manifest.missing"},
        {"CAI.jpg": {"ingredient.manifest.missing"}},
    ),
    "E-dat-CA": ("invalid", EDITED, {"assertion.dataHash.mismatch"}, {}),
    "E-sig-CA": ("invalid", EDITED, {"claimSignature.mismatch"}, {}),
    "I": ("none", (), set(), {}),
    "XCA": ("invalid", EDITED, {"assertion.dataHash.mismatch"}, {}),
}


def public_test_file(shared_data: Path, name: str) -> bytes:
    return (shared_data / "c2pa" / "public-testfiles" / f"adobe-20220124-{name}.jpg").read_bytes()


def test_the_expectations_are_for_this_sdk() -> None:
    assert c2pa.sdk_version().startswith("0.91.")


def test_every_public_test_file_has_an_expectation(shared_data: Path) -> None:
    names = {
        path.stem.removeprefix("adobe-20220124-") for path in (shared_data / "c2pa/public-testfiles").glob("*.jpg")
    }
    assert names == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_public_test_files_are_judged_as_published(shared_data: Path, name: str) -> None:
    state, claims, failed, ingredients = EXPECTED[name]

    report = read_credential(public_test_file(shared_data, name), "jpeg", official_trust_list())

    assert report.state == state
    assert report.claims == claims
    assert {failure.code for failure in report.failures} == failed
    assert {i.title: {f.code for f in i.failures} for i in report.broken_ingredients} == ingredients
    if state != "none":
        assert report.signer is not None
        assert report.signer.name == "C2PA Signer"
        assert "signingCredential.untrusted" in {code.code for code in report.codes}


def test_a_broken_ingredient_is_told_although_the_sdk_calls_the_file_valid(shared_data: Path) -> None:
    report = read_credential(public_test_file(shared_data, "CIE-sig-CA"), "jpeg", None)

    assert json.loads(report.raw_json)["validation_state"] == "Valid"
    assert not report.failures
    assert report.broken_ingredients


def test_a_signer_that_is_merely_unknown_breaks_no_ingredient(shared_data: Path) -> None:
    report = read_credential(public_test_file(shared_data, "CACA"), "jpeg", None)
    assert report.ingredients
    assert not report.broken_ingredients


def test_the_time_of_signing_is_the_time_stamps(shared_data: Path) -> None:
    signer = read_credential(public_test_file(shared_data, "C"), "jpeg", None).signer
    assert signer is not None
    assert signer.time is not None
    assert signer.time.isoformat() == "2023-01-24T14:48:56+00:00"


@pytest.mark.parametrize("data", [b"", b"\0", b"no image at all", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe1\xff\xff"])
@pytest.mark.parametrize("image_format", ["png", "jpeg", "webp", None, "application/x-nonsense"])
def test_files_that_are_no_image_have_no_credential(data: bytes, image_format: str | None) -> None:
    assert read_credential(data, image_format, None).state == "none"


def test_a_plain_picture_has_none(signer: PemSigner) -> None:
    report = read_credential(encoded(textured(5, 64), "png"), "png", None)
    assert report.state == "none"
    assert report.problem is None


def test_a_wrong_format_does_not_hide_a_credential(signer: PemSigner) -> None:
    signed = sign_credential(encoded(textured(5, 64), "png"), "png", description(), signer, clock=now)
    assert read_credential(signed.data, "jpeg", None).state == "valid"
    assert read_credential(signed.data, None, None).state == "valid"


def test_a_truncated_signed_file_is_invalid_not_clean(shared_data: Path) -> None:
    report = read_credential(public_test_file(shared_data, "CA")[:60_000], "jpeg", None)
    assert report.state == "invalid"
    assert report.codes[0].code == UNREADABLE_CODE
    assert report.problem


@pytest.fixture(scope="module")
def small_signed(signer: PemSigner) -> bytes:
    return sign_credential(encoded(textured(6, 64), "png"), "png", description(), signer, clock=now).data


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.floats(0, 1), value=st.integers(0, 255))
def test_no_single_changed_byte_passes_as_intact_or_crashes(small_signed: bytes, position: float, value: int) -> None:
    changed = bytearray(small_signed)
    index = min(int(position * len(changed)), len(changed) - 1)
    changed[index] = value

    report = read_credential(bytes(changed), "png", None)

    if report.state == "valid" and bytes(changed) != small_signed:
        # Only the unsigned parts of a manifest store may change unnoticed: padding and the unprotected COSE header.
        original = read_credential(small_signed, "png", None)
        assert (report.claims, report.actions, report.unique_id) == (
            original.claims,
            original.actions,
            original.unique_id,
        )


def test_text_from_a_manifest_is_made_printable(signer: PemSigner) -> None:
    hostile = description(title="a\x1b[31m\u202egpj.exe\u0000b")
    report = sign_credential(encoded(textured(7, 64), "png"), "png", hostile, signer, clock=now).report
    assert report.title == "a\\u{1b}[31m\\u{202e}gpj.exe\\u{0}b"
