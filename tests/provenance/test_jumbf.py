from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.credential import sign_credential
from provenance.encode import thumbnail_jpeg
from provenance.errors import ManifestStoreError
from provenance.ingredients import Ingredient
from provenance.jumbf import only_active_manifest
from provenance.reader import STORE_MEDIA_TYPE, read_credential
from provenance.signer import PemSigner
from tests.provenance.pictures import description, encoded, now, textured


def test_the_active_manifest_is_taken_out_whole(signer: PemSigner) -> None:
    parent = sign_credential(encoded(textured(1, 64), "png"), "png", description(title="parent"), signer, clock=now)
    used = Ingredient(parent.data, "image/png", "parentOf", "parent", thumbnail_jpeg(textured(1, 64)))
    child = sign_credential(
        encoded(textured(2, 64), "png"), "png", description(title="child", ingredients=(used,)), signer, clock=now
    )

    alone = only_active_manifest(child.manifest_store)

    assert alone in child.manifest_store or len(alone) < len(child.manifest_store)
    assert parent.manifest_label.encode() in child.manifest_store
    assert read_credential(alone, STORE_MEDIA_TYPE, None).manifest_label == child.manifest_label
    assert only_active_manifest(parent.manifest_store) == parent.manifest_store


@given(st.binary(max_size=200))
def test_bytes_that_are_no_store_are_a_typed_error(data: bytes) -> None:
    with pytest.raises(ManifestStoreError):
        only_active_manifest(data)


@given(st.integers(0, 400), st.binary(min_size=1, max_size=3))
def test_a_damaged_store_gives_a_store_or_a_typed_error(position: int, noise: bytes) -> None:
    store = bytearray(b"\0\0\0\x18jumb" + b"\0\0\0\x08jumd" + b"\0\0\0\x08jumb")
    store[position % len(store) : position % len(store) + len(noise)] = noise
    with contextlib.suppress(ManifestStoreError):
        assert only_active_manifest(bytes(store))[4:8] == b"jumb"
