from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from generator import folder_digest
from generator.emblem.appearance import AppearanceCodebook
from generator.emblem.codec import EmblemCodec
from generator.emblem.planner import ScenePlanner
from generator.training import planner
from generator.training.dataset import Captions, Pool, load_captions, painted, styles_of, to_signed
from generator.training.export import export, update_card
from generator.training.flow import draw_batch, flow_loss, held_out_losses, measure_spread
from generator.training.patch_basis import fit_basis
from generator.training.render import render_scene
from generator.training.scenes import sample_scene
from generator.training.state import Configuration, State, load_checkpoint, save_checkpoint, start_state
from generator.training.stylist import new_stylist, train_stylist
from generator.training.train import Budget, learning_rate, main, train_step
from generator.training.vocabulary import glyph_names

TINY = Configuration(channels=(32, 32, 32), batch=4, compile=False, warm_up_steps=2)
TABLE = torch.full((6, 2, 8), 0.5)


@pytest.fixture(scope="module")
def pool() -> Pool:
    """Random material of the right shapes."""
    source = torch.Generator().manual_seed(0)
    return Pool(
        latents=torch.randn(12, 8, 16, 16, generator=source).half(),
        plans=torch.randn(12, 8, 16, 16, generator=source).half(),
        where=(torch.rand(12, 1, 16, 16, generator=source) > 0.5).half(),
        caption=torch.arange(12) % 3 + 1,
        style=torch.arange(12) % 6,
        captions=Captions(torch.randn(4, 32, 384, generator=source).half(), torch.ones(4, 32, dtype=torch.uint8)),
    )


def steps(state: State, pool: Pool, count: int) -> State:
    for _ in range(count):
        train_step(state, state.model, draw_batch(pool, TABLE, TINY.batch, TINY.seed, state.step), rate=1e-3)
    return state


def weights(state: State) -> list[torch.Tensor]:
    return [*state.model.parameters(), *state.average.parameters()]


def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(pool: Pool, tmp_path: Path) -> None:
    straight = steps(start_state(TINY, EmblemCodec(components=8), None), pool, 4)
    interrupted = steps(start_state(TINY, EmblemCodec(components=8), None), pool, 2)
    save_checkpoint(interrupted, tmp_path / "checkpoint.pt")

    resumed = start_state(TINY, EmblemCodec(components=8), None)
    load_checkpoint(resumed, tmp_path / "checkpoint.pt")
    steps(resumed, pool, 2)

    assert resumed.step == 4
    assert all(torch.equal(a, b) for a, b in zip(weights(resumed), weights(straight), strict=True))


def test_a_step_changes_the_weights_and_the_average_follows(pool: Pool) -> None:
    state = start_state(TINY, EmblemCodec(components=8), None)
    before = [parameter.clone() for parameter in weights(state)]

    steps(state, pool, 2)

    moved = [not torch.equal(a, b) for a, b in zip(before, weights(state), strict=True)]
    assert sum(moved) > 0.9 * len(moved)


def test_training_on_one_batch_lowers_its_loss(pool: Pool) -> None:
    state = start_state(TINY, EmblemCodec(components=8), None)
    batch = draw_batch(pool, TABLE, TINY.batch, TINY.seed, 0)
    first = float(flow_loss(state.model, batch).mean().detach())

    for _ in range(15):
        train_step(state, state.model, batch, rate=2e-3)

    assert float(flow_loss(state.model, batch).mean().detach()) < 0.9 * first


def test_batches_depend_on_seed_and_step_alone(pool: Pool) -> None:
    first, same, later = (draw_batch(pool, TABLE, 4, 1, step) for step in (5, 5, 6))

    assert torch.equal(first.noisy, same.noisy)
    assert not torch.equal(first.noisy, later.noisy)


def test_held_out_losses_are_repeatable(pool: Pool) -> None:
    state = start_state(TINY, EmblemCodec(components=8), None)

    assert held_out_losses(state.average, TABLE, pool, 5) == held_out_losses(state.average, TABLE, pool, 5)


def test_the_learning_rate_warms_up_and_decays() -> None:
    rates = [learning_rate(Configuration(), *at) for at in ((0, 0.0), (50, 0.0), (50, 1.0))]

    assert rates[0] < 0.05 * rates[1]
    assert rates[1] == pytest.approx(Configuration.learning_rate)
    assert rates[2] == pytest.approx(Configuration.final_learning_rate)


