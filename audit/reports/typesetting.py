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

from audit.canonical import canonical_json
from audit.errors import ReportError
from audit.reports.content import Report
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
    report: Report, *, data_sha256: str, signature: str, pictures: Mapping[str, bytes], fonts: Path | None = None
) -> bytes:
    """The report as PDF, not yet signed.

    Args:
        data_sha256: of the bundle's `report.json`, hexadecimal; shown on the first page.
        signature: what the first page says of the document's signature.
        pictures: small pictures by their path in the bundle; JPEG or PNG of our own making.
        fonts: folder with further fonts, for scripts that the fonts at hand do not have.

    Raises:
        ReportError: the document could not be set; the message has the reason.
    """
    import typst

    document: dict[str, Any] = json.loads(canonical_json(report))
    document |= {"title": TITLES[report.question.kind], "data_sha256": data_sha256, "signature": signature}
    names = {path: f"picture-{number}{Path(path).suffix}" for number, path in enumerate(pictures)}
    _name_pictures(document, names)
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
                timestamp=_whole_second(report.made_at),
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


def _name_pictures(value: Any, names: Mapping[str, str]) -> None:
    """Replaces the bundle's paths of pictures by the names that they have beside the template."""
    if isinstance(value, list):
        for one in value:
            _name_pictures(one, names)
    elif isinstance(value, dict):
        if "thumbnail" in value:
            value["thumbnail"] = names.get(value["thumbnail"])
        for one in value.values():
            _name_pictures(one, names)


def _whole_second(time: datetime) -> datetime:
    return time.replace(microsecond=0)
