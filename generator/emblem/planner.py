"""From a prompt to a plan: what is shown, how often, where, before what, in which style."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional

from generator.emblem.conditioning import MAX_TOKENS
from generator.emblem.paint import BOX_VALUES, BOXES, COPIES

GENDERS = 3
TONES = 6
VARIANTS = GENDERS * TONES
RELATIONS = 9
TIME_FEATURES = 32
QUERIES = 3  # first thing, second thing, the scene
CENTRE = (0.5, 0.5, -0.8, 0.0, 0.0)
SPREAD = (0.2, 0.2, 0.4, 0.15, 1.0)
"""Layout values are (x, y, log side, angle, flip), centred and divided by these."""


@dataclass(frozen=True)
class Outlook:
    """What the planner reads in N prompts, as logits: things (N, 2, objects + 1), the last column "nothing"; genders
    (N, 2, 3); tones (N, 2, 6); count (N, 4); background (N, B); style (N, S); relation (N, 9); and the summary (N, W)
    that the layout is drawn from."""

    things: Tensor
    genders: Tensor
    tones: Tensor
    count: Tensor
    background: Tensor
    style: Tensor
    relation: Tensor
    summary: Tensor


class ScenePlanner(ModelMixin, ConfigMixin):  # type: ignore[misc]  # both name config files
    """A small transformer over the sentence encoder's tokens, and a flow-matching model of layouts.

    Discrete choices come from its heads; layouts are drawn by integrating `layout_velocity` from noise, in the manner
    of LayoutDM (Inoue et al., 2023), with flow matching (Lipman et al., 2023) instead of discrete diffusion.
    `things` objects have one appearance each, the `people` after them eighteen (three genders, six tones).
    `backdrops` (B, 3, 64, 16) in [0, 1] are the mean backgrounds of the training scenes.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        things: int = 452,
        people: int = 27,
        backgrounds: int = 19,
        styles: int = 6,
        width: int = 256,
        layers: int = 2,
        layout_width: int = 512,
        features: int = 384,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.things, self.people = things, people
        self.entry = nn.Linear(features, width)
        self.places = nn.Parameter(0.02 * torch.randn(MAX_TOKENS, width))
        self.queries = nn.Parameter(0.5 * torch.randn(QUERIES, width))
        layer = nn.TransformerEncoderLayer(
            width, 4, 2 * width, dropout=0.1, activation="gelu", batch_first=True, norm_first=True
        )
        self.body = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.last = nn.LayerNorm(width)
        self.thing_head = nn.Linear(width, things + people + 1)
        self.gender_head = nn.Linear(width, GENDERS)
        self.tone_head = nn.Linear(width, TONES)
        self.count_head = nn.Linear(width, COPIES)
        self.background_head = nn.Linear(width, backgrounds)
        self.style_head = nn.Linear(width, styles)
        self.relation_head = nn.Linear(width, RELATIONS)
        self.backdrops = nn.Parameter(torch.zeros(backgrounds, 3, 64, 16), requires_grad=False)
        given = BOXES * BOX_VALUES + TIME_FEATURES + width + COPIES + 1 + 4 + RELATIONS
        self.layout_entry = nn.Linear(given, layout_width)
        self.layout_body = nn.ModuleList(nn.Linear(layout_width, layout_width) for _ in range(3))
        self.layout_exit = nn.Linear(layout_width, BOXES * BOX_VALUES)

    def forward(self, tokens: Tensor, mask: Tensor) -> Outlook:
        """Read token features (N, T, 384) with mask (N, T)."""
        words = self.entry(tokens) + self.places[: tokens.shape[1]]
        queries = self.queries.expand(len(tokens), -1, -1)
        hidden = torch.cat([queries, words], 1)
        absent = torch.cat([torch.zeros(len(mask), QUERIES, dtype=torch.bool, device=mask.device), mask == 0], 1)
        read = self.last(self.body(hidden, src_key_padding_mask=absent)[:, :QUERIES])
        named, scene = read[:, :2], read[:, 2]
        return Outlook(
            self.thing_head(named),
            self.gender_head(named),
            self.tone_head(named),
            self.count_head(scene),
            self.background_head(scene),
            self.style_head(scene),
            self.relation_head(scene),
            scene,
        )

    def layout_velocity(self, noisy: Tensor, time: Tensor, given: Tensor) -> Tensor:
        """Velocity (N, BOXES, 5) of noisy layouts at times (N,) in [0, 1] (1 is noise); `given` from
        `layout_condition`."""
        waves = torch.arange(TIME_FEATURES // 2, device=time.device) + 1
        phases = time[:, None] * waves * torch.pi / 2
        hidden = self.layout_entry(torch.cat([noisy.flatten(1), phases.sin(), phases.cos(), given], 1))
        for layer in self.layout_body:
            hidden = hidden + cast(Tensor, layer(functional.silu(hidden)))
        velocity: Tensor = self.layout_exit(functional.silu(hidden))
        return velocity.reshape(noisy.shape)

    def entry_of(self, thing: Tensor, gender: Tensor, tone: Tensor) -> Tensor:
        """Codebook entries of objects with gender and tone, which count for people only."""
        person = thing >= self.things
        variant = self.things + (thing - self.things) * VARIANTS + gender * TONES + tone
        return torch.where(person, variant, thing)


def layout_condition(outlook: Outlook, count: Tensor, second: Tensor, extents: Tensor) -> Tensor:
    """What a layout is drawn from: summary, how many (N,) from 1, whether there is a second thing (N,), width and
    height (N, 4) of both appearances, and the relation."""
    return torch.cat(
        [
            outlook.summary,
            functional.one_hot(count - 1, COPIES).to(extents.dtype),
            second[:, None].to(extents.dtype),
            extents,
            outlook.relation.softmax(1),
        ],
        1,
    )


def to_values(boxes: Tensor) -> Tensor:
    """Layout values of boxes (..., 5) as `paint` takes them."""
    raw = torch.cat([boxes[..., :2], boxes[..., 2:3].log(), boxes[..., 3:]], -1)
    return (raw - raw.new_tensor(CENTRE)) / raw.new_tensor(SPREAD)


def to_boxes(values: Tensor) -> Tensor:
    """Boxes (..., 5) of layout values, kept on the canvas and of sensible size."""
    raw = values * values.new_tensor(SPREAD) + values.new_tensor(CENTRE)
    centre, side = raw[..., :2].clamp(0.1, 0.9), raw[..., 2:3].exp().clamp(0.15, 1.0)
    flip = torch.where(raw[..., 4:] < 0, -1.0, 1.0)
    return torch.cat([centre, side, raw[..., 3:4].clamp(-0.6, 0.6), flip], -1)


def present_boxes(count: Tensor, second: Tensor) -> Tensor:
    """Which boxes (N, BOXES) there are: `count` (N,) copies of the first thing, and the second thing's where `second`
    (N,) is true."""
    copies = torch.arange(COPIES, device=count.device) < count[:, None]
    return torch.cat([copies, second[:, None].bool()], 1).float()