def test_a_budget_ends_by_time_or_by_steps(pool: Pool) -> None:
    state = start_state(TINY, EmblemCodec(components=8), None)
    state.step, state.elapsed_s = 5, 30.0

    assert Budget(minutes=1.0, steps=None).progress(state) == 0.5
    assert Budget(minutes=None, steps=5).progress(state) == 1.0
    assert Budget(minutes=1.0, steps=5).progress(state) == 1.0


def test_the_spread_is_measured_by_style_and_place(pool: Pool) -> None:
    table = measure_spread(pool)

    assert table.shape == (6, 2, 8)
    assert float(table.mean()) == pytest.approx(2**0.5, rel=0.05)


def test_the_commands_train_resume_and_export(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    run = tmp_path / "run"
    AppearanceCodebook(len(glyph_names()), components=2, width=8, blocks=1).save_pretrained(run / "appearance")
    common = ["--output", str(run), "--scenes", "14", "--held-out-scenes", "4", "--threads", "1"]
    denoiser = [*common, "--batch", "4", "--channels", "32", "32", "32", "--no-compile", "--stylist-minutes", "0.01"]

    main([*denoiser, "--steps", "1"])
    main([*denoiser, "--steps", "2", "--resume"])
    planner.main([*common, "--steps", "1", "--layout-steps", "1"])
    planner.main([*common, "--steps", "2", "--layout-steps", "0", "--resume"])
    step = export(run, tmp_path / "weights")

    printed = capsys.readouterr().out
    assert "held-out step 1 minutes" in printed
    assert "held-out step 2 minutes" in printed
    assert "planner step 2 held-out" in printed
    assert step == 2
    assert (tmp_path / "weights" / "unet" / "diffusion_pytorch_model.safetensors").is_file()

    main([*denoiser, "--steps", "1", "--from-weights", str(tmp_path / "weights")])
    assert "held-out step 1 minutes" in capsys.readouterr().out


def test_a_resumed_planner_is_the_uninterrupted_one_bit_for_bit(
    text_components: Mapping[str, object], tmp_path: Path
) -> None:
    scenes = [sample_scene(seed) for seed in range(12)]
    captions = load_captions(tmp_path, scenes, "train", text_components["tokenizer"], text_components["text_encoder"])
    right = planner.answers(scenes)

    def optimiser(model: ScenePlanner) -> torch.optim.Optimizer:
        return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-3)

    straight, halted = planner.new_planner(), planner.new_planner()
    planner.train_planner(straight, optimiser(straight), captions, right, (captions, right), None, 3)
    planner.train_planner(halted, first := optimiser(halted), captions, right, (captions, right), None, 3, stop=1)
    resumed = planner.new_planner()
    resumed.load_state_dict(halted.state_dict())
    second = optimiser(resumed)
    second.load_state_dict(first.state_dict())
    planner.train_planner(resumed, second, captions, right, (captions, right), None, 3, step=1)

    assert all(torch.equal(a, b) for a, b in zip(resumed.parameters(), straight.parameters(), strict=True))


def test_the_stylist_learns_from_scenes() -> None:
    scenes = 24
    codec = EmblemCodec(components=48)
    pixels = to_signed(np.stack([render_scene(sample_scene(seed), 128) for seed in range(scenes)]))
    fit_basis(codec, pixels)
    appearance = AppearanceCodebook(len(glyph_names()), components=2, width=8, blocks=1).requires_grad_(False)
    model = new_stylist()

    def error() -> float:
        some = [sample_scene(seed) for seed in range(scenes)]
        pictures, alpha = painted(appearance.pictures(torch.arange(len(glyph_names()))), some, 0)
        with torch.no_grad():
            return float((model(pictures, alpha, styles_of(some)) - pixels).abs().mean())

    before = error()
    train_stylist(model, codec, appearance, codec.encode(pixels), None, steps=30)

    assert error() < 0.95 * before


def test_the_command_needs_a_budget(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["--output", str(tmp_path)])


def test_a_cards_digest_is_brought_up_to_date(tmp_path: Path) -> None:
    card = tmp_path / "card.yaml"
    card.write_text('id: x\ndigest: "old"\ntext_encoder_digest: keep\n')

    update_card(card, folder_digest(tmp_path))

    assert 'digest: "old"' not in card.read_text()
    assert "text_encoder_digest: keep" in card.read_text()
