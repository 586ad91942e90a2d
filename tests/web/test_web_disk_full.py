"""On a disk without a free byte, what makes room still works, and /healthz says how it is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from farm import tokens
from farm.database import reserve, sessions
from farm.database.models import Job, State
from farm.database.setup import install
from farm.storage import storage
from tests.conftest import fresh_settings
from tests.faults.disk import full, small_disk
from web import create_app
from workers.janitor import Janitor


def test_jobs_are_cancelled_and_deleted_on_a_full_disk(
    tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_job: Callable[..., Job]
) -> None:
    home = tmp_path / "small"
    with small_disk(home, 64):
        # Given a farm with jobs, on a disk that others have filled
        monkeypatch.setenv("FARM_HOME", str(home))
        monkeypatch.setenv("FARM_REQUIRE_TOKEN", "1")
        fresh_settings()
        shutil.copyfile(tables, home / "farm.db")
        install()
        states = (State.SUCCEEDED, State.FAILED, State.RUNNING, State.QUEUED)
        painted, failed, running, waiting = (make_job(state) for state in states)
        with sessions.write_session() as session:
            token = tokens.create(session, "Ada")
        client = create_app().test_client()
        bearer = {"Authorization": f"Bearer {token}"}
        assert client.get("/healthz").get_json()["disk"] == "ok"
        with full(home):
            # Then it says so
            health = client.get("/healthz")
            assert (health.status_code, health.get_json()["status"]) == (200, "disk full")
            # Nothing new is taken
            refused = client.post(f"/api/v1/jobs/{failed.id}/retry", headers=bearer)
            assert refused.status_code == 503
            # And what makes room is done
            for job in (running, waiting):
                answer = client.post(f"/api/v1/jobs/{job.id}/cancel", headers=bearer)
                assert answer.status_code == 200, answer.text
            for job in (painted, failed, waiting):
                assert client.delete(f"/api/v1/jobs/{job.id}", headers=bearer).status_code == 204
                assert storage().list_keys(f"jobs/{job.id}") == []
            assert client.get("/healthz").get_json()["disk"] == "full"
            assert not (home / reserve.NAME).exists()
        # When there is room again, the reserve is made again
        Janitor().run_round()
        assert (home / reserve.NAME).stat().st_size == reserve.BYTES
        assert client.get("/healthz").get_json()["status"] == "ok"
        sessions.close()
    fresh_settings()
