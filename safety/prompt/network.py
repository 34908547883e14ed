"""The network of the prompt classifier: shared lower layers, adapted upper ones, and a pooling head.

The upper layers of the encoder are adapted by low-rank updates (Hu et al. 2021, "LoRA"); the head pools token states
with learned queries (Lin et al. 2017, "A structured self-attentive sentence embedding"). One definition serves
training and use: in use the updates are merged into the weights.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from safety.errors import WeightsError
from safety.prompt.encoder import LAYERS, SHARED_LAYERS, TOKEN_WIDTH, MiniLmEncoder, batches, token_batch

if TYPE_CHECKING:
    from safety.prompt.weights_file import ClassifierWeights

HEADS = 12
RANK = 32
ADAPTER_SCALE = 1.0
HIDDEN_WIDTH = 256
QUERIES = 8
ADAPTER_DROPOUT = 0.1
HEAD_DROPOUT = 0.3

_LINEARS = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "mix": "attention.output.dense",
    "widen": "intermediate.dense",
    "narrow": "output.dense",
}
_NORMS = {"attention_norm": "attention.output.LayerNorm", "output_norm": "output.LayerNorm"}


class Adapted(nn.Module):
    """A frozen linear map with a low-rank update: x W' + x A' B'."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = nn.Linear(base.in_features, base.out_features)
        self.base.weight = nn.Parameter(base.weight.detach(), requires_grad=False)
        self.base.bias = nn.Parameter(base.bias.detach(), requires_grad=False)
        self.down = nn.Parameter(torch.randn(RANK, base.in_features) * base.in_features**-0.5)
        self.up = nn.Parameter(torch.zeros(base.out_features, RANK))

    def forward(self, x: Tensor) -> Tensor:
        update = functional.linear(functional.linear(x, self.down), self.up)
        return torch.add(self.base(x), update, alpha=ADAPTER_SCALE)

    def merged(self) -> nn.Linear:
        """One linear map that does the same."""
        linear = nn.Linear(self.base.in_features, self.base.out_features)
        linear.weight = nn.Parameter(self.base.weight + ADAPTER_SCALE * self.up @ self.down, requires_grad=False)
        linear.bias = nn.Parameter(self.base.bias.detach(), requires_grad=False)
        return linear


