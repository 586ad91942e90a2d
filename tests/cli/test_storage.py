"""`farm storage` says what is held and what would go, and deletes only when it is told to."""

from __future__ import annotations

import pytest
from click.testing import CliRunner, Result

from farm.cli.root import main
from farm.database import sessions
from farm.people import audit
from tests.jobs.test_retention import ended, left

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def jobs() -> None:
    ended("old", 40, 2_000_000)
    ended("new", 1, 1_000_000)


def run(*arguments: str, typed: str = "") -> Result:
    return CliRunner().invoke(main, ["storage", *arguments], input=typed)


def test_it_shows_what_is_held_and_what_would_go(jobs: None) -> None:
    shown = run()
    assert shown.exit_code == 0
    assert "Finished pictures and films       2       3 MB" in shown.output
    assert "Everything is kept" in shown.output
    tried = run("--keep-days", "30")
    assert "Kept: pictures for 30 days." in tried.output
    assert "Would be deleted: 1 picture, 2 MB, submitted" in tried.output
    assert left() == {"old", "new"}


def test_it_deletes_after_a_question_and_no_more_than_was_shown(jobs: None) -> None:
    refused = run("--keep-days", "30", "--forget", typed="n\n")
    assert "Delete them?" in refused.output
    assert left() == {"old", "new"}
    assert "Deleted: 1 picture." in run("--keep-days", "30", "--forget", "--yes").output
    assert left() == {"new"}
    with sessions.read_session() as session:
        (line,) = audit.list_newest(session).lines
    assert (line.person, line.action) == ("command line", "delete old pictures")
    assert line.detail == "1 picture; kept: pictures for 30 days"
    nothing = run("--keep-days", "30", "--forget")
    assert "Would be deleted: nothing." in nothing.output
    assert "Delete them?" not in nothing.output


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "much"])
@pytest.mark.parametrize("name", ["--keep-days", "--keep-gb"])
def test_a_wrong_limit_is_named(name: str, value: str) -> None:
    refused = run(name, value)
    assert refused.exit_code == 2
    assert f"Invalid value for '{name}'" in refused.output
