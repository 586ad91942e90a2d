"""The migrations on both databases: they make what the models say, and can be undone."""

from __future__ import annotations

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from farm import db
from farm.errors import DatabaseOutOfDate
from tests.test_jobs import make_job, state

pytestmark = pytest.mark.usefixtures("empty_database")


def test_there_is_one_head() -> None:
    assert len(ScriptDirectory.from_config(db.alembic_config()).get_heads()) == 1


def test_the_migrations_make_what_the_models_say() -> None:
    db.upgrade()
    command.check(db.alembic_config())  # raises if autogenerate would add anything


def test_an_upgrade_with_jobs_in_place_keeps_them() -> None:
    db.upgrade()
    job_id = make_job()
    db.upgrade()
    assert state(job_id).value == "queued"


def test_a_downgrade_to_nothing_leaves_nothing() -> None:
    db.upgrade()
    make_job()
    command.downgrade(db.alembic_config(), "base")
    assert inspect(db.engine()).get_table_names() == ["alembic_version"]


def test_the_farm_refuses_a_database_that_is_behind_and_says_what_to_type() -> None:
    with pytest.raises(DatabaseOutOfDate, match="farm db upgrade"):
        db.check_version()
    db.upgrade()
    db.check_version()
