from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from safety import WeightsError
from safety.prompt.encoder import SHARED_LAYERS, MiniLmEncoder, token_batch
from safety.prompt.network import ClassifierNetwork, LowerNetwork, UpperNetwork
from safety.prompt.weights_file import shipped_weights

TEXTS = ["a red apple", "an old man with a very long grey beard reads a newspaper in the park"]


def test_untrained_layers_compute_what_the_encoder_computes(encoder: MiniLmEncoder) -> None:
    batch = token_batch(encoder.tokenize(TEXTS))
    assert batch.mask is not None
    lower, upper = LowerNetwork(encoder).eval(), UpperNetwork(encoder, 3).eval()
    with torch.inference_mode():
        states = lower(batch.ids, batch.mask)
        for layer in upper.layers:
            states = layer(states, batch.mask)
        expected = encoder.model(input_ids=batch.ids, attention_mask=batch.mask.long()).last_hidden_state
    torch.testing.assert_close(states[batch.mask], expected[batch.mask], atol=1e-4, rtol=0)


def test_merging_changes_nothing_but_the_tensors_that_are_left(encoder: MiniLmEncoder) -> None:
    torch.manual_seed(0)
    upper = UpperNetwork(encoder, 3).eval()
    with torch.no_grad():
        for name, tensor in upper.trained().items():
            if name.endswith(".up"):
                tensor.normal_(std=0.02)
    states = torch.randn(2, 5, 384)
    with torch.inference_mode():
        before = upper(states, None)
        upper.merge()
        after = upper(states, None)
    torch.testing.assert_close(before, after, atol=1e-3, rtol=0)
    assert all(name.startswith("head.") for name in upper.trained())


def test_training_leaves_the_shared_encoder_alone(encoder: MiniLmEncoder) -> None:
    upper = UpperNetwork(encoder, 3)
    before = encoder.layer(SHARED_LAYERS).get_parameter("intermediate.dense.weight").clone()
    optimizer = torch.optim.SGD(upper.trained().values(), lr=1.0)
    for _ in range(2):
        upper(torch.randn(2, 4, 384), None).square().mean().backward()
        optimizer.step()
    after = encoder.layer(SHARED_LAYERS).get_parameter("intermediate.dense.weight")
    assert torch.equal(before, after)


def test_a_texts_logits_do_not_depend_on_the_company(encoder: MiniLmEncoder) -> None:
    network = ClassifierNetwork(encoder, shipped_weights())
    together = network.logits([TEXTS[1], TEXTS[0], "pear"])
    np.testing.assert_allclose(together[1], network.logits([TEXTS[0]])[0], atol=0.15)
    assert network.logits([]).shape == (0, together.shape[1])


def test_tensors_of_another_network_are_refused(encoder: MiniLmEncoder) -> None:
    weights = shipped_weights()
    with pytest.raises(WeightsError, match="not those of its network"):
        ClassifierNetwork(encoder, replace(weights, tensors=dict(list(weights.tensors.items())[1:])))
