"""Other ways to find harm in prompts, trained and calibrated on the same rows as ours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from safety import Outcome
from safety.prompt.calibration import Scores
from safety.prompt.encoder import MiniLmEncoder, batches, token_batch
from safety.prompt.term_files import normalise, shipped_terms
from safety.training.calibration import BLOCK_RATES
from safety.training.prompt_data import LabelledPrompt

Blocked = NDArray[np.bool_]


class WordList:
    """The terms of the rules that block by themselves, as whole words, and nothing else: no canonicaliser."""

    name = "word list"

    def __init__(self) -> None:
        rules = [rule for term_file in shipped_terms() for rule in term_file.rules]
        self._terms = [
            term for rule in rules if rule.outcome is Outcome.BLOCK and not rule.beside for term in rule.terms
        ]

    def scores(self, texts: Sequence[str]) -> Scores:
        return np.array([float(any(term in normalise(text) for term in self._terms)) for text in texts])

    def blocked(self, texts: Sequence[str]) -> Blocked:
        return self.scores(texts) > 0


class _Thresholded:
    """A score with one threshold, as low as ours' rates allow on the calibrating half."""

    threshold = np.inf

    def scores(self, texts: Sequence[str]) -> Scores:
        raise NotImplementedError

    def blocked(self, texts: Sequence[str]) -> Blocked:
        return np.asarray(self.scores(texts) > self.threshold)

    def calibrate(self, calibrating: Sequence[LabelledPrompt]) -> None:
        scores = self.scores([prompt.text for prompt in calibrating])
        sources = np.array([prompt.source for prompt in calibrating])
        self.threshold = max(
            float(np.sort(scores[sources == source])[::-1][int(rate * (sources == source).sum())])
            for source, rate in BLOCK_RATES.items()
        )


class TfIdf(_Thresholded):
    """Logistic regression on word and character n-grams."""

    name = "TF-IDF"

    def __init__(self, train: Sequence[LabelledPrompt], calibrating: Sequence[LabelledPrompt]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline, make_union

        union = make_union(
            TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), min_df=3, sublinear_tf=True),
        )
        self._model = make_pipeline(union, LogisticRegression(C=4.0, max_iter=300, class_weight="balanced"))
        self._model.fit([prompt.text for prompt in train], [prompt.target >= 0.5 for prompt in train])
        self.calibrate(calibrating)

    def scores(self, texts: Sequence[str]) -> Scores:
        return np.asarray(self._model.decision_function(texts), dtype=np.float64)


class FrozenHead(_Thresholded):
    """The sentence embeddings of the unchanged encoder, and one hidden layer of 256."""

    name = "frozen encoder, one hidden layer"

    def __init__(
        self, encoder: MiniLmEncoder, train: Sequence[LabelledPrompt], calibrating: Sequence[LabelledPrompt]
    ) -> None:
        from sklearn.neural_network import MLPClassifier

        self._encoder = encoder
        self._model = MLPClassifier(
            (256,), alpha=1e-3, batch_size=256, max_iter=40, early_stopping=True, n_iter_no_change=4, random_state=0
        )
        self._model.fit(self._embed([prompt.text for prompt in train]), [prompt.target >= 0.5 for prompt in train])
        self.calibrate(calibrating)

    def scores(self, texts: Sequence[str]) -> Scores:
        return np.asarray(self._model.predict_proba(self._embed(texts))[:, 1], dtype=np.float64)

    def _embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        import torch

        pieces = self._encoder.tokenize([text.encode("utf-8", "replace").decode() for text in texts])
        found = np.zeros((len(texts), 384), dtype=np.float32)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            for positions in batches(pieces):
                batch = token_batch([pieces[position] for position in positions])
                mask = torch.ones_like(batch.ids) if batch.mask is None else batch.mask.long()
                states = self._encoder.model(input_ids=batch.ids, attention_mask=mask).last_hidden_state.float()
                mean = (states * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
                found[positions] = torch.nn.functional.normalize(mean, dim=1).numpy()
        return found
