from pathlib import Path

from audit.event_docs import describe
from audit.events import KINDS

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "events.md"


def test_docs_events_md_is_what_the_schemas_say() -> None:
    assert DOCUMENT.read_text() == describe(), "run: python -m audit.event_docs > docs/events.md"


def test_every_kind_has_its_section() -> None:
    text = describe()
    for kind in KINDS:
        assert f"### `{kind.kind}` (schema {kind.schema})" in text
