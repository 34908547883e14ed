"""An operator's own terms: the setting leads to findings, and a broken file stops the start."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.composition import Imprimatur
from api.errors import ConfigurationError
from api.settings import Settings

TERMS = """
version: 7
updated: 2026-11-22
sources: [the test]
rules:
  - {id: house-duck, category: trademark, outcome: block, terms: [Acme Duck]}
"""


def test_an_operators_terms_are_found_and_named_in_the_evidence(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "house.yaml").write_text(TERMS, encoding="utf-8")
    with Imprimatur(settings.model_copy(update={"terms_dir": tmp_path})) as opened:
        (document,) = opened.screening.screen(["an acme-duck on a pond"])

    found = {finding["category"]: finding for finding in document["findings"]}
    assert found["trademark"]["outcome"] == "block"
    assert "house.yaml@7" in str(found["trademark"])


def test_a_term_file_that_is_not_valid_stops_the_start(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "house.yaml").write_text(TERMS.replace("outcome: block", "outcome: maybe"), encoding="utf-8")
    with (
        Imprimatur(settings.model_copy(update={"terms_dir": tmp_path})) as opened,
        pytest.raises(ConfigurationError, match=r"house.yaml, rule 'house-duck': expected outcome flag or block"),
    ):
        opened.screening.screen(["a duck"])
