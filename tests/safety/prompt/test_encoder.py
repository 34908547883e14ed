from __future__ import annotations

import numpy as np
import pytest

from safety import EncoderError
from safety.prompt.encoder import MAX_TOKENS, TOKEN_WIDTH, MiniLmEncoder, require_token_states


def test_states_have_one_row_per_word_piece_and_no_padding(encoder: MiniLmEncoder) -> None:
    states = encoder.encode_tokens(["an apple", "a very long sentence about nothing in particular", ""])

    assert [array.dtype for array in states] == [np.float32] * 3
    assert [array.shape for array in states] == [(4, TOKEN_WIDTH), (10, TOKEN_WIDTH), (2, TOKEN_WIDTH)]


def test_states_do_not_depend_on_the_company(encoder: MiniLmEncoder) -> None:
    alone = encoder.encode_tokens(["an apple"])[0]
    together = encoder.encode_tokens(["a long text that stretches the batch " * 5, "an apple", "pear"])[1]
    np.testing.assert_allclose(alone, together, atol=1e-4)


def test_long_text_is_cut(encoder: MiniLmEncoder) -> None:
    assert encoder.encode_tokens(["word " * 2000])[0].shape == (MAX_TOKENS, TOKEN_WIDTH)


def test_text_that_the_tokenizer_refuses_is_an_encoder_error(encoder: MiniLmEncoder) -> None:
    with pytest.raises(EncoderError):
        encoder.encode_tokens(["lone \ud800 surrogate"])


@pytest.mark.parametrize(
    "states", [[], [np.zeros((3, 383), np.float32)], [np.zeros((0, 384), np.float32)], [np.zeros(384, np.float32)]]
)
def test_states_of_another_shape_are_refused(states: list[np.ndarray]) -> None:
    with pytest.raises(EncoderError):
        require_token_states(states, 1)
