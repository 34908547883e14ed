from __future__ import annotations

from pathlib import Path

import pytest
import torch

from generator import folder_digest
from generator.emblem.codec import EmblemCodec
from generator.emblem.prior import CaptionPrior
from generator.training.dataset import Pool
from generator.training.export import export, update_card
from generator.training.flow import draw_batch, flow_loss, held_out_losses
from generator.training.state import Configuration, State, load_checkpoint, save_checkpoint, start_state
from generator.training.train import Budget, learning_rate, main, train_step

TINY = Configuration(channels=(32, 32, 32), batch=4, compile=False, warm_up_steps=2)
PRIOR = CaptionPrior().requires_grad_(False)


@pytest.fixture(scope="module")
def pool() -> Pool:
    """Random material of the right shapes."""
    source = torch.Generator().manual_seed(0)
    return Pool(
        latents=torch.randn(12, 32, 16, 16, generator=source).half(),
        coverage=torch.rand(12, 16, 16, generator=source).half(),
        caption=torch.arange(12) % 3 + 1,
        tokens=torch.randn(4, 32, 384, generator=source).half(),
        mask=torch.ones(4, 32, dtype=torch.uint8),
    )


def steps(state: State, pool: Pool, count: int) -> State:
    for _ in range(count):
        train_step(state, state.model, PRIOR, draw_batch(pool, TINY.batch, TINY.seed, state.step), rate=1e-3)
    return state


def weights(state: State) -> list[torch.Tensor]:
    return [*state.model.parameters(), *state.average.parameters()]


def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(pool: Pool, tmp_path: Path) -> None:
    straight = steps(start_state(TINY, EmblemCodec(), None), pool, 4)
    interrupted = steps(start_state(TINY, EmblemCodec(), None), pool, 2)
    save_checkpoint(interrupted, tmp_path / "checkpoint.pt")

    resumed = start_state(TINY, EmblemCodec(), None)
    load_checkpoint(resumed, tmp_path / "checkpoint.pt")
    steps(resumed, pool, 2)

    assert resumed.step == 4
    assert all(torch.equal(a, b) for a, b in zip(weights(resumed), weights(straight), strict=True))


def test_a_step_changes_the_weights_and_the_average_follows(pool: Pool) -> None:
    state = start_state(TINY, EmblemCodec(), None)
    before = [parameter.clone() for parameter in weights(state)]

    steps(state, pool, 2)

    moved = [not torch.equal(a, b) for a, b in zip(before, weights(state), strict=True)]
    assert sum(moved) > 0.9 * len(moved)


def test_training_on_one_batch_lowers_its_loss(pool: Pool) -> None:
    state = start_state(TINY, EmblemCodec(), None)
    batch = draw_batch(pool, TINY.batch, TINY.seed, 0)
    first = float(flow_loss(state.model, PRIOR, batch).mean().detach())

    for _ in range(15):
        train_step(state, state.model, PRIOR, batch, rate=2e-3)

    assert float(flow_loss(state.model, PRIOR, batch).mean().detach()) < 0.9 * first


def test_batches_depend_on_seed_and_step_alone(pool: Pool) -> None:
    first, same, later = (draw_batch(pool, 4, 1, step) for step in (5, 5, 6))

    assert torch.equal(first.noisy, same.noisy)
    assert not torch.equal(first.noisy, later.noisy)


def test_held_out_losses_are_repeatable(pool: Pool) -> None:
    state = start_state(TINY, EmblemCodec(), None)

    assert held_out_losses(state.average, PRIOR, pool, 5) == held_out_losses(state.average, PRIOR, pool, 5)


def test_the_learning_rate_warms_up_and_decays() -> None:
    rates = [learning_rate(Configuration(), *at) for at in ((0, 0.0), (50, 0.0), (50, 1.0))]

    assert rates[0] < 0.05 * rates[1]
    assert rates[1] == pytest.approx(Configuration.learning_rate)
    assert rates[2] == pytest.approx(Configuration.final_learning_rate)


def test_a_budget_ends_by_time_or_by_steps(pool: Pool) -> None:
    state = start_state(TINY, EmblemCodec(), None)
    state.step, state.elapsed_s = 5, 30.0

    assert Budget(minutes=1.0, steps=None).progress(state) == 0.5
    assert Budget(minutes=None, steps=5).progress(state) == 1.0
    assert Budget(minutes=1.0, steps=5).progress(state) == 1.0


def test_the_command_trains_resumes_and_exports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    common = ["--output", str(tmp_path / "run"), "--scenes", "16", "--held-out-scenes", "4", "--batch", "4"]
    common += ["--channels", "32", "32", "32", "--no-compile", "--no-samples", "--threads", "1"]
    common += ["--prior-minutes", "0.02"]

    main([*common, "--steps", "1"])
    main([*common, "--steps", "2", "--resume"])
    step = export(tmp_path / "run", tmp_path / "weights")

    printed = capsys.readouterr().out
    assert "step 1 minutes" in printed
    assert "held-out step 2" in printed
    assert step == 2
    assert (tmp_path / "weights" / "unet" / "diffusion_pytorch_model.safetensors").is_file()

    main([*common, "--steps", "1", "--from-weights", str(tmp_path / "weights")])
    assert "held-out step 1" in capsys.readouterr().out


def test_the_command_needs_a_budget(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["--output", str(tmp_path)])


def test_a_cards_digest_is_brought_up_to_date(tmp_path: Path) -> None:
    card = tmp_path / "card.yaml"
    card.write_text('id: x\ndigest: "old"\ntext_encoder_digest: keep\n')

    update_card(card, folder_digest(tmp_path))

    assert 'digest: "old"' not in card.read_text()
    assert "text_encoder_digest: keep" in card.read_text()
