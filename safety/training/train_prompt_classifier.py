"""Trains the head of the prompt classifier, calibrates it, and prints how well it does by source.

    python -m safety.training.train_prompt_classifier --data ../shared/data/prompts

Trains on train.jsonl only. One half of dev.jsonl (by a hash of the text) calibrates and sets the thresholds,
the other half reports. `benchmarks/prompt_safety.py` measures the shipped check as a whole.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from safety.prompt.canonical import encodable
from safety.prompt.head import FORMAT, WEIGHTS_FILE, Calibration
from safety.prompt.taxonomy import CATEGORIES
from safety.training.calibration import calibrate, describe
from safety.training.encoder import load_encoder
from safety.training.evasions import EVASIONS
from safety.training.prompt_data import SOURCE_WEIGHTS, LabelledPrompt, is_calibration, read_prompts
from safety.training.prompt_head import TorchPromptHead, stack_members

EVADED_SHARE = 0.1
"""Share of training rows that are added once more under a disguise."""

EVADED_WEIGHT = 0.5
DISGUISE_SEED = 5
TRAINING_TOKENS = 128
"""Training rows are cut here, which few reach."""

CATEGORY_WEIGHT = 0.3
BATCH_SIZE = 64
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 0.05


@dataclass(frozen=True, slots=True)
class Features:
    """Token states of texts, half precision, one after the other; `offsets` has one entry more than texts."""

    states: NDArray[np.float16]
    offsets: NDArray[np.int64]

    def joined(self, other: Features) -> Features:
        """These texts, then those of `other`."""
        offsets = np.concatenate([self.offsets, self.offsets[-1] + other.offsets[1:]])
        return Features(np.concatenate([self.states, other.states]), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def batch(self, rows: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        """States, zero-padded, and their mask."""
        lengths = self.offsets[rows + 1] - self.offsets[rows]
        states = np.zeros((len(rows), int(lengths.max()), self.states.shape[1]), dtype=np.float32)
        for position, row in enumerate(rows):
            states[position, : lengths[position]] = self.states[self.offsets[row] : self.offsets[row + 1]]
        mask = np.arange(states.shape[1]) < lengths[:, None]
        return torch.from_numpy(states), torch.from_numpy(mask)


def encode(texts: Sequence[str], cache: Path | None) -> Features:
    """Token states of `texts`, from `cache` (an .npz file) if it is there, else written to it."""
    if cache is not None and cache.is_file():
        stored = np.load(cache)
        features = Features(stored["states"], stored["offsets"])
        if len(features) == len(texts):
            return features
    encoder = load_encoder(max_tokens=TRAINING_TOKENS)
    states: list[NDArray[np.float16]] = []
    for start in range(0, len(texts), 1024):
        chunk = encoder.encode_tokens([encodable(text) for text in texts[start : start + 1024]])
        states += [array.astype(np.float16) for array in chunk]
        print(f"encoded {len(states)} of {len(texts)}", flush=True)
    offsets = np.concatenate([[0], np.cumsum([len(array) for array in states])]).astype(np.int64)
    features = Features(np.concatenate(states), offsets)
    if cache is not None:
        np.savez(cache, states=features.states, offsets=features.offsets)
    return features


def disguised(prompts: Sequence[LabelledPrompt], seed: int) -> tuple[list[str], NDArray[np.int64]]:
    """Disguised copies of some of `prompts`, and which rows they are of."""
    rng = random.Random(seed)  # noqa: S311  # augmentation, no secret
    names = list(EVASIONS)
    texts, rows = [], []
    for row, prompt in enumerate(prompts):
        if rng.random() < EVADED_SHARE:
            texts.append(EVASIONS[rng.choice(names)](prompt.text, rng))
            rows.append(row)
    return texts, np.array(rows, dtype=np.int64)


def train_member(
    features: Features,
    prompts: Sequence[LabelledPrompt],
    weights: NDArray[np.float32],
    *,
    epochs: int,
    seed: int,
) -> TorchPromptHead:
    """One member of the ensemble, trained on all rows of `features`."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    head = TorchPromptHead()
    targets = torch.tensor([prompt.target for prompt in prompts])
    unsafe = torch.tensor([float(prompt.unsafe) for prompt in prompts])
    categories = torch.from_numpy(np.stack([prompt.category_targets() for prompt in prompts]))
    row_weights = torch.from_numpy(weights)
    lengths = np.diff(features.offsets)
    steps = epochs * -(-len(features) // BATCH_SIZE)
    optimizer = torch.optim.AdamW(head.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    for epoch in range(epochs):
        started, total = time.perf_counter(), 0.0
        order = np.argsort(lengths + 8 * rng.random(len(features)), kind="stable")
        batches = [order[start : start + BATCH_SIZE] for start in range(0, len(order), BATCH_SIZE)]
        head.train()
        for position in rng.permutation(len(batches)):
            rows = batches[position]
            states, mask = features.batch(rows)
            logits = head(states, mask)
            loss = _loss(logits, targets[rows], unsafe[rows], categories[rows], row_weights[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
        mean_loss, seconds = total / len(batches), time.perf_counter() - started
        print(f"seed {seed} epoch {epoch + 1}/{epochs}: loss {mean_loss:.4f}, {seconds:.0f} s", flush=True)
    return head.eval()


def _loss(
    logits: torch.Tensor,
    targets: torch.Tensor,
    unsafe: torch.Tensor,
    categories: torch.Tensor,
    weights: torch.Tensor,
) -> torch.Tensor:
    """Cross-entropy of harm, and of the categories on unsafe rows."""
    entropy = nn.functional.binary_cross_entropy_with_logits
    harm = entropy(logits[:, 0], targets, reduction="none")
    kinds = entropy(logits[:, 1:], categories, reduction="none").mean(dim=1) * unsafe
    return ((harm + CATEGORY_WEIGHT * kinds * len(CATEGORIES) / 2) * weights).mean()


def predict(members: Sequence[TorchPromptHead], features: Features) -> NDArray[np.float64]:
    """Logits averaged over `members`, shape (n, 1 + categories)."""
    logits = np.zeros((len(features), 1 + len(CATEGORIES)))
    order = np.argsort(np.diff(features.offsets), kind="stable")
    with torch.inference_mode():
        for start in range(0, len(order), 256):
            rows = order[start : start + 256]
            states, mask = features.batch(rows)
            logits[rows] = np.mean([member(states, mask).numpy() for member in members], axis=0)
    return logits


def save(members: Sequence[TorchPromptHead], calibration: Calibration, encoder_sha256: str, output: Path) -> Path:
    """Write the ensemble and its calibration to `output`/prompt_classifier.safetensors."""
    from safetensors.numpy import save_file

    path = output / WEIGHTS_FILE
    output.mkdir(parents=True, exist_ok=True)
    metadata = {
        "format": FORMAT,
        "categories": ",".join(CATEGORIES),
        "encoder_sha256": encoder_sha256,
        "slope": repr(calibration.slope),
        "offset": repr(calibration.offset),
        "threshold": repr(calibration.threshold),
        "flag_threshold": repr(calibration.flag_threshold),
    }
    save_file(stack_members(members), path, metadata=metadata)
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with train.jsonl and dev.jsonl")
    parser.add_argument("--output", type=Path, default=Path("safety/prompt/weights"), help="folder for the weights")
    parser.add_argument("--cache", type=Path, help="folder that keeps the encoded texts between runs")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--members", type=int, default=1, help="size of the ensemble")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=int, help="use only so many rows of each file (to try the script)")
    options = parser.parse_args(arguments)

    train = read_prompts(options.data / "train.jsonl")[:: _stride(options.limit, 21_540)]
    dev = read_prompts(options.data / "dev.jsonl")[:: _stride(options.limit, 3_961)]
    evaded_texts, evaded_rows = disguised(train, DISGUISE_SEED)
    cache: Path | None = options.cache
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
    features = encode([p.text for p in train], cache and cache / "train.npz")
    features = features.joined(encode(evaded_texts, cache and cache / "disguised.npz"))
    dev_features = encode([p.text for p in dev], cache and cache / "dev.npz")
    rows = [*train, *(train[row] for row in evaded_rows)]
    weights = np.array([SOURCE_WEIGHTS[prompt.source] for prompt in rows], dtype=np.float32)
    weights[len(train) :] *= EVADED_WEIGHT

    members = [
        train_member(features, rows, weights, epochs=options.epochs, seed=options.seed + number)
        for number in range(options.members)
    ]
    logits = predict(members, dev_features)[:, 0]
    calibrating = np.array([is_calibration(prompt) for prompt in dev])
    calibration = calibrate(logits[calibrating], [p for p in dev if is_calibration(p)])
    print(describe(logits[~calibrating], [p for p in dev if not is_calibration(p)], calibration))
    path = save(members, calibration, load_encoder().digest, options.output)
    print(f"wrote {path} ({path.stat().st_size / 1e6:.2f} MB)")


def _stride(limit: int | None, rows: int) -> int:
    return 1 if limit is None else max(1, rows // limit)


if __name__ == "__main__":
    main()