class Layer(nn.Module):
    """A layer of BERT (Devlin et al. 2018) out of the maps and norms of a transformers layer."""

    query: nn.Module
    key: nn.Module
    value: nn.Module
    mix: nn.Module
    widen: nn.Module
    narrow: nn.Module
    attention_norm: nn.Module
    output_norm: nn.Module

    def __init__(self, source: nn.Module, *, adapt: bool) -> None:
        super().__init__()
        for name, path in _LINEARS.items():
            linear = source.get_submodule(path)
            assert isinstance(linear, nn.Linear)
            setattr(self, name, Adapted(linear) if adapt else linear)
        for name, path in _NORMS.items():
            setattr(self, name, source.get_submodule(path))
        self.dropout = nn.Dropout(ADAPTER_DROPOUT if adapt else 0.0)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """`x`: (n, tokens, 384); `mask`: (n, tokens), false where padding, None without any."""
        n, tokens, width = x.shape
        query, key, value = (
            linear(x).view(n, tokens, HEADS, width // HEADS).transpose(1, 2)
            for linear in (self.query, self.key, self.value)
        )
        seen = None if mask is None else mask[:, None, None, :]
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        attended = attended.transpose(1, 2).reshape(n, tokens, width)
        x = self.attention_norm(x + self.dropout(self.mix(attended)))
        result: Tensor = self.output_norm(x + self.dropout(self.narrow(functional.gelu(self.widen(x)))))
        return result


class PoolingHead(nn.Module):
    """Logits of shape (n, outputs) from token states."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.input = nn.Linear(TOKEN_WIDTH, HIDDEN_WIDTH)
        self.query = nn.Linear(HIDDEN_WIDTH, QUERIES, bias=False)
        self.hidden = nn.Linear(HIDDEN_WIDTH + TOKEN_WIDTH, HIDDEN_WIDTH)
        self.out = nn.Linear(HIDDEN_WIDTH, outputs)
        self.dropout = nn.Dropout(HEAD_DROPOUT)

    def forward(self, states: Tensor, mask: Tensor | None) -> Tensor:
        if mask is None:
            mean = states.mean(dim=1)
        else:
            weight = mask[..., None].to(states.dtype)
            mean = (states * weight).sum(dim=1) / weight.sum(dim=1)
        mean = functional.normalize(mean, dim=1) * TOKEN_WIDTH**0.5
        values = self.dropout(functional.silu(self.input(states)))
        scores = self.query(values)
        if mask is not None:
            scores = scores.masked_fill(~mask[..., None], -torch.inf)
        parted = values.view(*values.shape[:2], QUERIES, HIDDEN_WIDTH // QUERIES)
        pooled = (scores.softmax(dim=1)[..., None] * parted).sum(dim=1).flatten(1)
        joined = self.dropout(torch.cat([pooled, mean], dim=1))
        logits: Tensor = self.out(self.dropout(functional.silu(self.hidden(joined))))
        return logits


class UpperNetwork(nn.Module):
    """What is trained: from the states after the shared layers, (n, tokens, 384), to logits."""

    def __init__(self, encoder: MiniLmEncoder, outputs: int) -> None:
        super().__init__()
        numbers = range(SHARED_LAYERS, LAYERS)
        self.layers = nn.ModuleList(Layer(encoder.layer(number), adapt=True) for number in numbers)
        self.head = PoolingHead(outputs)
        for layer in self.layers:
            for norm in _NORMS:
                layer.get_submodule(norm).requires_grad_(False)

    def forward(self, states: Tensor, mask: Tensor | None) -> Tensor:
        for layer in self.layers:
            states = layer(states, mask)
        logits: Tensor = self.head(states, mask)
        return logits

    def trained(self) -> dict[str, Tensor]:
        """The tensors that training changes, by name."""
        return {name: tensor for name, tensor in self.named_parameters() if tensor.requires_grad}

    def merge(self) -> None:
        """Replace the low-rank updates by merged weights, for use."""
        for layer in self.layers:
            for name in _LINEARS:
                adapted = layer.get_submodule(name)
                assert isinstance(adapted, Adapted)
                setattr(layer, name, adapted.merged())


class LowerNetwork(nn.Module):
    """What is shared: word pieces to the states after the shared layers. Holds no copy of the weights."""

    def __init__(self, encoder: MiniLmEncoder) -> None:
        super().__init__()
        self.embeddings = encoder.embeddings()
        self.layers = nn.ModuleList(Layer(encoder.layer(number), adapt=False) for number in range(SHARED_LAYERS))

    def forward(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        states: Tensor = self.embeddings(input_ids=ids)
        for layer in self.layers:
            states = layer(states, mask)
        return states


class ClassifierNetwork:
    """The whole network in use: texts to logits. Immutable after it is built; safe to share between threads.

    Linear maps run in bfloat16 where the processor does so natively, which is about twice as fast and changes a
    logit by some hundredths.
    """

    def __init__(self, encoder: MiniLmEncoder, weights: ClassifierWeights) -> None:
        """Raises `WeightsError` unless the tensors are those of this network."""
        outputs = 1 + len(weights.calibration.categories)
        upper = UpperNetwork(encoder, outputs)
        expected = {name: tensor.shape for name, tensor in upper.trained().items()}
        if expected != {name: tensor.shape for name, tensor in weights.tensors.items()}:
            raise WeightsError("the tensors of the prompt classifier are not those of its network; train it again")
        upper.load_state_dict(dict(weights.tensors), strict=False)
        upper.merge()
        self._encoder = encoder
        self._half = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
        lower = LowerNetwork(encoder)
        self._lower, self._upper = (
            _with_half_linears(network) if self._half else network.eval() for network in (lower, upper)
        )
        self._outputs = outputs

    def logits(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Logits of each text, shape (n, outputs). Raises `EncoderError`."""
        pieces = self._encoder.tokenize(texts)
        found = np.zeros((len(texts), self._outputs))
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=self._half):
            for positions in batches(pieces):
                batch = token_batch([pieces[position] for position in positions])
                found[positions] = self._upper(self._lower(batch.ids, batch.mask), batch.mask).float().numpy()
        return found


def _with_half_linears(network: nn.Module) -> nn.Module:
    """A copy of `network` whose linear maps hold bfloat16; the embeddings are shared."""
    shared = {id(module): module for module in network.modules() if isinstance(module, nn.Embedding)}
    copied = copy.deepcopy(network, shared).eval()
    for module in copied.modules():
        if isinstance(module, nn.Linear):
            module.to(torch.bfloat16)
    return copied
