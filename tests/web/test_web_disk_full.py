"""On a disk that is nearly full nothing new is taken, on one without a free byte what makes room still
works; pages and /healthz say how it is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from farm.database import reserve, sessions
from farm.database.disk import Room, find_room, list_disks
from farm.database.models import Job, State
from farm.database.setup import install
from farm.people import tokens
from farm.storage import storage
from tests.conftest import fresh_settings
from tests.faults.disk import full, small_disk
from tests.web import bad_pictures
from tests.web.conftest import bring_to, token
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
            assert refused.status_code == 507
            assert "The farm's disk is full" in refused.get_json()["detail"]
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


class Disk:
    """The disk of the farm under test, as `shutil` tells of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free = 100 * 10**9
        usage = SimpleNamespace(disk_usage=lambda _: SimpleNamespace(total=10**12, free=self.free))
        monkeypatch.setattr("farm.database.disk.shutil", usage)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    monkeypatch.setenv("FARM_DISK_RESERVE_GB", "2")
    fresh_settings()
    return Disk(monkeypatch)


def test_a_nearly_full_farm_says_so_and_takes_nothing_new(
    disk: Disk,
    client: FlaskClient,
    post_api: Callable[..., TestResponse],
    post_form: Callable[..., TestResponse],
    make_job: Callable[..., Job],
) -> None:
    # Given a farm at work, with room
    failed, waiting = make_job(State.FAILED), make_job()
    key = {"Idempotency-Key": "mine"}
    sent = post_api(headers=key)
    assert sent.status_code == 202
    assert "nearly full" not in client.get("/jobs").text
    # When the disk fills
    disk.free = 1_900_000_000
    # Then every page says so, and health
    for path in ("/", "/jobs", "/gallery", "/workers", f"/jobs/{waiting.id}"):
        assert "nearly full: 1.9 GB are free" in client.get(path).text, path
    assert client.get("/healthz").get_json() | {"workers": 0} == {
        "status": "disk nearly full",
        "database": "ok",
        "disk": "nearly full",
        "workers": 0,
    }
    # Nothing new is taken, in clear words, and a form comes back as it was
    keys = storage().list_keys()
    for refused in (
        post_api(content=bad_pictures.photo(130, 90)),
        client.post(f"/api/v1/jobs/{failed.id}/retry"),
    ):
        assert refused.status_code == 507
        assert "takes no new pictures" in refused.get_json()["detail"]
    again = client.post(f"/jobs/{failed.id}/retry", data={"csrf_token": token(client)})
    assert again.status_code == 303
    assert "It was not tried again" in client.get(again.location).text
    form = post_form(name="My own name")
    assert form.status_code == 507
    assert "takes no new pictures" in form.text
    assert 'value="My own name"' in form.text
    together = client.post("/api/v1/jobs/bulk", json={"action": "retry", "ids": [failed.id]})
    assert "nearly full" in together.get_json()["items"][0]["reason"]
    assert storage().list_keys() == keys
    # What was sent before is still known by its key, and what is under way goes on
    assert post_api(headers=key).get_json()["id"] == sent.get_json()["id"]
    bring_to(waiting, State.RUNNING)


def test_a_disk_that_was_nearly_full_needs_a_little_more_room_than_it_takes_to_be(
    disk: Disk, client: FlaskClient
) -> None:
    def read() -> str:
        return str(client.get("/healthz").get_json()["disk"])

    found = []
    for disk.free in (2_100_000_000, 1_900_000_000, 2_100_000_000, 2_600_000_000, 2_100_000_000):
        found.append(read())
    assert found == ["ok", "nearly full", "nearly full", "ok", "ok"]


def test_a_farm_without_a_reserve_takes_pictures_to_the_end(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, post_api: Callable[..., TestResponse]
) -> None:
    monkeypatch.setenv("FARM_DISK_RESERVE_GB", "0")
    fresh_settings()
    disk.free = 50_000_000
    assert post_api().status_code == 202


def test_of_a_small_disk_a_quarter_at_most_stays_free(home: Path, disk: Disk) -> None:
    (found,) = list_disks()
    assert (found.free, found.reserve) == (disk.free, 2 * 10**9)
    usage = SimpleNamespace(total=4 * 10**9, free=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("farm.database.disk.shutil", SimpleNamespace(disk_usage=lambda _: usage))
        assert [each.reserve for each in list_disks()] == [10**9]


def test_with_pictures_and_rows_elsewhere_there_is_no_disk_to_watch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FARM_STORAGE", "s3://bucket/farm")
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    fresh_settings()
    assert list_disks() == []
    assert find_room() is Room.OK
