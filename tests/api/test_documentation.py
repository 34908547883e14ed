"""The commands that the documentation shows are run as they stand."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from api.cli import main
from api.composition import Imprimatur
from api.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
NEVER_PRINTED = ("authentic", "real photo", "100 %", "guaranteed", "lawful", "compliant", "protected work", "tampered")
NOT_RUN_HERE = ("serve", "demo")  # the one does not end; the other has a test of its own


def _commands(page: Path) -> list[list[str]]:
    lines = "".join(BLOCK.findall(page.read_text(encoding="utf-8"))).splitlines()
    commands = [shlex.split(line, comments=True) for line in lines if line.strip()]
    return [command for command in commands if command]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_run_as_written(page: Path, services: Imprimatur, command_environment: Path) -> None:
    originals = command_environment / "originals"
    originals.mkdir()
    coarse = np.random.default_rng(8).integers(30, 226, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((640, 480), Image.Resampling.BICUBIC).save(originals / "work.jpg")
    for command in _commands(page):
        if command[0] == "scripts/run":
            command = ["imprimatur", *command[1:]] if len(command) > 1 else ["imprimatur", "demo"]
        if command[0] != "imprimatur":
            assert (ROOT / command[0]).is_file(), f"{page.name} shows {command[0]}, which does not exist"
            continue
        if command[1] in NOT_RUN_HERE:
            continue
        result = CliRunner().invoke(main, command[1:])
        assert result.exit_code in (0, 1), (command, result.output, result.exception)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    broken = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / link).exists()]
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_words_that_promise_too_much_are_not_used(page: Path) -> None:
    text = page.read_text(encoding="utf-8").lower()
    assert [word for word in NEVER_PRINTED if re.search(rf"\b{re.escape(word)}(?!\w)", text)] == []


def test_every_setting_is_documented() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    missing = [name for name in Settings.model_fields if f"`{name.upper()}`" not in page]
    assert missing == []
