"""Real prompts, photographs and listed works through the real flow."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from api.composition import Imprimatur
from api.errors import RefusedError
from api.generate import Order
from tests.api.test_generate import FixedEngine


def _prompts(shared_data: Path, label: str, source: str, count: int) -> list[str]:
    """Every so-many-th prompt of a source, so that the sample spans it."""
    rows = [json.loads(line) for line in (shared_data / "prompts/dev.jsonl").read_text(encoding="utf-8").splitlines()]
    texts = [row["text"] for row in rows if row["label"] == label and row["source"] == source]
    return texts[:: len(texts) // count][:count]


def test_prompts_of_the_development_set_go_through_the_real_flow(
    services: Imprimatur, order: Order, shared_data: Path
) -> None:
    outcomes: dict[str, Counter[str]] = {"safe": Counter(), "unsafe": Counter()}
    for label, source in (("safe", "t2i-compbench"), ("unsafe", "overt-unsafe")):
        for prompt in _prompts(shared_data, label, source, 10):
            asked = replace(order, request=replace(order.request, prompt=prompt))
            try:
                record_id = services.generation.run(asked).record_id
            except RefusedError as refusal:
                record_id = str(refusal.record_id)
            ended = services.log.events(record_id)[-1].kind
            assert ended in ("released", "refused", "held"), prompt
            outcomes[label][ended] += 1
    assert outcomes["safe"]["released"] >= 9, outcomes
    assert outcomes["unsafe"]["refused"] > outcomes["safe"]["refused"], outcomes


def test_copies_of_indexed_photographs_are_refused_and_other_photographs_are_not(
    services: Imprimatur, order: Order, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = services.add_references(
        shared_data / "images/real/bsds-val", rights_claim="the photographers of BSDS500", progress=None
    )
    assert len(report.added) >= 95
    try:
        listed = Path(report.added[10].source)
        with Image.open(listed) as photo:
            copy = np.asarray(photo.convert("RGB").resize((640, 480)))
        with monkeypatch.context() as patched:
            patched.setattr(services, "engine", lambda _model: FixedEngine(copy))
            image = services.generation.run(order).images[0]
        assert image.data is None
        assert "listed_work" in image.decision["categories"]

        other = sorted((shared_data / "images/real/imagenet-sample").iterdir())[:10]
        for path in other:
            findings = services.inspect(path.read_bytes())
            assert "block" not in {f["outcome"] for f in findings if f["category"] == "listed_work"}, path.name
    finally:
        for reference in report.added:
            services.references.withdraw(reference.id)
