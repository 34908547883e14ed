"""`imprimatur policy` and `imprimatur reviews` as their users meet them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from api.cli import main
from api.composition import Imprimatur
from safety.policy import Policy

OVERLAY = """id: acme
version: 4
title: Acme
extends: newsroom
prompt:
  categories:
    trademark: {action: refuse}
"""
HOLDING = """id: holding
version: 1
title: Known characters are held
extends: house
prompt:
  categories:
    character: {action: review}
"""
HELD = "Mickey Mouse on a blue background"


@pytest.fixture
def folder(services: Imprimatur, command_environment: Path) -> Path:
    """Working folder of commands that meet the opened service's database and keys."""
    assert services.settings.data_dir.is_dir()
    (command_environment / "acme.yaml").write_text(OVERLAY)
    return command_environment


def _run(*arguments: str, exit_code: int = 0) -> Result:
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code == exit_code, (result.output, result.exception)
    return result


def _json(*arguments: str, exit_code: int = 0) -> Any:
    return json.loads(_run(*arguments, "--json", exit_code=exit_code).stdout)


class TestCheck:
    def test_a_valid_file_is_named_with_its_digest(self, folder: Path) -> None:
        document = _json("policy", "check", "acme.yaml")
        assert (document["id"], document["version"], document["valid"]) == ("acme", 4, True)
        assert document["digest"] in _run("policy", "check", "acme.yaml").stdout

    def test_an_error_names_file_line_field_and_what_was_expected(self, folder: Path) -> None:
        (folder / "acme.yaml").write_text(OVERLAY.replace("action: refuse", "action: forbid"))
        error = _json("policy", "check", "acme.yaml", exit_code=2)["error"]
        assert error["code"] == "invalid_policy"
        assert error["message"].startswith(
            "acme.yaml, line 7, field prompt.categories.trademark.action: expected one of annotate, review, refuse"
        )

    def test_what_would_be_looser_is_named(self, folder: Path) -> None:
        (folder / "acme.yaml").write_text(OVERLAY.replace("trademark: {action: refuse}", "weapons: {action: annotate}"))
        message = _json("policy", "check", "acme.yaml", exit_code=2)["error"]["message"]
        assert "prompt.categories.weapons.action: annotate would be looser than refuse in newsroom" in message

    def test_needs_no_service(self, tmp_path: Path) -> None:
        (tmp_path / "acme.yaml").write_text(OVERLAY)
        program = "import sys; from api.cli import main; main(sys.argv[1:])"
        command = [sys.executable, "-c", program, "policy", "check", "acme.yaml"]
        environment = {
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
            "IMPRIMATUR_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none",
        }
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert (done.returncode, "valid" in done.stdout) == (0, True), done.stderr


class TestShowAndDiff:
    def test_a_shipped_policy_is_shown_in_full(self, folder: Path) -> None:
        document = _json("policy", "show", "strict")
        assert document["digest"] == Policy.shipped("strict").digest
        assert document["policy"] == Policy.shipped("strict").to_record()
        assert "on_flag: review" in _run("policy", "show", "strict").stdout

    def test_the_policy_of_an_event_is_shown_by_its_digest(self, folder: Path, services: Imprimatur) -> None:
        assert _json("policy", "show", services.policy.digest)["policy"] == services.policy.to_record()
        assert _json("policy", "show", "0" * 64, exit_code=2)["error"]["code"] == "not_found"

    def test_what_gets_stricter_and_what_looser_is_told_by_line(self, folder: Path) -> None:
        forth = {one["field"]: one["direction"] for one in _json("policy", "diff", "newsroom", "acme.yaml")}
        assert forth["prompt.categories.trademark.action"] == "stricter"
        assert set(forth.values()) == {"stricter", "neutral"}
        back = _run("policy", "diff", "acme.yaml", "newsroom", "--fail-on-looser", exit_code=1).stdout
        assert "looser    prompt.categories.trademark.action: refuse -> review" in back

    def test_a_name_that_is_none_is_told_with_those_that_there_are(self, folder: Path) -> None:
        message = _json("policy", "show", "tabloid", exit_code=2)["error"]["message"]
        assert "default, newsroom, strict" in message


