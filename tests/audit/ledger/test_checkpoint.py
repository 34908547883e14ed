import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.errors import CheckpointError
from audit.ledger.checkpoint import MAX_SIGNATURES, sign, signing_keys, verify
from audit.ledger.keys import LedgerKey

KEY = LedgerKey.generate("log.example/a")
ROOT = bytes(range(32))
NOTE = sign(42, ROOT, KEY).note

GO_KEY = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_SIGNATURE = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
C2SP_EXAMPLE = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa "
    "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
)


def test_a_note_is_origin_size_root_and_signature_line() -> None:
    origin, size, root, empty, signature, end = NOTE.split("\n")
    assert (origin, size, root) == ("log.example/a", "42", base64.b64encode(ROOT).decode())
    assert (empty, end) == ("", "")
    assert signature.startswith("— log.example/a ")


def test_our_signature_over_gos_example_is_gos_signature() -> None:
    key = LedgerKey.parse(GO_KEY.encode(), Path("go.key"))
    assert base64.b64encode(key.public.key_id + key.sign(GO_TEXT.encode())).decode() == GO_SIGNATURE


def test_the_specifications_example_reads() -> None:
    assert signing_keys(C2SP_EXAMPLE) == [("example.com/behind-the-sofa", bytes.fromhex("033de0ae"))]


def test_a_signed_checkpoint_verifies_and_signing_is_repeatable() -> None:
    assert verify(NOTE, KEY.public) == sign(42, ROOT, KEY)


def test_signatures_of_witnesses_are_passed_over() -> None:
    witness = LedgerKey.generate("witness.example/w")
    text = NOTE.split("\n\n")[0] + "\n"
    line = base64.b64encode(witness.public.key_id + witness.sign(text.encode())).decode()
    assert verify(NOTE + f"— witness.example/w {line}\n", KEY.public).size == 42
    assert verify(NOTE.replace("— log", f"— witness.example/w {line}\n— log"), KEY.public).size == 42


def test_a_note_of_another_key_of_the_same_name_is_refused() -> None:
    with pytest.raises(CheckpointError, match="not signed by"):
        verify(NOTE, LedgerKey.generate("log.example/a").public)


def test_a_note_that_our_key_signed_for_another_origin_is_refused() -> None:
    text = NOTE.split("\n\n")[0].replace("log.example/a", "log.example/b") + "\n"
    signature = base64.b64encode(KEY.public.key_id + KEY.sign(text.encode())).decode()
    with pytest.raises(CheckpointError, match=r"expected 'log\.example/a'"):
        verify(f"{text}\n— log.example/a {signature}\n", KEY.public)


def signed(text: str) -> str:
    signature = base64.b64encode(KEY.public.key_id + KEY.sign(text.encode())).decode()
    return f"{text}\n— log.example/a {signature}\n"


@pytest.mark.parametrize(
    "text",
    [
        "log.example/a\n42\n",
        "log.example/a\n042\n" + base64.b64encode(ROOT).decode() + "\n",
        "log.example/a\n-1\n" + base64.b64encode(ROOT).decode() + "\n",
        "log.example/a\n9223372036854775808\n" + base64.b64encode(ROOT).decode() + "\n",
        "log.example/a\n٤٢\n" + base64.b64encode(ROOT).decode() + "\n",
        "log.example/a\n42\n" + base64.b64encode(ROOT[1:]).decode() + "\n",
        "log.example/a\n42\nnot base64\n",
        "log.example/a\n42\n" + base64.b64encode(ROOT).decode() + "\n\nextension\n",
    ],
)
def test_malformed_texts_are_refused_even_if_signed(text: str) -> None:
    with pytest.raises(CheckpointError):
        verify(signed(text), KEY.public)


@pytest.mark.parametrize(
    "note",
    [
        "",
        "\n\n",
        NOTE[:-1],
        NOTE.replace("\n\n", "\n"),
        NOTE.replace("— ", "- "),
        NOTE.replace("42", "43"),
        NOTE.replace("\n42", "\r\n42"),
        NOTE + "garbage\n",
        NOTE + NOTE.splitlines()[-1] * 1 + "\n\n",
        NOTE + "— w.example/w AAAA\n",
        NOTE + "— w.example/w AAAAAB==\n",
        NOTE + "— w.example/w AAAAAAA=\n" * MAX_SIGNATURES,
        NOTE.replace("log", "l\ud800g"),
        "x" * 70_000,
    ],
)
def test_malformed_and_changed_notes_are_refused(note: str) -> None:
    with pytest.raises(CheckpointError):
        verify(note, KEY.public)


@given(st.integers(0, len(NOTE) - 1), st.characters())
def test_any_other_character_in_the_note_is_refused(position: int, character: str) -> None:
    changed = NOTE[:position] + character + NOTE[position + 1 :]
    if changed == NOTE:
        return
    with pytest.raises(CheckpointError):
        verify(changed, KEY.public)


@given(st.text(max_size=200))
def test_any_text_gives_the_typed_error(text: str) -> None:
    with pytest.raises(CheckpointError):
        verify(text, KEY.public)
