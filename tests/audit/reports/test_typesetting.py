"""The document: hostile text is inert, no character vanishes, and it is a PDF for archives."""

from __future__ import annotations

import dataclasses
import io
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pypdf
import pytest

from audit.errors import ReportError
from audit.reports.content import Item, PersonalText, Report, plain
from audit.reports.typesetting import typeset
from tests.audit.reports.made import HOSTILE_PROMPT, Made, picture

HOSTILE = [
    '#import "/etc/passwd": *',
    '#read("/etc/passwd")',
    "#panic(1)",
    "$ x^2 $ *bold* _emphasis_ `raw` ``` block ```",
    "<label> @reference // comment /* comment */",
    "\\ \\u{202e} ~ -- --- ' \" [content] {code}",
    "= Heading\n- list\n+ enum\n/ term: x",
    "#" * 500,
    "x" * 5000,
    "a" + "\u0300" * 300,
    "",
    "\x00\x01\x7f\x1b]0;title\x07",
    "\u2028\u2029\u200b\ufeff",
    "%PDF-1.7 (escape) <</JS(alert)>>",
]


def text_of(pdf: bytes) -> str:
    return "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf)).pages)


def set_report(report: Report) -> bytes:
    pictures = {f"thumbnails/{number:05d}.png": picture(number) for number in (1, 2)}
    return typeset(plain(report), data_sha256="ab" * 32, signature="none", pictures=pictures)


def with_prompt(made: Made, prompt: str) -> Report:
    item: Item = made.report.items[0]
    text = PersonalText(state="shown", commitment="ab" * 32, text=prompt)
    return dataclasses.replace(made.report, items=(dataclasses.replace(item, prompt=text), *made.report.items[1:]))


@pytest.fixture(scope="module")
def pdf(made: Made) -> bytes:
    return set_report(made.report)


@pytest.mark.parametrize("prompt", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_prompt_is_set_as_it_stands_and_changes_nothing_else(prompt: str, made: Made, pdf: bytes) -> None:
    shown = text_of(set_report(with_prompt(made, prompt)))
    assert "root:x:0" not in shown
    for heading in ("Question and scope", "What people did", "Limits", "Declaration of a records custodian"):
        assert shown.count(heading) == text_of(pdf).count(heading)
    visible = "".join(prompt.split())[:15]
    if visible.isascii() and visible.isprintable():
        assert visible in "".join(shown.split())


def test_every_text_of_the_report_may_be_hostile(made: Made) -> None:
    def poison(value: object) -> object:
        if isinstance(value, str):
            return f"#panic() $ {HOSTILE_PROMPT[:20]} {value}"
        if isinstance(value, tuple):
            return tuple(poison(one) for one in value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            kept = {"kind", "outcome", "state", "rate", "low", "high", "attestation", "edition", "step", "path"}
            return dataclasses.replace(
                value,
                **{
                    field.name: poison(getattr(value, field.name))
                    for field in dataclasses.fields(value)
                    if field.name not in kept and "thumbnail" not in field.name
                },
            )
        return value

    poisoned = poison(made.report)
    assert isinstance(poisoned, Report)
    assert "#panic()" in text_of(set_report(poisoned))


def test_scripts_show_as_themselves_or_as_code_points(pdf: bytes) -> None:
    shown = text_of(pdf)
    assert "Привет" in shown
    assert "\ufffd" not in shown
    for character in "中文":
        assert character in shown or f"[U+{ord(character):04X}]" in "".join(shown.split())


def test_what_would_not_be_seen_is_shown_as_a_code_point(pdf: bytes) -> None:
    shown = "".join(text_of(pdf).split())
    assert "[U+202E]txt.exe[U+202C]" in shown
    assert "[U+001B]" in shown


def test_marks_do_not_pile_up_over_other_lines(pdf: bytes) -> None:
    assert "[U+0305]" in "".join(text_of(pdf).split())


def test_digests_can_be_copied_whole(made: Made, pdf: bytes) -> None:
    digest = made.report.items[0].image_sha256
    assert digest is not None
    assert digest in "".join(text_of(pdf).split())


def test_pages_are_numbered_and_listed(pdf: bytes) -> None:
    reader = pypdf.PdfReader(io.BytesIO(pdf))
    assert f"Page 1 of {len(reader.pages)}" in reader.pages[0].extract_text()
    assert "Contents" in reader.pages[0].extract_text()
    titles = [str(entry["/Title"]) for entry in reader.outline if isinstance(entry, dict)]
    assert titles[0].endswith("Question and scope")


def test_it_is_a_tagged_pdf_for_archives_in_english(pdf: bytes) -> None:
    reader = pypdf.PdfReader(io.BytesIO(pdf))
    catalogue: Any = reader.trailer["/Root"]
    metadata = catalogue["/Metadata"].get_data().decode()
    assert "pdfaid:part>2<" in metadata.replace(" ", "")
    assert catalogue["/MarkInfo"]["/Marked"]
    assert catalogue["/Lang"] == "en"


def test_nothing_in_it_runs(pdf: bytes) -> None:
    catalogue: Any = pypdf.PdfReader(io.BytesIO(pdf)).trailer["/Root"]
    assert "/OpenAction" not in catalogue
    assert "/AA" not in catalogue
    assert b"/JavaScript" not in pdf


def test_pictures_that_are_not_there_are_said_not_to_be(made: Made) -> None:
    shown = text_of(typeset(plain(made.report), data_sha256="ab" * 32, signature="none", pictures={}))
    assert "no picture" in shown


def test_a_picture_that_cannot_be_read_is_named(made: Made) -> None:
    with pytest.raises(ReportError, match="could not be set"):
        typeset(
            plain(made.report),
            data_sha256="ab" * 32,
            signature="none",
            pictures={"thumbnails/00001.png": b"no picture"},
        )


@pytest.mark.skipif(shutil.which("pdftoppm") is None, reason="needs Debian's poppler-utils")
def test_no_text_leaves_the_page(made: Made, tmp_path: Path) -> None:
    """Everything that is drawn lies within the margins, also for words without an end."""
    import numpy as np
    from PIL import Image

    (tmp_path / "report.pdf").write_bytes(set_report(with_prompt(made, "x" * 3000)))
    subprocess.run(["pdftoppm", "-r", "36", "-gray", "report.pdf", "page"], cwd=tmp_path, check=True)
    for page in sorted(tmp_path.glob("page*.pgm")):
        pixels = np.asarray(Image.open(page))
        margin = round(pixels.shape[1] * 20 / 210)  # 24 mm, less what rounding and antialiasing need
        assert pixels[:, -margin:].min() > 200, page.name
        assert pixels[:, :margin].min() > 200, page.name


def test_the_answer_is_the_same_for_the_same_report(made: Made, pdf: bytes) -> None:
    assert text_of(set_report(made.report)) == text_of(pdf)
