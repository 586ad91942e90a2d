"""Names of strangers on the command line: shown as they are, and never obeyed."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from farm.cli import main, remote, screen, wait
from farm.cli.client import Client
from farm.cli.screen import Screen
from farm.database import sessions
from farm.database.names import has_visible, make_printable
from farm.database.people import Person, Token
from farm.errors import InvalidInput
from farm.people import tokens
from tests.web.bad_pictures import photo

MARKUP = "[/] [red]x[/red] [link=http://evil.example]y[/link] :smile: [/b"
CONTROL = "bell\x07 \x1b[31mred\x1b]0;title\x07 \u202eflow"
NAMES = (MARKUP, CONTROL)


class FakeFarm(Client):
    """A farm whose only job has a name of a stranger's, and fails with an error of the same."""

    def __init__(self, name: str) -> None:
        super().__init__("http://127.0.0.1:1")
        self.job: dict[str, Any] = dict.fromkeys(("eta_seconds", "waiting_for", "error"))
        self.job |= {"id": "0" * 32, "name": name, "state": "queued", "progress": 0.0}
        self.job |= {"level": 0, "levels": 0, "recipe": {"format": "png"}}
        self.job |= {"links": {"self": f"/api/v1/jobs/{'0' * 32}"}}

    def submit(self, *_: Any, **__: Any) -> dict[str, Any]:
        return dict(self.job)

    def list_jobs(self, state: str | None = None) -> list[dict[str, Any]]:
        return [dict(self.job)]

    def find(self, any_id: str) -> dict[str, Any]:
        return self.job | {"error": self.job["name"]}

    def poll(self, row: dict[str, Any], tag: str | None) -> tuple[dict[str, Any], None]:
        return self.job | {"state": "failed", "error": self.job["name"]}, None


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    for each in (screen.console, screen.output):  # made at import, as wide as the terminal was then
        monkeypatch.setattr(each, "_width", 300)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_shown_as_it_is(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(remote, "connect", lambda url: FakeFarm(name))
    (tmp_path / "a.jpg").write_bytes(photo())
    pictures = [str(tmp_path / "a.jpg")] * 2
    for command in (["status"], ["status", "0" * 32], ["submit", *pictures, "--wait"]):
        done = CliRunner().invoke(main, command)
        assert done.exit_code in (0, 1, wait.FAILED), done.output
        assert make_printable(name) in done.output
        assert not set("\x1b\x07\u202e") & set(done.output)


def test_bars_and_lines_of_a_terminal_are_plain_text_too() -> None:
    terminal = Screen(stderr=True)
    terminal._file, terminal._force_terminal = io.StringIO(), True
    for name in NAMES:
        wait.wait_for_all(FakeFarm(name), [FakeFarm(name).job], None, terminal)
        assert make_printable(name) in terminal.file.getvalue()  # type: ignore[attr-defined]
        assert "\x1b[31mred" not in terminal.file.getvalue()  # type: ignore[attr-defined]


def test_a_list_of_tokens_is_plain_text(database: str) -> None:
    with sessions.write_session() as session:
        tokens.create(session, MARKUP)
        person = Person(name=CONTROL)  # as no version would take it today
        session.add(person)
        session.flush()
        session.add(Token(name=CONTROL, person_id=person.id, sha256="0" * 64))
    done = CliRunner().invoke(main, ["token", "list"])
    assert done.exit_code == 0
    for name in NAMES:
        assert make_printable(name) in done.output
    assert "\x1b" not in done.output


INVISIBLE = ("", "  ", "\u200d", "\u200b\u200c", "\u3164", "\u2800\u00ad", "\ufe0f", "\u034f \u115f")


@pytest.mark.parametrize("name", INVISIBLE)
def test_a_name_of_which_nothing_can_be_seen_is_none(name: str, database: str) -> None:
    assert not has_visible(name)
    with sessions.write_session() as session, pytest.raises(InvalidInput, match="can be seen"):
        tokens.create(session, name)


@pytest.mark.parametrize("name", [".", "é", "\u0301", "家", "👩\u200d👩\u200d👧", "\u200fא"])
def test_other_names_can_be_seen(name: str) -> None:
    assert has_visible(name)
