"""Secrets that a farm makes once, and tasks that one machine does for all."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from farm.cli import main
from farm.database import sessions, shared_secrets, values
from farm.database.fleet import FarmValue
from farm.settings import Settings
from tests.conftest import fresh_settings
from web import create_app

READERS = {
    "secret_key": shared_secrets.read_secret_key,
    "webhook_secret": shared_secrets.read_webhook_key,
}
HOUR = timedelta(hours=1)


def use_another_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> Path:
    """Sit at another machine of the same farm."""
    monkeypatch.setenv("FARM_HOME", str(tmp_path / name))
    fresh_settings()
    return tmp_path / name


def run_at_once(act: Callable[[], str], count: int = 8) -> set[str]:
    """What several threads find that begin at the same moment."""
    found: set[str] = set()
    sessions.engine()  # one for all threads
    start = threading.Barrier(count)

    def one() -> None:
        start.wait()
        found.add(act())

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize("name", READERS)
def test_a_secret_is_made_once_and_is_the_operators_where_there_is_one(
    database: str, farm_home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    found = run_at_once(READERS[name])
    (made,) = found
    assert len(made) >= 32
    fresh_settings()
    assert READERS[name]() == made
    if name == "webhook_secret":
        assert CliRunner().invoke(main, ["webhooks", "secret"]).output == f"{made}\n"
    variable = {"secret_key": "FARM_SECRET_KEY", "webhook_secret": "FARM_WEBHOOK_SECRET"}[name]
    monkeypatch.setenv(variable, "an operator's own secret")
    fresh_settings()
    assert READERS[name]() == "an operator's own secret"
    assert "an operator's" not in repr(fresh_settings())


def test_the_two_secrets_differ(database: str) -> None:
    assert shared_secrets.read_secret_key() != shared_secrets.read_webhook_key()


def test_several_machines_have_the_secrets_of_the_first(
    postgres_with_tables: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", postgres_with_tables)
    # Given a machine whose home has a secret of an earlier version
    first = use_another_home(monkeypatch, tmp_path, "first")
    first.mkdir()
    (first / "secret_key").write_text("made by an earlier version")
    key = create_app().config["SECRET_KEY"]
    assert key == "made by an earlier version"
    # Then others take it over, those with one of their own, too
    for number in range(2):
        home = use_another_home(monkeypatch, tmp_path, f"other-{number}")
        home.mkdir()
        if number:
            (home / "secret_key").write_text("another of an earlier version")
        assert create_app().config["SECRET_KEY"] == key
    # And the file lies there for whoever goes back
    assert (first / "secret_key").read_text() == key


def test_on_one_machine_secrets_are_files_for_its_owner_alone(farm_home: Path) -> None:
    found = run_at_once(lambda: Settings().read_or_make_secret("secret_key"))
    (made,) = found
    assert shared_secrets.read_secret_key() == made
    assert [path.name for path in farm_home.iterdir()] == ["secret_key"]
    assert (farm_home / "secret_key").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", READERS)
def test_an_empty_file_is_no_secret(farm_home: Path, name: str) -> None:
    for empty in ("", "\n"):
        farm_home.mkdir(exist_ok=True)
        (farm_home / name).write_text(empty)
        made = READERS[name]()
        assert len(made) >= 32
        assert (farm_home / name).read_text() == made
        assert (farm_home / name).stat().st_mode & 0o077 == 0


def claim(moment: str = "sweep") -> bool:
    with sessions.write_session() as session:
        return values.claim_turn(session, moment, HOUR)


def test_a_task_of_all_is_begun_by_one_and_again_when_it_is_due(database: str) -> None:
    # However many come at once
    taken = []
    run_at_once(lambda: str(taken.append(claim())))
    assert sorted(taken) == [False] * 7 + [True]
    assert claim() is False
    assert claim("another task") is True
    # Later, and where the clock was set back since, it is due again
    for off in (-HOUR, 2 * HOUR):
        with sessions.write_session() as session:
            row = session.get_one(FarmValue, "sweep")
            row.changed_at = sessions.read_clock(session) + off
        assert [claim(), claim()] == [True, False]
