"""Which policy is in force for whom, and what the log says of it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

from api.composition import Imprimatur
from api.errors import ConfigurationError, InvalidPolicyError, NotFoundError
from api.policies import Choice
from api.settings import Settings
from safety.checks import Stage
from safety.policy import Policy
from safety.policy_rules import Action

OVERLAY = """
id: acme
version: 1
title: Acme holds trademarks too
extends: house
prompt:
  categories:
    trademark: {action: review}
"""

HARD_HOUSE = """
id: hard-house
version: 1
title: The house holds artists' styles
extends: default
prompt:
  categories:
    artist_style: {action: review}
"""


@pytest.fixture
def house_settings(postgres_url: str, tmp_path: Path) -> Settings:
    """Settings of a service on a fresh database, so that the house's policy may be changed."""
    name = f"policies_{secrets.token_hex(6)}"
    server = create_engine(postgres_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    url = make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
    return Settings(data_dir=tmp_path / "data", database_url=url)


@pytest.fixture
def opened(house_settings: Settings) -> Iterator[Imprimatur]:
    with Imprimatur(house_settings) as service:
        yield service


def _changes(service: Imprimatur) -> list[dict[str, object]]:
    return [dict(event.fields()) for event in reversed(service.log.recent(kind="policy_changed"))]


class TestTheHouse:
    def test_starts_with_the_default_and_the_log_says_so_once(
        self, opened: Imprimatur, house_settings: Settings
    ) -> None:
        assert opened.policies.house() == Policy.default()
        with Imprimatur(house_settings) as other:
            assert other.policies.house().digest == Policy.default().digest
        (change,) = _changes(opened)
        assert change["tenant"] is None
        assert change["policy"] == {"id": "default", "version": "1", "digest": Policy.default().digest}
        assert change["before"] is None

    def test_follows_what_was_chosen_in_every_process_and_after_a_restart(
        self, opened: Imprimatur, house_settings: Settings
    ) -> None:
        with Imprimatur(house_settings) as other:
            assert other.policies.house().id == "default"
            opened.policies.use(Choice(name="newsroom"), tenant=None, reason="we report now")
            assert other.policies.house().id == "newsroom"
        with Imprimatur(house_settings) as restarted:
            assert restarted.policies.of("anybody").id == "newsroom"
        change = _changes(opened)[-1]
        assert change["reason"] == "we report now"
        assert "persons: anyone -> adults, otherwise review (stricter)" in change["changes"]  # type: ignore[operator]

    def test_is_the_settings_file_where_one_is_set_and_then_cannot_be_chosen(
        self, opened: Imprimatur, house_settings: Settings, tmp_path: Path
    ) -> None:
        assert opened.policies.house().id == "default"
        file = tmp_path / "house.yaml"
        file.write_text(HARD_HOUSE)
        with Imprimatur(house_settings.model_copy(update={"policy_path": file})) as other:
            assert other.policies.house().id == "hard-house"
            with pytest.raises(ConfigurationError, match="POLICY_PATH"):
                other.policies.use(Choice(name="strict"), tenant=None, reason="x")
        assert opened.policies.house().id == "hard-house"
        assert [change["policy"]["id"] for change in _changes(opened)] == ["default", "hard-house"]  # type: ignore[index]

    def test_a_wrong_file_is_a_configuration_error_with_its_line(
        self, house_settings: Settings, tmp_path: Path
    ) -> None:
        file = tmp_path / "house.yaml"
        file.write_text(HARD_HOUSE.replace("action: review", "action: forbid"))
        message = r"line 8, field prompt.categories.artist_style.action"
        with (
            Imprimatur(house_settings.model_copy(update={"policy_path": file})) as service,
            pytest.raises(ConfigurationError, match=message),
        ):
            service.policies.house()


class TestATenant:
    def test_has_its_own_and_others_keep_the_house(self, opened: Imprimatur) -> None:
        opened.policies.use(Choice(text=OVERLAY), tenant="acme", reason="contract")
        assert opened.policies.of("acme").rule(Stage.PROMPT, "trademark").on_block is Action.REVIEW
        assert opened.policies.of("other").id == "default"
        change = _changes(opened)[-1]
        assert change["tenant"] == "acme"
        assert change["changes"][-1] == "prompt.categories.trademark.action: annotate -> review (stricter)"  # type: ignore[index]

    @pytest.mark.parametrize(
        ("before", "after", "message"),
        [
            (
                "trademark: {action: review}",
                "violence: {action: review}",
                r"line 8, field prompt.categories.violence.action: review would be looser than refuse in house",
            ),
            (
                "trademark: {action: review}",
                "violence: {action: refuse, threshold: 0.999}",
                r"line 8, field prompt.categories.violence.threshold: 0.999 would be looser than the check's own",
            ),
            ("extends: house", "extends: nobody", r"line 5, field extends: expected one of default.*house"),
            ("trademark: {action: review}", "trademrak: {action: refuse}", "no check finds trademrak"),
        ],
    )
    def test_cannot_have_anything_looser_or_unknown(
        self, opened: Imprimatur, before: str, after: str, message: str
    ) -> None:
        with pytest.raises(InvalidPolicyError, match=message):
            opened.policies.use(Choice(text=OVERLAY.replace(before, after)), tenant="acme", reason="x")
        assert opened.policies.of("acme").id == "default"

    def test_cannot_have_a_shipped_policy_that_is_looser_than_the_house(self, opened: Imprimatur) -> None:
        opened.policies.use(Choice(name="strict"), tenant=None, reason="x")
        with pytest.raises(InvalidPolicyError, match="newsroom 1 is looser than the house's policy strict 1"):
            opened.policies.use(Choice(name="newsroom"), tenant="acme", reason="x")

    def test_gets_stricter_with_the_house_and_an_event_says_so(self, opened: Imprimatur) -> None:
        opened.policies.use(Choice(text=OVERLAY), tenant="acme", reason="contract")
        opened.policies.use(Choice(text=HARD_HOUSE), tenant=None, reason="artists asked for it")
        policy = opened.policies.of("acme")
        assert policy.rule(Stage.PROMPT, "artist_style").on_block is Action.REVIEW
        assert policy.rule(Stage.PROMPT, "trademark").on_block is Action.REVIEW
        assert [change["tenant"] for change in _changes(opened)] == [None, "acme", None, "acme"]
        assert _changes(opened)[-1]["reason"] == "what it rests on has changed"

    def test_keeps_the_stricter_rule_where_the_house_overtakes_it(self, opened: Imprimatur) -> None:
        opened.policies.use(Choice(text=OVERLAY), tenant="acme", reason="contract")
        hard = HARD_HOUSE.replace("artist_style: {action: review}", "trademark: {action: refuse}")
        opened.policies.use(Choice(text=hard), tenant=None, reason="x")
        assert opened.policies.of("acme").rule(Stage.PROMPT, "trademark").on_block is Action.REFUSE

    def test_follows_the_house_again_when_told_so(self, opened: Imprimatur) -> None:
        opened.policies.use(Choice(name="strict"), tenant="acme", reason="x")
        opened.policies.use(Choice(), tenant="acme", reason="the contract has ended")
        opened.policies.use(Choice(name="newsroom"), tenant=None, reason="x")
        assert opened.policies.of("acme").id == "newsroom"
        assert [assignment.tenant for assignment in opened.policies.assignments()] == [None]


def test_every_policy_that_was_in_force_can_be_had_by_its_digest(opened: Imprimatur) -> None:
    opened.policies.use(Choice(text=OVERLAY), tenant="acme", reason="contract")
    old = opened.policies.of("acme")
    opened.policies.use(Choice(name="strict"), tenant="acme", reason="x")
    assert opened.policies.by_digest(old.digest).to_record() == old.to_record()
    assert opened.policies.by_digest(Policy.shipped("newsroom").digest).id == "newsroom"
    with pytest.raises(NotFoundError):
        opened.policies.by_digest("0" * 64)


def test_the_service_can_neither_change_nor_delete_what_was_in_force(opened: Imprimatur) -> None:
    opened.policies.house()
    for statement in ("UPDATE policies SET content = ''", "DELETE FROM policy_assignments", "DELETE FROM policies"):
        with opened.database.engine.connect() as connection, pytest.raises(Exception, match="permission denied"):
            connection.execute(text(statement))
