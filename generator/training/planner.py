"""Train the planner: what captions name, and where it stands.

    python -m generator.training.planner --minutes 8 --output runs/emblem
    python -m generator.training.planner --minutes 8 --output runs/emblem --resume

Batches are functions of seed and step. A checkpoint holds weights and optimiser.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from generator.emblem.paint import BOX_VALUES, BOXES
from generator.emblem.planner import (
    Outlook,
    ScenePlanner,
    layout_condition,
    present_boxes,
    to_values,
)
from generator.training.dataset import Captions, backdrops, layout_of, load_captions
from generator.training.glyphs import extent_of
from generator.training.scenes import Scene, Split, sample_scene
from generator.training.text_encoder import load_text_encoder, packaged_folder
from generator.training.vocabulary import BACKGROUNDS, RELATIONS, STYLES, objects

BATCH = 128
LEARNING_RATE = 1e-3
SEED = 20_261_122
TOKEN_NOISE = 0.1  # on token features, whose standard deviation is about 0.5
EMPTY_CAPTION_SHARE = 0.04  # from these the planner learns what is shown when nothing is asked for
LAYOUT_BATCH = 512
LAYOUT_REPEATS = 2  # noise levels drawn for each layout


@dataclass(frozen=True)
class Answers:
    """What the planner should read in N captions: objects (N, 2) (the last index is "nothing"), whether they are people
    (N, 2), gender, tone (N, 2), count (N,) from 1, background, style, relation (N,), boxes (N, 5, 5) and the extents
    (N, 4) of both things."""

    things: Tensor
    person: Tensor
    gender: Tensor
    tone: Tensor
    count: Tensor
    background: Tensor
    style: Tensor
    relation: Tensor
    boxes: Tensor
    extents: Tensor


def answers(scenes: list[Scene]) -> Answers:
    """The right answers for scenes."""
    nothing = len(objects())
    things, person, gender, tone, wide = [], [], [], [], []
    for scene in scenes:
        pair = [*scene.entities, None][:2]
        things.append([nothing if e is None else e.index for e in pair])
        person.append([e is not None and e.named.is_person for e in pair])
        gender.append([0 if e is None else e.gender for e in pair])
        tone.append([0 if e is None else e.tone for e in pair])
        wide.append([v for e in pair for v in ((0.0, 0.0) if e is None else extent_of(e.glyph))])
    names, styles, relations = list(BACKGROUNDS), list(STYLES), [None, *RELATIONS]
    return Answers(
        torch.tensor(things),
        torch.tensor(person),
        torch.tensor(gender),
        torch.tensor(tone),
        torch.tensor([scene.entities[0].count for scene in scenes]),
        torch.tensor([names.index(scene.background) for scene in scenes]),
        torch.tensor([styles.index(scene.style) for scene in scenes]),
        torch.tensor([relations.index(scene.relation) for scene in scenes]),
        torch.stack([layout_of(scene)[1] for scene in scenes]),
        torch.tensor(wide, dtype=torch.float32),
    )


def rows_of(right: Answers, rows: Tensor) -> Answers:
    """These rows of all answers."""
    return Answers(**{field.name: getattr(right, field.name)[rows] for field in fields(right)})


def reading_loss(outlook: Outlook, right: Answers) -> Tensor:
    """Cross-entropy of every head; gender and tone count for people only."""
    loss = functional.cross_entropy(outlook.things.flatten(0, 1), right.things.flatten(), label_smoothing=0.02)
    people = right.person.float().flatten()
    for logits, wanted in ((outlook.genders, right.gender), (outlook.tones, right.tone)):
        each = functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="none")
        loss = loss + (each * people).sum() / people.sum().clamp(min=1)
    single = right.things[:, 1] == outlook.things.shape[2] - 1
    counts = functional.cross_entropy(outlook.count, right.count - 1, reduction="none")
    loss = loss + (counts * single).mean()
    for logits, wanted in ((outlook.background, right.background), (outlook.style, right.style)):
        loss = loss + functional.cross_entropy(logits, wanted)
    return loss + functional.cross_entropy(outlook.relation, right.relation)


def layout_loss(planner: ScenePlanner, outlook: Outlook, right: Answers, source: torch.Generator) -> Tensor:
    """Flow matching: the velocity from layout to noise, over the boxes that there are."""
    second = right.things[:, 1] != len(objects())
    given = layout_condition(outlook, right.count, second, right.extents).repeat(LAYOUT_REPEATS, 1)
    present = present_boxes(right.count, second).repeat(LAYOUT_REPEATS, 1)[..., None]
    clean = to_values(right.boxes).repeat(LAYOUT_REPEATS, 1, 1)
    time_ = torch.rand(len(clean), generator=source)
    noise = torch.randn(clean.shape, generator=source)
    level = time_[:, None, None]
    noisy = ((1 - level) * clean + level * noise) * present
    velocity = planner.layout_velocity(noisy, time_, given)
    return ((velocity - (noise - clean)).square() * present).sum() / (present.sum() * BOX_VALUES)


@torch.no_grad()
def accuracy(planner: ScenePlanner, captions: Captions, right: Answers) -> dict[str, float]:
    """Share of captions that each head reads rightly (gender and tone: where the answer is a person)."""
    parts = [
        planner(captions.tokens[rows + 1].float(), captions.mask[rows + 1])
        for rows in torch.arange(len(right.count)).split(256)
    ]
    outlook = Outlook(**{field.name: torch.cat([getattr(p, field.name) for p in parts]) for field in fields(Outlook)})
    single = right.things[:, 1] == outlook.things.shape[2] - 1

    def share(logits: Tensor, wanted: Tensor) -> float:
        return float((logits.argmax(-1) == wanted).float().mean())

    return {
        "first": share(outlook.things[:, 0], right.things[:, 0]),
        "second": share(outlook.things[:, 1], right.things[:, 1]),
        "count": share(outlook.count[single], right.count[single] - 1),
        "background": share(outlook.background, right.background),
        "style": share(outlook.style, right.style),
        "relation": share(outlook.relation, right.relation),
    }


def train_planner(
    planner: ScenePlanner,
    optimiser: torch.optim.Optimizer,
    captions: Captions,
    right: Answers,
    held_out: tuple[Captions, Answers],
    minutes: float | None,
    steps: int | None,
    step: int = 0,
    stop: int | None = None,
) -> int:
    """Train for so many minutes or to so many steps with cosine decay, in place; returns the step reached.

    `stop` ends the training at an earlier step of the same decay.
    """
    started, running = time.monotonic(), 0.0
    while True:
        used = step / steps if steps else (time.monotonic() - started) / 60 / (minutes or 1.0)
        if used >= 1 or step == stop:
            planner.eval()
            print(f"planner step {step} held-out {accuracy(planner, *held_out)}", flush=True)
            return step
        for group in optimiser.param_groups:
            warm = min(1.0, (step + 1) / 100)
            group["lr"] = LEARNING_RATE * warm * (0.01 + 0.495 * (1 + math.cos(math.pi * used)))
        source = torch.Generator().manual_seed(SEED * 1_000_003 + step)
        torch.manual_seed(SEED + step)  # dropout
        rows = torch.randint(len(right.count), (BATCH,), generator=source)
        table = (rows + 1) * (torch.rand(BATCH, generator=source) >= EMPTY_CAPTION_SHARE)
        tokens = captions.tokens[table].float()
        tokens = tokens + TOKEN_NOISE * torch.randn(tokens.shape, generator=source)
        some = rows_of(right, rows)
        planner.train()
        with torch.autocast("cpu", torch.bfloat16):
            outlook = planner(tokens, captions.mask[table])
        outlook = Outlook(**{field.name: getattr(outlook, field.name).float() for field in fields(Outlook)})
        loss = reading_loss(outlook, some) + layout_loss(planner, outlook, some, source)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(planner.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        step, running = step + 1, running + float(loss.detach())
        if step % 100 == 0:
            print(f"planner step {step} used {used:.2f} loss {running / 100:.4f}", flush=True)
            running = 0.0
        if step % 500 == 0:
            planner.eval()
            print(f"planner step {step} held-out {accuracy(planner, *held_out)}", flush=True)


@torch.no_grad()
def read_all(planner: ScenePlanner, captions: Captions, count: int) -> Outlook:
    """What the planner reads in the first `count` captions; of the objects, which the layout does not need, nothing."""
    parts = [
        planner(captions.tokens[rows + 1].float(), captions.mask[rows + 1]) for rows in torch.arange(count).split(256)
    ]
    read = {field.name: torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Outlook)}
    return Outlook(**(read | {"things": read["things"][..., :0]}))


def train_layout(planner: ScenePlanner, captions: Captions, right: Answers, steps: int) -> None:
    """Train the layout model alone, with larger batches, on what the finished reader reads; in place.

    The reader is much the larger part and is done long before; a step here costs a hundredth of a step of both.
    """
    outlook = read_all(planner.eval(), captions, len(right.count))
    trained = [p for name, p in planner.named_parameters() if name.startswith("layout_")]
    optimiser = torch.optim.AdamW(trained, LEARNING_RATE, betas=(0.9, 0.99), weight_decay=0.0)
    running = 0.0
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / steps))
        source = torch.Generator().manual_seed(SEED * 1_000_003 - step)
        rows = torch.randint(len(right.count), (LAYOUT_BATCH,), generator=source)
        some = Outlook(**{field.name: getattr(outlook, field.name)[rows] for field in fields(Outlook)})
        loss = layout_loss(planner, some, rows_of(right, rows), source)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        running += float(loss.detach())
        if (step + 1) % 250 == 0:
            print(f"layout step {step + 1} loss {running / 250:.4f}", flush=True)
            running = 0.0


def new_planner() -> ScenePlanner:
    """An untrained planner for the vocabulary, with the backgrounds' mean pictures."""
    torch.manual_seed(SEED)
    people = sum(named.is_person for named in objects())
    planner: ScenePlanner = ScenePlanner(len(objects()) - people, people, len(BACKGROUNDS), len(STYLES))
    with torch.no_grad():
        planner.backdrops.copy_(backdrops())
    return planner


