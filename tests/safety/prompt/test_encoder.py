from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safety import EncoderError
from safety.prompt.encoder import MAX_TOKENS, MiniLmEncoder, batches, token_batch


def test_word_pieces_have_both_ends_and_long_text_is_cut(encoder: MiniLmEncoder) -> None:
    short, long = encoder.tokenize(["an apple", "word " * 2000])
    assert (len(short), len(long)) == (4, MAX_TOKENS)
    assert (short[0], short[-1]) == (101, 102)
    assert encoder.tokenize([]) == []


def test_text_that_the_tokenizer_refuses_is_an_encoder_error(encoder: MiniLmEncoder) -> None:
    with pytest.raises(EncoderError):
        encoder.tokenize(["lone \ud800 surrogate"])


def test_a_model_of_another_kind_is_named() -> None:
    import torch

    with pytest.raises(EncoderError, match="no embeddings"):
        MiniLmEncoder(torch.nn.Linear(1, 1), None, "0").embeddings()  # type: ignore[arg-type]


@given(st.lists(st.integers(1, 60), max_size=40), st.integers(60, 400))
def test_every_text_is_in_one_batch_of_bounded_size(lengths: list[int], limit: int) -> None:
    found = batches([[0] * length for length in lengths], limit)
    assert sorted(position for batch in found for position in batch) == list(range(len(lengths)))
    for batch in found:
        assert len(batch) * max(lengths[position] for position in batch) <= limit


def test_padding_is_masked_and_none_needs_no_mask() -> None:
    batch = token_batch([[5, 6, 7], [8]])
    assert batch.ids.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert batch.mask is not None
    assert batch.mask.tolist() == [[True, True, True], [True, False, False]]
    assert token_batch([[5, 6], [7, 8]]).mask is None
