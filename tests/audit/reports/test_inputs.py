"""What a customer sent stays out of the redacted edition also where it hides in a released file."""

from __future__ import annotations

import dataclasses

from audit.reports.content import InputStatement
from audit.reports.editions import redact
from tests.audit.reports.made import Made


def test_files_that_may_hold_thumbnails_of_inputs_are_left_out(made: Made) -> None:
    first = made.report.items[0]
    assert first.credential is not None
    item = dataclasses.replace(
        first,
        inputs=(InputStatement(role="image", sha256="ab" * 32, media_type="image/png", size=1),),
        credential=dataclasses.replace(first.credential, path="credentials/rec_1.c2pa"),
    )
    changed = redact(dataclasses.replace(made.report, items=(item, *made.report.items[1:]))).items[0]
    assert changed.credential is not None
    assert changed.credential.path is None
    assert changed.custody[0].path is None
    assert changed.custody[0].sha256 == first.custody[0].sha256


def test_files_without_inputs_stay(made: Made) -> None:
    assert redact(made.report).items[0].custody[0].path is not None