def main(arguments: list[str] | None = None) -> None:
    """Command line: train and store `OUTPUT/planner`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--resume", action="store_true", help="continue from OUTPUT/planner.pt")
    parser.add_argument("--text-encoder", type=Path)
    parser.add_argument("--scenes", type=int, default=20_000)
    parser.add_argument("--held-out-scenes", type=int, default=1_000)
    parser.add_argument("--layout-steps", type=int, default=3_000, help="steps for the layout model alone, at the end")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    if options.minutes is None and options.steps is None:
        parser.error("give --minutes or --steps")
    torch.set_num_threads(options.threads)
    options.output.mkdir(parents=True, exist_ok=True)
    tokenizer, encoder = load_text_encoder(options.text_encoder or packaged_folder())

    def material(count: int, split: Split) -> tuple[Captions, Answers]:
        scenes = [sample_scene(seed, split) for seed in range(count)]
        return load_captions(options.output, scenes, split, tokenizer, encoder), answers(scenes)

    captions, right = material(options.scenes, "train")
    held_out = material(options.held_out_scenes, "held-out")
    planner = new_planner()
    trained = [p for p in planner.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, LEARNING_RATE, betas=(0.9, 0.99), weight_decay=0.02)
    step = 0
    if options.resume:
        stored = torch.load(options.output / "planner.pt", weights_only=True)
        planner.load_state_dict(stored["planner"])
        optimiser.load_state_dict(stored["optimiser"])
        step = stored["step"]
    count = sum(p.numel() for p in trained)
    print(f"planner parameters {count} captions {len(right.count)} boxes {BOXES} step {step}", flush=True)
    step = train_planner(planner, optimiser, captions, right, held_out, options.minutes, options.steps, step)
    train_layout(planner, captions, right, options.layout_steps)
    torch.save(
        {"planner": planner.state_dict(), "optimiser": optimiser.state_dict(), "step": step},
        options.output / "planner.pt",
    )
    planner.save_pretrained(options.output / "planner")


if __name__ == "__main__":
    main()
