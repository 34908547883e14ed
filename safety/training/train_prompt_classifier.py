"""Trains the prompt classifier.

    python -m safety.training.train_prompt_classifier --data ../shared/data/prompts --fold 0   # choose
    python -m safety.training.train_prompt_classifier --data ../shared/data/prompts            # make the weights

Trains on train.jsonl and on the prompts written for this project, never on dev.jsonl. With `--fold`, one fifth of
the rows (near-duplicates together) is left out and described: what is chosen is chosen by that. Without, all rows
are used, one half of dev.jsonl calibrates and sets the thresholds, and the weights are written;
`benchmarks/prompt_safety.py` reports on the other half.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from safety.prompt.network import UpperNetwork
from safety.prompt.taxonomy import CATEGORIES
from safety.prompt.weights_file import WEIGHTS_FILE, read_weights, save_weights
from safety.training.augment import disguised, style_swapped, translated
from safety.training.calibration import calibrate, describe
from safety.training.encoder import load_encoder
from safety.training.own_prompts import own_prompts, tails
from safety.training.prompt_data import SOURCE_WEIGHTS, LabelledPrompt, folds, is_calibration, read_prompts
from safety.training.prompt_features import Features, cached_features

FOLDS = 5
AUGMENTED_WEIGHT = 0.5
SEED = 5
CATEGORY_WEIGHT = 0.15
BATCH_SIZE = 64
ADAPTER_RATE = 1e-3
HEAD_RATE = 1e-3
WEIGHT_DECAY = 0.05
WARM_UP_SHARE = 0.08
AVERAGED_SHARE = 0.25
"""The weights of the last steps are averaged (Izmailov et al. 2018, "Averaging weights")."""


def training_rows(
    train: Sequence[LabelledPrompt], limit: int | None = None
) -> tuple[list[LabelledPrompt], NDArray[np.int64], int]:
    """All rows: those of train.jsonl, our own, and augmented copies; the row each copies; and how many are none."""
    styles = tails([prompt.text for prompt in train if prompt.source == "imagereward"])
    rows = [*train, *_every_nth(own_prompts(styles), limit)]
    copies = [*style_swapped(rows, SEED), *disguised(rows, SEED), *translated(rows, SEED)]
    originals = np.array([*range(len(rows)), *(row for row, _ in copies)])
    return [*rows, *(copy for _, copy in copies)], originals, len(rows)


def train_network(
    network: UpperNetwork,
    features: Features,
    prompts: Sequence[LabelledPrompt],
    weights: NDArray[np.float32],
    rows: NDArray[np.int64],
    *,
    epochs: int,
    seed: int,
) -> None:
    """Train `network` in place on `rows` of `features`."""
    rng = np.random.default_rng(seed)
    targets = torch.tensor([prompt.target for prompt in prompts])
    kinds = torch.from_numpy(np.stack([prompt.category_targets() for prompt in prompts]))
    kind_weights = torch.from_numpy(np.stack([prompt.category_weights() for prompt in prompts]))
    row_weights = torch.from_numpy(weights)
    lengths = features.lengths()[rows]
    steps = epochs * -(-len(rows) // BATCH_SIZE)
    adapters = [tensor for name, tensor in network.trained().items() if not name.startswith("head.")]
    head = [tensor for name, tensor in network.trained().items() if name.startswith("head.")]
    optimizer = torch.optim.AdamW(
        [{"params": adapters, "lr": ADAPTER_RATE}, {"params": head, "lr": HEAD_RATE}], weight_decay=WEIGHT_DECAY
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [ADAPTER_RATE, HEAD_RATE], total_steps=steps, pct_start=WARM_UP_SHARE
    )
    average = {name: torch.zeros_like(tensor) for name, tensor in network.trained().items()}
    averaged, step = 0, 0
    network.train()
    for epoch in range(epochs):
        started, total = time.perf_counter(), 0.0
        order = rows[np.argsort(lengths + 6 * rng.random(len(rows)), kind="stable")]
        parts = [order[start : start + BATCH_SIZE] for start in range(0, len(order), BATCH_SIZE)]
        for position in rng.permutation(len(parts)):
            part = parts[position]
            states, mask = features.batch(part)
            with torch.autocast("cpu", torch.bfloat16):
                logits = network(states, mask)
            loss = _loss(logits.float(), targets[part], kinds[part], kind_weights[part], row_weights[part])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(adapters + head, 1.0)
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
            step += 1
            if step > steps * (1 - AVERAGED_SHARE):
                averaged += 1
                for name, tensor in network.trained().items():
                    average[name] += (tensor.detach() - average[name]) / averaged
        seconds = time.perf_counter() - started
        print(f"epoch {epoch + 1}/{epochs}: loss {total / len(parts):.4f}, {seconds:.0f} s", flush=True)
    with torch.no_grad():
        for name, tensor in network.trained().items():
            tensor.copy_(average[name])
    network.eval()


def _loss(
    logits: torch.Tensor,
    targets: torch.Tensor,
    kinds: torch.Tensor,
    kind_weights: torch.Tensor,
    weights: torch.Tensor,
) -> torch.Tensor:
    """Cross-entropy of harm of any kind, and of each category."""
    entropy = nn.functional.binary_cross_entropy_with_logits
    harm = entropy(logits[:, 0], targets, reduction="none")
    by_kind = (entropy(logits[:, 1:], kinds, reduction="none") * kind_weights).sum(dim=1)
    return ((harm + CATEGORY_WEIGHT * by_kind) * weights).mean()


def predict(network: UpperNetwork, features: Features) -> NDArray[np.float64]:
    """Logits of all texts, shape (n, 1 + categories)."""
    logits = np.zeros((len(features), 1 + len(CATEGORIES)))
    order = np.argsort(features.lengths(), kind="stable")
    with torch.inference_mode():
        for start in range(0, len(order), 128):
            rows = order[start : start + 128]
            logits[rows] = network(*features.batch(rows)).numpy()
    return logits


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with train.jsonl and dev.jsonl")
    parser.add_argument("--output", type=Path, default=Path("safety/prompt/weights"), help="folder for the weights")
    parser.add_argument("--cache", type=Path, help="folder that keeps the encoded texts between runs")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fold", type=int, choices=range(FOLDS), help="leave this fold out and describe it")
    parser.add_argument("--weights", type=Path, help="calibrate these weights again instead of training")
    parser.add_argument("--limit", type=int, help="use only about so many rows of each file (to try the script)")
    options = parser.parse_args(arguments)

    encoder = load_encoder()
    cache: Path | None = options.cache
    torch.manual_seed(options.seed)
    network = UpperNetwork(encoder, 1 + len(CATEGORIES))
    if options.weights is not None:
        network.load_state_dict(dict(read_weights(options.weights).tensors), strict=False)
        network.eval()
    else:
        train = _every_nth(read_prompts(options.data / "train.jsonl"), options.limit)
        prompts, originals, count = training_rows(train, options.limit)
        weights = np.array([SOURCE_WEIGHTS[prompt.source] for prompt in prompts], dtype=np.float32)
        weights[count:] *= AUGMENTED_WEIGHT
        features = cached_features(encoder, [prompt.text for prompt in prompts], cache and cache / "train.npz")
        fold = folds(prompts[:count], FOLDS)[originals]
        rows = np.flatnonzero(fold != options.fold)
        train_network(network, features, prompts, weights, rows, epochs=options.epochs, seed=options.seed)
        if options.fold is not None:
            left_out = np.flatnonzero((fold == options.fold) & (np.arange(len(prompts)) < count))
            print(describe(predict(network, features)[left_out], [prompts[row] for row in left_out]))
            return
    calibrating = [p for p in _every_nth(read_prompts(options.data / "dev.jsonl"), options.limit) if is_calibration(p)]
    dev_features = cached_features(encoder, [p.text for p in calibrating], cache and cache / "calibrating.npz")
    logits = predict(network, dev_features)
    calibration = calibrate(logits, calibrating)
    print(describe(logits, calibrating))
    path = options.output / WEIGHTS_FILE
    save_weights(path, network.trained(), calibration, encoder.digest)
    print(f"wrote {path} ({path.stat().st_size / 1e6:.2f} MB)")


def _every_nth(prompts: list[LabelledPrompt], limit: int | None) -> list[LabelledPrompt]:
    return prompts if limit is None else prompts[:: max(1, len(prompts) // limit)]


if __name__ == "__main__":
    main()
