"""Commands for operators where there is no farm, and the commands of docs/operating.md in a new one."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from farm.cli import main
from farm.database import sessions
from tests.conftest import fresh_settings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without a farm, where commands run."""
    monkeypatch.chdir(tmp_path)
    for name in ("FARM_HOME", "DATABASE_URL", "FARM_STORAGE", "FARM_WEBHOOK_SECRET"):
        monkeypatch.delenv(name, raising=False)
    sessions.close()
    fresh_settings()
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.mark.parametrize(
    "command",
    [
        *(
            "people list",
            "people add Ada",
            "token list",
            "token create Ada",
            "token revoke Ada",
            "webhooks secret",
            "db check",
        ),
        *("web", "worker", "janitor", "worker-alive"),
    ],
)
def test_a_command_where_there_is_no_farm_says_so_and_makes_nothing(
    elsewhere: Path, command: str
) -> None:
    done = run(*command.split())
    assert done.exit_code == 1, done.output
    assert f"There is no farm in {elsewhere / 'var'}" in " ".join(done.output.split())
    assert list(elsewhere.iterdir()) == []


def test_a_secret_that_is_set_needs_no_home(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARM_WEBHOOK_SECRET", "sixteen-or-more-characters")
    fresh_settings()
    assert run("webhooks", "secret").output == "sixteen-or-more-characters\n"
    assert list(elsewhere.iterdir()) == []


def test_the_commands_of_the_page_for_operators_work_in_their_order_in_a_new_home(
    elsewhere: Path,
) -> None:
    commands = _read_commands((ROOT / "docs/operating.md").read_text())
    assert [" ".join(command) for command in commands[:2]] == ["db upgrade", "people add Ada"]
    assert ["token", "create", "batch", "--person", "Ada"] in commands
    for command in commands:
        done = run(*command)
        assert done.exit_code == 0, (command, done.output)
    assert "Nobody has a token." in run("token", "list").output


def _read_commands(page: str) -> list[list[str]]:
    """Return what the page tells operators to type after `farm`, without weights and long processes."""
    word = r"(?:[A-Z]?[a-z][a-z-]*|--[a-z-]+|[0-9]+)"  # no placeholder such as NAME
    groups = r"(?:db|people|token|webhooks)"
    found = re.findall(rf"(?:^|`)farm ({groups}(?: {word})+)(?=`| *#|$)", page, re.MULTILINE)
    return [shlex.split(command) for command in found]


def test_the_version_is_answered_before_anything_is_loaded() -> None:
    code = (
        "import sys; from farm.cli import main; main(['--version'], 'farm', standalone_mode=False)\n"
        "assert not {'sqlalchemy', 'rich', 'httpx', 'pydantic', 'numpy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("farm, version ")
