from __future__ import annotations

from collections.abc import Mapping

import torch

from generator.emblem.conditioning import MAX_TOKENS, encode_prompts


def test_prompts_become_padded_tokens_a_mask_and_one_vector(text_components: Mapping[str, object]) -> None:
    condition = encode_prompts(text_components["tokenizer"], text_components["text_encoder"], ["a dog", ""])

    assert condition.tokens.shape == (2, MAX_TOKENS, 384)
    assert condition.mask.sum(1).tolist() == [4, 2]
    assert not condition.tokens[0, 4:].any()
    assert torch.allclose(condition.pooled.square().mean(1), torch.ones(2), atol=1e-4)


def test_words_past_the_limit_have_no_effect(text_components: Mapping[str, object]) -> None:
    tokenizer, encoder = text_components["tokenizer"], text_components["text_encoder"]
    long = "dog " * 60

    both = encode_prompts(tokenizer, encoder, [long, long + "on a red background"])

    assert torch.equal(both.tokens[0], both.tokens[1])
