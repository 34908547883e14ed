import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.errors import VaultCorruptError
from audit.sealing import derive, keyed_digest, new_key, seal, unseal


@given(st.binary(max_size=300), st.binary(max_size=40))
def test_what_was_sealed_opens(plaintext: bytes, associated: bytes) -> None:
    key = new_key()
    assert unseal(key, seal(key, plaintext, associated), associated) == plaintext


@given(st.binary(min_size=1, max_size=50), st.data())
def test_any_changed_bit_is_found(plaintext: bytes, data: st.DataObject) -> None:
    key = new_key()
    sealed = bytearray(seal(key, plaintext, b"row 1"))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(VaultCorruptError):
        unseal(key, bytes(sealed), b"row 1")


def test_sealed_data_opens_in_its_own_place_and_under_its_own_key_only() -> None:
    key = new_key()
    sealed = seal(key, b"secret", b"row 1")
    with pytest.raises(VaultCorruptError):
        unseal(key, sealed, b"row 2")
    with pytest.raises(VaultCorruptError):
        unseal(new_key(), sealed, b"row 1")
    with pytest.raises(VaultCorruptError):
        unseal(key, sealed[:10], b"row 1")


def test_derived_keys_differ_by_purpose_and_repeat() -> None:
    key = new_key()
    assert derive(key, "items") == derive(key, "items")
    assert len({derive(key, "items"), derive(key, "name"), derive(new_key(), "items")}) == 3


def test_keyed_digests_need_the_key() -> None:
    assert keyed_digest(b"a" * 32, "alice") == keyed_digest(b"a" * 32, "alice")
    assert keyed_digest(b"a" * 32, "alice") != keyed_digest(b"b" * 32, "alice")
