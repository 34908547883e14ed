"""Sets a report as PDF (PDF/A-2a, tagged) with Typst.

The report reaches the template as one JSON text, which Typst reads as data. Nothing of it is ever part of the
template's source, so no prompt, claim or file name can be markup.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from datetime import datetime
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final, Literal

from audit.errors import ReportError
from audit.reports.visible import characters, visible_everywhere

PDF_STANDARDS: Final[list[Literal["a-2a", "ua-1"]]] = [
    "a-2a",
    "ua-1",
]  # for archives, and readable by assistive technology
TITLES: Final = {
    "request": "What happened with a request",
    "image": "What the log knows of a file",
    "period": "What happened in a period",
    "policy_incidents": "What policies stopped",
}
MAX_PROBES = 4
MOST_ITEMS_AT_LENGTH = 20
"""Beyond this, each item is shown in short; `report.json` has all of it, and a report on one request shows all."""

_UNDRAWN = re.compile(r'the text `"((?:[^"\\]|\\.)*)"` could not be displayed')
_ESCAPED = re.compile(r"\\u\{([0-9a-f]+)\}")
_PROBE = b"""
#set document(title: "probe")
#for font in ("Libertinus Serif", "DejaVu Sans Mono") {
  set text(font: font)
  for character in json(bytes(sys.inputs.data)) { [#character ] }
}
"""


def typeset(
    report: Mapping[str, Any],
    *,
    data_sha256: str,
    signature: str,
    pictures: Mapping[str, bytes],
    fonts: Path | None = None,
) -> bytes:
    """The report as PDF, not yet signed.

    Args:
        report: as plain JSON (`audit.reports.content.plain`).
        data_sha256: of the bundle's `report.json`, hexadecimal; shown on the first page.
        signature: what the first page says of the document's signature.
        pictures: small pictures by their path in the bundle; JPEG or PNG of our own making.
        fonts: folder with further fonts, for scripts that the fonts at hand do not have.

    Raises:
        ReportError: the document could not be set; the message has the reason.
    """
    import typst

    names = {path: f"picture-{number}{Path(path).suffix}" for number, path in enumerate(pictures)}
    document = _document(report, names)
    document |= {"title": TITLES[report["question"]["kind"]], "data_sha256": data_sha256, "signature": signature}
    book = typst.Fonts(font_paths=[fonts] if fonts else [])
    document = visible_everywhere(document, _undrawable(characters(document), book))
    with tempfile.TemporaryDirectory(prefix="imprimatur-report-") as folder:
        root = Path(folder)
        with as_file(files("audit.reports") / "template") as template:
            shutil.copytree(template, root, dirs_exist_ok=True)
        for path, data in pictures.items():
            (root / names[path]).write_bytes(data)
        try:
            pdf = typst.compile(
                root / "report.typ",
                root=root,
                font_paths=book,
                sys_inputs={"data": json.dumps(document)},
                pdf_standards=[*PDF_STANDARDS],
                timestamp=datetime.fromisoformat(report["made_at"]).replace(microsecond=0),
            )
        except typst.TypstError as error:
            raise ReportError(f"the document could not be set: {error.message} {' '.join(error.hints)}") from error
    return bytes(pdf)


def _undrawable(wanted: set[str], book: Any) -> frozenset[str]:
    """Those of `wanted` for which no font has a glyph.

    PDF/A forbids text without glyphs, so setting the characters alone names each that lacks one.
    """
    import typst

    lacking: set[str] = set()
    drawable = sorted(character for character in wanted if not 0xD800 <= ord(character) <= 0xDFFF)
    for _ in range(MAX_PROBES):
        remaining = [character for character in drawable if character not in lacking]
        try:
            typst.compile(_PROBE, font_paths=book, sys_inputs={"data": json.dumps(remaining)}, pdf_standards=["a-2u"])
        except typst.TypstError as error:
            named = {character for text in _UNDRAWN.findall(error.diagnostic) for character in _unescaped(text)}
            if not named & set(remaining):
                raise ReportError(f"the fonts could not be asked for their characters: {error.message}") from error
            lacking |= named
        else:
            return frozenset(lacking)
    return frozenset(wanted)


def _unescaped(text: str) -> str:
    plain = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)
    return plain.replace('\\"', '"').replace("\\\\", "\\")


def _document(report: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """What the template shows: pictures by the names that they have beside it, and many items in short."""
    is_short = len(report["items"]) > MOST_ITEMS_AT_LENGTH
    document = {**report, "short": is_short, "files": len(report["files"])}
    document["items"] = [_item(item, names, is_short=is_short) for item in report["items"]]
    if (examination := report["examination"]) is not None:
        document["examination"] = {**examination, "thumbnail": names.get(examination["thumbnail"])}
    return document


def _item(item: Mapping[str, Any], names: Mapping[str, str], *, is_short: bool) -> dict[str, Any]:
    verdicts = [verdict for verdict in item["verdicts"] if not is_short or verdict["outcome"] != "pass"]
    return {
        **item,
        "thumbnail": names.get(item["thumbnail"]),
        "matches": [{**match, "thumbnail": names.get(match["thumbnail"])} for match in item["matches"]],
        "verdicts": verdicts,
        "passed": len(item["verdicts"]) - len(verdicts),
    }
