"""The schema's version: Alembic's migrations, applied and checked."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from farm.database.sessions import check_exists, engine
from farm.errors import DatabaseOutOfDate

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


def make_alembic_config() -> Config:
    """Return Alembic's configuration; `migrations/env.py` takes the URL from the settings."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def upgrade() -> None:
    """Bring the tables to this version of the farm.

    Raises:
        DatabaseOutOfDate: they are of a newer one.
    """
    _read_revision()
    command.upgrade(make_alembic_config(), "head")


def check_version() -> None:
    """Check that the tables are of this version of the farm.

    Raises:
        NoFarm: there is no database. DatabaseOutOfDate: the tables are behind or ahead; the message has
            the command to run.
    """
    check_exists()
    found, head = _read_revision(), _read_scripts().get_current_head()
    if found != head:
        raise DatabaseOutOfDate(
            f"The database is at revision {found or 'none'}, this version of the farm needs {head}: "
            "run `farm db upgrade`."
        )


def _read_scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(make_alembic_config())


def _read_revision() -> str | None:
    """Return the database's revision; None: it has no tables yet.

    Raises:
        DatabaseOutOfDate: it is of a newer version of the farm.
    """
    with engine().connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found and found not in {script.revision for script in _read_scripts().walk_revisions()}:
        raise DatabaseOutOfDate(
            f"The database is ahead: this version of the farm does not know its revision {found}. "
            "Install the newer version."
        )
    return found
