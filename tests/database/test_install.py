"""Making database and storage ready, and what stands in the way of it in one line each."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import text

from benchmarks.testbed.processes import FARM, free_port
from farm.database import sessions
from farm.database.setup import install
from farm.errors import StorageAway
from farm.jobs.submit import submit
from farm.recipe import Recipe
from farm.storage import MARK, storage
from tests.conftest import fresh_settings
from tests.jobs.test_submit import picture


@pytest.mark.usefixtures("any_storage", "farm_with_tables")
def test_a_storage_without_its_pictures_is_not_taken_until_somebody_says_so() -> None:
    install()
    install()
    job = submit(picture(0), [picture(1)], Recipe())
    # A farm from before there were marks is marked
    storage().delete(MARK)
    install()
    assert storage().is_marked()
    # An empty place instead of it is not
    for key in [*storage().list_keys(), MARK]:
        storage().delete(key)
    with pytest.raises(StorageAway, match=f"Is its volume mounted.*named {MARK}"):
        install()
    for refused in (lambda: storage().put("a", b"1"), lambda: storage().get(job.content.key)):
        with pytest.raises(StorageAway, match=MARK):
            refused()
    assert storage().list_keys() == []
    # Unless an operator puts the mark there
    storage().mark()
    install()
    storage().put("a", b"1")


@pytest.mark.usefixtures("farm_with_tables")
def test_a_bucket_that_is_not_there_is_named(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARM_STORAGE", "s3://no-such-bucket/farm")
    fresh_settings()
    with pytest.raises(StorageAway, match="no-such-bucket"):
        install()


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*FARM, *command],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


# `up` makes what is missing before it looks; the others do nothing before.
REFUSALS = [("up", "ahead"), ("up", "no database"), ("up", "a file")]
REFUSALS += [("db upgrade", "no database"), ("janitor", "ahead")]


@pytest.mark.processes
@pytest.mark.parametrize(("command", "wrong"), REFUSALS)
def test_a_database_that_cannot_be_used_is_one_line(
    command: str, wrong: str, farm_home: Path, weights_dir: Path
) -> None:
    match wrong:
        case "ahead":
            install()
            with sessions.write_session() as session:
                session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
            told = "ahead"
        case "no database":
            farm_home.mkdir()
            (farm_home / "farm.db").write_bytes(b"not a database, whatever its name says" * 100)
            told = "not a database"
        case _:
            farm_home.write_bytes(b"")
            told = str(farm_home)
    environment = {"FARM_HOME": str(farm_home), "FARM_WEIGHTS_DIR": str(weights_dir)}
    done = run(*command.split(), PORT=str(free_port()), **environment)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
