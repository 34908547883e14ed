from __future__ import annotations

import json
from pathlib import Path

import pytest

from provenance.soft_bindings import registered_algorithms
from provenance.vocabulary import ISCC_ALGORITHM, NAMESPACE, WATERMARK_ALGORITHM, source_term


def test_the_soft_bindings_we_call_registered_are_on_the_official_list(shared_data: Path) -> None:
    listed = json.loads((shared_data / "c2pa" / "softbinding-algorithm-list.json").read_text())
    assert {entry["alg"] for entry in listed} == set(registered_algorithms())
    assert ISCC_ALGORITHM in registered_algorithms()


def test_our_watermark_is_not_on_the_official_list_and_namespaced(shared_data: Path) -> None:
    listed = json.loads((shared_data / "c2pa" / "softbinding-algorithm-list.json").read_text())
    assert WATERMARK_ALGORITHM not in {entry["alg"] for entry in listed}
    assert WATERMARK_ALGORITHM.startswith(NAMESPACE + ".")


@pytest.mark.parametrize(
    ("uri", "term"),
    [
        ("http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture", "digitalCapture"),
        ("https://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture/", "digitalCapture"),
        ("digitalCapture", "digitalCapture"),
        (None, ""),
    ],
)
def test_a_source_type_is_read_whatever_way_it_is_spelled(uri: str | None, term: str) -> None:
    assert source_term(uri) == term
