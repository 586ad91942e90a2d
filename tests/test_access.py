"""Tokens, from the operator's command to the row."""

from __future__ import annotations

import pytest
from click.testing import CliRunner, Result

from farm.cli import main
from farm.database import sessions
from farm.people import audit, tokens

LINE = 200  # columns


def token(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["token", *arguments], env={"COLUMNS": str(LINE)})


def whose(text: str) -> str | None:
    with sessions.read_session() as session:
        found = tokens.find_by_digest(session, tokens.compute_digest(text))
    return found.name if found else None


@pytest.mark.usefixtures("database")
def test_a_token_is_made_used_listed_and_revoked() -> None:
    # Given two tokens, each printed once
    ada, bob = (token("create", name).stdout.strip() for name in ("Ada", "the night batch"))
    assert ada.startswith("farm_")
    assert len(ada) == len("farm_") + 43
    assert (whose(ada), whose(bob), whose("farm_")) == ("Ada", "the night batch", None)
    # When one is used
    with sessions.read_session() as session:
        found = tokens.find_by_digest(session, tokens.compute_digest(ada))
    assert found
    tokens.note_use(found)
    # Then the list says so, and shows no token
    said = token("list").stdout
    assert [line.split()[-1] == "never" for line in said.splitlines()[1:]] == [False, True]
    assert ada not in said
    # And a revoked one is nobody's
    assert token("revoke", "Ada").stdout == "revoked\n"
    assert (whose(ada), whose(bob)) == (None, "the night batch")
    assert token("create", "Ada").exit_code == 0
    # Each leaves a line in the audit
    with sessions.read_session() as session:
        lines = [(each.action, each.subject) for each in audit.list_newest(session).lines]
    assert lines == [
        ("make token", "Ada"),
        ("revoke token", "Ada"),
        ("make token", "the night batch"),
        ("make token", "Ada"),
    ]


@pytest.mark.usefixtures("database")
def test_what_cannot_be_is_told_in_one_line() -> None:
    assert token("list").stdout == "Nobody has a token.\n"
    assert token("revoke", "Eve").output == "Error: Nobody called 'Eve' has a token.\n"
    token("create", "Ada")
    assert "has a token already; revoke it first" in token("create", "Ada").output
    assert "must have 1 to 80 characters" in token("create", "x" * 81).output
