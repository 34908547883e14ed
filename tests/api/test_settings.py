"""Settings from the environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from api.settings import Settings, default_data_dir


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("IMPRIMATUR_"):
            monkeypatch.delenv(name)


def test_everything_has_a_default_that_can_be_used() -> None:
    settings = Settings()

    assert settings.database_url is None
    assert settings.data_dir == default_data_dir()
    assert settings.data_dir.is_absolute()
    assert settings.keys_dir == settings.data_dir / "keys"
    assert settings.object_store_url == f"file://{settings.data_dir}/objects"
    assert not settings.url_private_addresses


def test_the_environment_sets_what_it_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IMPRIMATUR_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("IMPRIMATUR_LEASE_S", "2.5")
    monkeypatch.setenv("imprimatur_queue_length", "3")
    monkeypatch.setenv("IMPRIMATUR_OBJECTS_URL", "s3://bucket/folder")

    settings = Settings()

    assert (settings.data_dir, settings.lease_s, settings.queue_length) == (tmp_path, 2.5, 3)
    assert settings.object_store_url == "s3://bucket/folder"


def test_a_variable_that_is_set_to_nothing_is_as_if_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATA_DIR", "DATABASE_URL", "SIGNING_KEY", "THREADS", "LEASE_S"):
        monkeypatch.setenv(f"IMPRIMATUR_{name}", "")

    assert Settings() == Settings(data_dir=default_data_dir())


@pytest.mark.parametrize("given", ["data", "./data", "~/data"])
def test_a_relative_data_folder_is_made_absolute_once(
    given: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    settings = Settings(data_dir=Path(given))
    monkeypatch.chdir("/")

    assert settings.data_dir == tmp_path / "data"
    assert settings.object_store_url == f"file://{tmp_path}/data/objects"


def test_secrets_show_in_no_text_form() -> None:
    settings = Settings.model_validate(
        {
            "database_url": "postgresql://u:swordfish@h/d",
            "owner_database_url": "postgresql://o:swordfish@h/d",
            "signing_key_passphrase": "swordfish",
        }
    )

    assert "swordfish" not in f"{settings} {settings!r} {settings.model_dump()} {settings.model_dump_json()}"
    assert settings.database_url is not None
    assert "swordfish" in settings.database_url.get_secret_value()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lease_s", 0), ("lease_s", -1), ("lease_s", "nan"), ("lease_s", "inf"), ("lease_s", 1e9),
        ("decode_timeout_s", 0), ("decode_timeout_s", "inf"), ("database_timeout_s", 0), ("queue_length", 0),
        ("max_upload_bytes", 0), ("max_pixels", 0), ("threads", 0), ("image_format", "gif"),
        ("queue_length", "many"), ("unknown_setting", 1),
    ],
)  # fmt: skip
def test_values_that_cannot_work_are_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=name):
        Settings.model_validate({name: value})


def test_settings_do_not_change_after_they_were_read() -> None:
    settings = Settings()

    with pytest.raises(ValidationError, match="frozen"):
        settings.lease_s = 1.0  # type: ignore[misc]


def test_the_data_folder_is_the_systems_for_root_and_the_users_for_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_data_dir() == Path("/var/lib/imprimatur")

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert default_data_dir() == tmp_path / ".local" / "share" / "imprimatur"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    assert default_data_dir() == tmp_path / "xdg" / "imprimatur"