class TestUse:
    def test_a_tenants_policy_is_chosen_listed_and_given_up_with_events(
        self, folder: Path, services: Imprimatur
    ) -> None:
        chosen = _json("policy", "use", "acme.yaml", "--tenant", "cli-acme", "--reason", "contract")
        assert (chosen["tenant"], chosen["id"]) == ("cli-acme", "acme")
        assert _json("policy", "show", "--tenant", "cli-acme")["digest"] == chosen["digest"]
        listed = [json.loads(line) for line in _run("policy", "list", "--json").stdout.splitlines()]
        assert [one["id"] for one in listed if one["tenant"] == "cli-acme"] == ["acme"]
        event = services.log.recent(1, kind="policy_changed")[0].fields()
        assert (event["tenant"], event["reason"]) == ("cli-acme", "contract")
        assert event["actor"] is not None
        _run("policy", "use", "house", "--tenant", "cli-acme", "--reason", "it has ended")
        assert _json("policy", "show", "--tenant", "cli-acme")["id"] == services.policy.id


@pytest.fixture
def holding(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands of a tenant whose policy holds known characters."""
    (folder / "holding.yaml").write_text(HOLDING)
    _run("policy", "use", "holding.yaml", "--tenant", "cli-holding", "--reason", "a test")
    monkeypatch.setenv("IMPRIMATUR_TENANT", "cli-holding")
    return folder


class TestReviews:
    def test_a_held_prompt_is_listed_shown_and_approved(self, holding: Path) -> None:
        error = _json("generate", HELD, "--steps", "2", exit_code=1)["error"]
        assert error["code"] == "held_for_review"
        lines = _run("reviews", "list", "--json").stdout.splitlines()
        item = next(one for one in map(json.loads, lines) if one["record_id"] == error["record_id"])
        shown = _run("reviews", "show", item["review_id"]).stdout
        assert HELD in shown
        assert "finding  character (block) by prompt.rules" in shown
        decided = _json("reviews", "approve", item["review_id"], "--reason", "licensed", "--reviewer", "Ada")
        assert decided["state"] == "approved"
        assert decided["records"] == [{"record_id": error["record_id"], "state": "released"}]
        assert "approved" in _run("reviews", "show", item["review_id"]).stdout

    def test_a_rejection_is_final(self, holding: Path) -> None:
        record_id = _json("generate", HELD, exit_code=1)["error"]["record_id"]
        lines = _run("reviews", "list", "--json").stdout.splitlines()
        review_id = next(one["review_id"] for one in map(json.loads, lines) if one["record_id"] == record_id)
        assert "refused" in _run("reviews", "reject", review_id, "--reason", "not ours").stdout
        again = _json("reviews", "approve", review_id, "--reason", "on second thoughts", exit_code=3)
        assert again["error"]["code"] == "review_conflict"
        rejected = _run("reviews", "list", "--state", "rejected", "--json").stdout.splitlines()
        assert {json.loads(line)["state"] for line in rejected} == {"rejected"}

    def test_a_decision_needs_a_reason(self, folder: Path) -> None:
        assert "--reason" in _run("reviews", "approve", "rev_x", exit_code=2).output

    def test_an_item_that_is_none_is_not_found(self, folder: Path) -> None:
        assert _json("reviews", "show", "rev_" + "0" * 32, exit_code=2)["error"]["code"] == "not_found"

    def test_a_prompt_has_no_picture_to_write(self, holding: Path) -> None:
        record_id = _json("generate", HELD, exit_code=1)["error"]["record_id"]
        lines = _run("reviews", "list", "--json").stdout.splitlines()
        review_id = next(one["review_id"] for one in map(json.loads, lines) if one["record_id"] == record_id)
        error = _json("reviews", "show", review_id, "--image", "look.png", exit_code=2)["error"]
        assert "has no picture" in error["message"]
        assert not (holding / "look.png").exists()
