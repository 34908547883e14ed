"""Cards made from a model's own files, and the hub's models by commit, fetched from a hub on loopback."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from generator import (
    DigestMismatchError,
    InvalidCardError,
    ModelLoadError,
    UnsafeWeightsError,
    load_card,
)
from generator.adding import Statement, describe_folder, describe_hub_model, write_card
from generator.card import ModelCard
from generator.model_folder import verified_folder
from tests.generator import hub, tiny_models

STATEMENT = Statement(licence="Apache-2.0", training_data="none: random weights", title="Tiny")
REPOSITORY = "somebody/tiny"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save("stable-diffusion", tmp_path_factory.mktemp("saved") / "tiny-model")


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(saved, tmp_path / "tiny-model"))


@pytest.fixture
def hub_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> object:
    """Point the real client at an address, with a cache of its own."""
    import huggingface_hub.constants as constants

    def point(address: str) -> None:
        monkeypatch.setattr(constants, "ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr("huggingface_hub.file_download.HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
        monkeypatch.setattr("huggingface_hub.hf_api.api.endpoint", address)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))

    return point


def test_a_folder_is_described_and_its_card_is_read_back_as_it_was(folder: Path, tmp_path: Path) -> None:
    card = describe_folder(folder, STATEMENT)

    path = write_card(card, tmp_path / "cards")

    assert load_card(path) == card
    assert (card.id, card.title, card.licence, card.hub_id) == ("tiny-model", "Tiny", "Apache-2.0", None)
    assert card.files.keys() >= {"model_index.json", "unet/diffusion_pytorch_model.safetensors"}
    assert (card.defaults.width, card.defaults.height) == card.sizes[0] == (32, 32)
    assert verified_folder(card) == folder


def test_a_card_of_another_model_is_not_overwritten(folder: Path, tmp_path: Path) -> None:
    card = describe_folder(folder, STATEMENT)
    write_card(card, tmp_path)

    assert write_card(card, tmp_path).is_file()  # the same again is fine
    with pytest.raises(InvalidCardError, match="says something else"):
        write_card(replace(card, licence="MIT"), tmp_path)


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("unet/config.json", "alter", "unet/config.json is altered"),
        ("vae/config.json", "remove", "vae/config.json is missing"),
        ("notes.txt", "add", "notes.txt is not on the card"),
    ],
)
def test_a_file_that_is_not_the_cards_is_named(folder: Path, name: str, change: str, problem: str) -> None:
    card = describe_folder(folder, STATEMENT)
    if change == "remove":
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(b"{}")

    with pytest.raises(DigestMismatchError, match=problem) as refusal:
        verified_folder(card)
    assert refusal.value.problems == (problem,)


def test_files_that_do_not_add_up_to_the_digest_make_no_card(folder: Path, tmp_path: Path) -> None:
    card = describe_folder(folder, STATEMENT)
    files = {**card.files, "unet/config.json": "0" * 64}

    with pytest.raises(InvalidCardError, match="not the one over the listed files"):
        load_card(write_card(replace(card, files=files), tmp_path))


def test_pickled_weights_are_refused(folder: Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"pickle")

    with pytest.raises(UnsafeWeightsError, match=r"diffusion_pytorch_model\.bin"):
        describe_folder(folder, STATEMENT)


@pytest.mark.parametrize(
    "index", [None, b"{", b"[]", b"{}", b'{"_class_name": "NoSuchPipeline"}', b'{"_class_name": "DDIMScheduler"}']
)
def test_what_is_no_diffusers_model_is_refused(folder: Path, index: bytes | None) -> None:
    path = folder / "model_index.json"
    path.unlink()
    if index is not None:
        path.write_bytes(index)

    with pytest.raises(ModelLoadError):
        describe_folder(folder, STATEMENT)


class TestHub:
    def described(self, hub_at: object, folder: Path, revision: str = "main") -> ModelCard:
        with hub.served(REPOSITORY, folder) as address:
            hub_at(address)  # type: ignore[operator]
            return describe_hub_model(REPOSITORY, revision, None, STATEMENT)

    def test_a_branch_becomes_the_commit_that_it_stands_for(self, hub_at: object, folder: Path) -> None:
        card = self.described(hub_at, folder)

        assert (card.id, card.source, card.revision) == (REPOSITORY, f"hub:{REPOSITORY}", hub.COMMIT)
        assert card.files == describe_folder(folder, STATEMENT).files

    def test_only_what_the_model_needs_is_fetched_and_no_pickle(self, hub_at: object, folder: Path) -> None:
        (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"pickle")
        (folder / "README.md").write_text("hello")
        (folder / "unet" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"another set of weights")

        card = self.described(hub_at, folder)

        assert not {name for name in card.files if name.endswith((".bin", ".md", ".fp16.safetensors"))}

    def test_what_was_fetched_is_used_when_the_hub_is_away(self, hub_at: object, folder: Path) -> None:
        card = self.described(hub_at, folder)

        assert (verified_folder(card) / "model_index.json").is_file()  # the server has gone

    def test_a_file_that_changed_in_the_cache_is_refused(self, hub_at: object, folder: Path) -> None:
        card = self.described(hub_at, folder)
        path = verified_folder(card) / "unet" / "config.json"
        path.resolve().write_bytes(b"{}")

        with pytest.raises(DigestMismatchError, match="altered"):
            verified_folder(card)

    def test_a_hub_that_is_away_and_a_model_that_is_not_there_are_typed_errors(
        self, hub_at: object, folder: Path
    ) -> None:
        with hub.served(REPOSITORY, folder) as address:
            hub_at(address)  # type: ignore[operator]
            with pytest.raises(ModelLoadError, match="somebody/other"):
                describe_hub_model("somebody/other", "main", None, STATEMENT)
        with pytest.raises(ModelLoadError, match="could not be fetched"):
            describe_hub_model(REPOSITORY, "main", None, STATEMENT)
