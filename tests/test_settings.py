"""The environment: read in one place, loud when wrong."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from farm.cli import main
from farm.database import sessions
from farm.settings import LONGEST_SOCKET_PATH, Settings, SettingsInvalid
from tests.conftest import fresh_settings


def test_with_nothing_set_everything_lies_in_home(farm_home: Path) -> None:
    found = fresh_settings()
    assert found.database_url == f"sqlite:///{farm_home}/farm.db"
    assert found.storage == f"file://{farm_home}/storage"
    assert found.embedded_redis


def test_a_wrong_value_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "eighty")
    with pytest.raises(SettingsInvalid, match="PORT"):
        fresh_settings()
    monkeypatch.delenv("PORT")


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_a_postgresql_url_gets_the_driver_that_is_installed(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"{scheme}://farm:secret@db/farm")
    assert fresh_settings().database_url == "postgresql+psycopg://farm:secret@db/farm"


def test_a_long_home_still_has_a_socket_that_fits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FARM_HOME", str(tmp_path / ("long" * 40)))
    path = fresh_settings().redis_socket
    assert len(str(path)) <= LONGEST_SOCKET_PATH
    assert path == fresh_settings().redis_socket


def test_the_secret_key_is_made_once_and_for_its_owner_alone(farm_home: Path) -> None:
    key = fresh_settings().secret_key
    assert len(key) >= 32
    assert fresh_settings().secret_key == key
    assert (farm_home / "secret_key").stat().st_mode & 0o077 == 0


def test_the_webhooks_secret_is_the_operators_or_made_once_and_printed(
    farm_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = fresh_settings().webhook_key
    assert len(made) >= 32
    assert fresh_settings().webhook_key == made != fresh_settings().secret_key
    assert (farm_home / "webhook_secret").stat().st_mode & 0o077 == 0
    assert CliRunner().invoke(main, ["webhooks", "secret"]).output == f"{made}\n"
    monkeypatch.setenv("FARM_WEBHOOK_SECRET", "an operator's own secret")
    assert fresh_settings().webhook_key == "an operator's own secret"
    assert "an operator's" not in repr(fresh_settings())


def test_processes_that_start_at_once_go_on_with_the_same_secret(farm_home: Path) -> None:
    found: set[str] = set()
    start = threading.Barrier(8)

    def one() -> None:
        start.wait()
        found.add(Settings().webhook_key)

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1
    assert found != {""}
    assert [path.name for path in farm_home.iterdir()] == ["webhook_secret"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FARM_WEBHOOK_SECRET", "too short"),
        ("FARM_PUBLIC_URL", "/farm/here"),
        ("FARM_PUBLIC_URL", "https://farm.example.org/?page"),
    ],
)
def test_a_wrong_setting_of_webhooks_is_named_and_no_secret_repeated(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with monkeypatch.context() as wrong:
        wrong.setenv(name, value)
        with pytest.raises(SettingsInvalid, match=name) as caught:
            fresh_settings()
    assert value not in str(caught.value)


@pytest.mark.parametrize("value", ["inf", "nan", "-1", "much"])
def test_a_memory_budget_that_is_no_amount_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("FARM_MEMORY_GB", value)
    with pytest.raises(SettingsInvalid, match="FARM_MEMORY_GB"):
        fresh_settings()
    monkeypatch.delenv("FARM_MEMORY_GB")


@pytest.mark.parametrize("name", ["FARM_RATE_LIMIT", "FARM_READ_LIMIT"])
@pytest.mark.parametrize("value", ["many", "0 per minute", "600", "600 per fortnight", "-1 per minute"])
def test_a_limit_that_is_no_rate_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with monkeypatch.context() as wrong:
        wrong.setenv(name, value)
        with pytest.raises(SettingsInvalid, match=f"{name}.*600 per minute"):
            fresh_settings()


@pytest.mark.parametrize(
    ("broker", "counted"),
    [
        ("redis://cache:6379/0", "redis://cache:6379/0"),
        ("rediss://cache:6379/0", "rediss://cache:6379/0"),
        ("sentinel://one:26379", "memory://"),
        ("memory://", "memory://"),
    ],
)
def test_requests_are_counted_in_the_brokers_server(
    monkeypatch: pytest.MonkeyPatch, broker: str, counted: str
) -> None:
    monkeypatch.setenv("REDIS_URL", broker)
    assert fresh_settings().limits_url == counted


def test_where_the_database_is_is_shown_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    address = "postgresql://farm:hunter2@db:5432/farm?password=hunter2&sslmode=require"
    monkeypatch.setenv("DATABASE_URL", address)
    fresh_settings()
    assert sessions.shown_url() == "postgresql+psycopg://farm:***@db:5432/farm"
    monkeypatch.setenv("DATABASE_URL", "sqlite:////tmp/farm.db")
    fresh_settings()
    assert sessions.shown_url() == "sqlite:////tmp/farm.db"


def test_a_token_is_in_no_listing_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARM_TOKEN", "farm_of_ones_own")
    assert "of_ones_own" not in repr(fresh_settings())
