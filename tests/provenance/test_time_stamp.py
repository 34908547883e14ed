"""Time stamps of a real authority on loopback, and what happens while it is away."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from provenance import development_ca
from provenance.certificate import earliest_expiry
from provenance.credential import SignedImage, sign_credential
from provenance.errors import SigningFailedError, TimeStampError
from provenance.reader import read_credential
from provenance.signer import PemSigner
from provenance.time_stamp import TimeStampAuthority
from provenance.trust import TrustList
from provenance.update_manifest import Update, updated_store
from tests.provenance.pictures import description, encoded, now, textured
from tests.timestamp_authority import Fault, TimestampAuthority, is_available

pytestmark = pytest.mark.skipif(not is_available(), reason="needs openssl")


@pytest.fixture(scope="module")
def tsa(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TimestampAuthority]:
    with TimestampAuthority(tmp_path_factory.mktemp("tsa")) as running:
        yield running


@pytest.fixture
def trust(development_trust: TrustList, tsa: TimestampAuthority) -> TrustList:
    return TrustList.of(development_trust.anchors_pem, time_stamps_pem=tsa.root.read_text())


def signed(signer: PemSigner, authority: TimeStampAuthority | None, image_format: str = "png") -> SignedImage:
    image = encoded(textured(2, 64), image_format)
    return sign_credential(image, image_format, description(), signer, authority=authority, clock=now)


def codes(image: bytes, trust: TrustList | None, image_format: str = "png") -> set[str]:
    return {code.code for code in read_credential(image, image_format, trust).codes}


def test_a_stamped_signature_carries_the_authoritys_time(
    signer: PemSigner, tsa: TimestampAuthority, trust: TrustList
) -> None:
    authority = TimeStampAuthority(tsa.url, trust_pem=tsa.root.read_text)

    image = signed(signer, authority)

    report = read_credential(image.data, "png", trust)
    assert image.time_stamp == "stamped"
    assert report.state == "trusted"
    assert {"timeStamp.validated", "timeStamp.trusted"} <= {code.code for code in report.codes}
    assert report.signer is not None
    assert report.signer.time is not None
    assert abs(report.signer.time - now()) < timedelta(minutes=1)
    assert report.signer.time_is_trusted


def test_a_stamp_of_an_unlisted_authority_is_told_as_such(
    signer: PemSigner, tsa: TimestampAuthority, development_trust: TrustList
) -> None:
    report = read_credential(signed(signer, TimeStampAuthority(tsa.url)).data, "png", development_trust)
    assert "timeStamp.untrusted" in {code.code for code in report.codes}
    assert report.signer is not None
    assert not report.signer.time_is_trusted


def test_an_authority_whose_anchor_was_withdrawn_is_not_used_any_more(
    signer: PemSigner, tsa: TimestampAuthority, development_trust: TrustList
) -> None:
    anchors = {"pem": tsa.root.read_text()}
    authority = TimeStampAuthority(tsa.url, trust_pem=lambda: anchors["pem"])
    assert signed(signer, authority).time_stamp == "stamped"
    anchors["pem"] = development_trust.anchors_pem
    assert signed(signer, authority).time_stamp == "pending"


def test_an_anchor_for_time_stamps_makes_no_signer_trusted(
    signer: PemSigner, development_trust: TrustList, tsa: TimestampAuthority
) -> None:
    """The SDK would call a signer trusted whose chain ends in a time-stamp anchor."""
    only_stamps = TrustList.of(tsa.root.read_text(), time_stamps_pem=development_trust.anchors_pem)
    report = read_credential(signed(signer, None).data, "png", only_stamps)
    assert report.state == "valid"
    assert "signingCredential.trusted" not in {code.code for code in report.codes}


def test_an_authority_that_is_not_on_the_list_is_refused(
    signer: PemSigner, tsa: TimestampAuthority, development_trust: TrustList
) -> None:
    authority = TimeStampAuthority(tsa.url, required=True, trust_pem=lambda: development_trust.anchors_pem)
    with pytest.raises(TimeStampError, match="does not lead to the list of trusted time-stamp authorities"):
        signed(signer, authority)


@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.GARBAGE, Fault.REFUSES, Fault.HANGS])
def test_while_the_authority_is_away_images_are_signed_without_and_say_so(
    signer: PemSigner, tsa: TimestampAuthority, fault: Fault
) -> None:
    authority = TimeStampAuthority(tsa.url, timeout_s=0.5)
    with tsa.failing(fault):
        image = signed(signer, authority)
    assert image.time_stamp == "pending"
    assert image.time_stamp_problem is not None
    assert tsa.url in image.time_stamp_problem
    assert image.report.state == "valid"


def test_a_replayed_stamp_is_not_accepted(signer: PemSigner, tsa: TimestampAuthority) -> None:
    authority = TimeStampAuthority(tsa.url)
    signed(signer, authority)
    with tsa.failing(Fault.REPLAYS):
        assert signed(signer, authority).time_stamp == "pending"


def test_a_required_authority_that_is_away_fails_the_image(signer: PemSigner) -> None:
    with pytest.raises(TimeStampError, match=r"127\.0\.0\.1:9"):
        signed(signer, TimeStampAuthority("http://127.0.0.1:9/tsa", required=True))


def test_an_authority_that_is_away_is_left_alone_for_a_while(signer: PemSigner, tsa: TimestampAuthority) -> None:
    clock = {"now": 0.0}
    authority = TimeStampAuthority(tsa.url, timeout_s=0.5, retry_after_s=60, monotonic=lambda: clock["now"])
    with tsa.failing(Fault.HANGS):
        signed(signer, authority)
        asked = tsa.requests
        started = time.monotonic()
        assert signed(signer, authority).time_stamp == "pending"
        assert time.monotonic() - started < 0.4
        assert tsa.requests == asked
    assert authority.problem is not None

    clock["now"] = 61.0
    assert signed(signer, authority).time_stamp == "stamped"
    assert authority.problem is None


def test_a_mistake_of_ours_is_not_blamed_on_the_authority(signer: PemSigner, tsa: TimestampAuthority) -> None:
    with pytest.raises(SigningFailedError, match="could not be signed"):
        sign_credential(b"no image", "png", description(), signer, authority=TimeStampAuthority(tsa.url), clock=now)


@pytest.mark.parametrize("image_format", ["png", "jpeg", "webp", "avif", "tiff"])
def test_the_repositorys_copy_is_stamped_later_by_an_update_manifest(
    signer: PemSigner, tsa: TimestampAuthority, trust: TrustList, image_format: str
) -> None:
    released = signed(signer, None, image_format)

    update = Update("Imprimatur", "0.1.0", now())
    later = updated_store(released.data, image_format, update, signer, TimeStampAuthority(tsa.url))

    report = read_credential(released.data, image_format, trust, manifest_store=later.manifest_store)
    assert report.state == "trusted"
    assert later.manifest_label != released.manifest_label
    store: Any = json.loads(report.raw_json)
    added = store["manifests"][later.manifest_label]
    assert [one["active_manifest"] for one in added["ingredients"]] == [released.manifest_label]
    stamp = next(entry["data"] for entry in added["assertions"] if entry["label"] == "c2pa.time-stamp")
    assert set(stamp) == {released.manifest_label}
    # What the credential says of the content is what the first manifest said.
    assert report.unique_id == released.report.unique_id
    assert report.actions == released.report.actions
    assert report.content_manifest == released.manifest_label
    # The file that left stays as it is.
    assert read_credential(released.data, image_format, trust).manifest_label == released.manifest_label


def test_a_later_stamp_fails_when_the_authority_is_away(signer: PemSigner, tsa: TimestampAuthority) -> None:
    released = signed(signer, None)
    with tsa.failing(Fault.UNAVAILABLE), pytest.raises(TimeStampError):
        updated_store(released.data, "png", Update("Imprimatur", "0.1.0", now()), signer, TimeStampAuthority(tsa.url))


def test_a_certificate_that_ended_since_needs_a_stamp_of_a_listed_authority(
    signer: PemSigner, tsa: TimestampAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing in such a file has changed, so it is never called broken; but without a stamp nobody vouches for it."""
    monkeypatch.setattr(development_ca, "LEAF_VALIDITY", timedelta(seconds=5))
    monkeypatch.setattr(development_ca, "RENEW_BEFORE_EXPIRY", timedelta(0))
    short = development_ca.development_signer(tmp_path, now)
    root = development_ca.development_root_pem(tmp_path)
    plain, stamped = signed(short, None), signed(short, TimeStampAuthority(tsa.url))
    time.sleep(max(0.0, (earliest_expiry(short.certificate_chain_pem) - now()).total_seconds()) + 1.1)

    listed, unlisted = TrustList.of(root, time_stamps_pem=tsa.root.read_text()), TrustList.of(root)
    states = {
        "in time, by a listed authority": read_credential(stamped.data, "png", listed),
        "in time, by an unlisted authority": read_credential(stamped.data, "png", unlisted),
        "not stamped": read_credential(plain.data, "png", listed),
    }

    assert [report.state for report in states.values()] == ["trusted", "valid", "valid"]
    assert not any(report.failures for report in states.values())
    for name in ("in time, by an unlisted authority", "not stamped"):
        assert [code.code for code in states[name].certificate_problems] == ["signingCredential.expired"]
        signer_found = states[name].signer
        assert signer_found is not None
        assert signer_found.valid_at_signing is False
