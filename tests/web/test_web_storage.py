"""What the storage holds and what would be deleted, as operators see it and programs ask for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Page, expect
from sqlalchemy import update

from farm.database import sessions
from farm.database.base import now
from farm.database.models import Job, State, Upload
from farm.database.people import Role
from farm.jobs import actions, ratings
from farm.people import accounts
from tests.conftest import fresh_settings
from tests.web.test_web_people import closed, make_person  # noqa: F401 - a fixture
from web import create_app

MakeJob = Callable[..., Job]
GB = 10**9


def set_job(job: Job, **values: Any) -> None:
    with sessions.write_session() as session:
        session.execute(update(Job).where(Job.id == job.id).values(values))


def age(job: Job, days: float, size: int) -> None:
    """A job that was submitted, and ended, so long ago, whose files have so many bytes."""
    moment = now() - timedelta(days=days)
    set_job(job, created_at=moment, finished_at=moment, stored_bytes=size)


@pytest.fixture
def jobs(make_job: MakeJob) -> dict[str, Job]:
    """Pictures of 5 GB, one of them old and with stars, and one that failed."""
    made = {
        "old": make_job(State.SUCCEEDED),
        "new": make_job(State.SUCCEEDED),
        "failed": make_job(State.FAILED),
        "waiting": make_job(),
    }
    age(made["old"], 40, 3 * GB)
    age(made["new"], 1, GB)
    set_job(made["failed"], stored_bytes=GB)
    with sessions.write_session() as session:
        session.execute(update(Upload).values(size_bytes=1000))
        session.add(Upload(sha256="f" * 64, width=9, height=9, size_bytes=GB))
        ratings.rate(session, made["old"].id, ratings.Rater.from_name("me"), 5)
    return made


def test_programs_are_told_what_is_held_and_what_would_go(
    jobs: dict[str, Job], client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = client.get("/api/v1/storage").get_json()
    held = found["held"]
    assert held["finished"] == {"count": 2, "size_bytes": 4 * GB}
    assert held["unfinished"] == {"count": 1, "size_bytes": GB}
    assert held["at_work"] == {"count": 1, "size_bytes": 0}
    assert held["uploads"] == {"count": 3, "size_bytes": 3000}
    assert held["unused_uploads"] == {"count": 1, "size_bytes": GB}
    assert held["total_bytes"] == 6 * GB + 3000
    assert found["room"] == "ok"
    assert found["disks"][0]["free_bytes"] > found["disks"][0]["reserve_bytes"] > 0
    # By default all is kept; other limits can be tried
    assert found["retention"]["message"] == "nothing"
    tried = client.get("/api/v1/storage?keep_days=30").get_json()["retention"]
    assert (tried["pictures"], tried["starred"], tried["size_bytes"]) == (1, 1, 3 * GB)
    assert "1 picture, 3.0 GB" in tried["message"]
    # The operator's own stand where none are tried
    monkeypatch.setenv("FARM_KEEP_GB", "1")
    fresh_settings()
    own = client.get("/api/v1/storage").get_json()["retention"]
    assert (own["keep_days"], own["keep_bytes"], own["pictures"]) == (0, GB, 3)
    none = client.get("/api/v1/storage?keep_gb=0").get_json()["retention"]
    assert (none["keep_bytes"], none["pictures"]) == (0, 0)
    # And nothing was deleted by asking
    assert client.get("/api/v1/storage").get_json()["held"] | {"measured_at": 0} == held | {
        "measured_at": 0
    }


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "much", "1e9", "\x00"])
def test_a_wrong_limit_is_named(client: FlaskClient, value: str) -> None:
    for name in ("keep_days", "keep_gb"):
        refused = client.get("/api/v1/storage", query_string={name: value})
        assert refused.status_code == 422
        assert refused.get_json()["errors"][0]["field"] == name
        page = client.get("/operators/storage", query_string={name: value})
        assert page.status_code == 422
        assert f"<p>{name} " in page.text


def test_the_page_draws_what_takes_how_much(
    jobs: dict[str, Job], client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = client.get("/operators/storage").text
    for words in (
        "Finished pictures and films <b>4.0 GB</b>",
        "Uploads that nobody uses <b>1.0 GB</b>",
        "Disk of the pictures",
        "Everything is kept.",
    ):
        assert words in page
    bars = re.findall(r"<svg class=\"stack\".*?</svg>", page, re.DOTALL)
    assert len(bars) == 2
    for bar in bars:
        places = [
            (float(x), float(width))
            for x, width in re.findall(r'<rect class="part-\w+" x="([\d.]+)" width="([\d.]+)"', bar)
        ]
        assert all(width > 5 for _, width in places)
        for (x, width), (after, _) in pairwise(places):
            assert after == pytest.approx(x + width, abs=0.05)
        assert sum(width for _, width in places) == pytest.approx(1000, abs=0.1)
    # What the operator set is said, and what goes by it
    monkeypatch.setenv("FARM_KEEP_DAYS", "30")
    fresh_settings()
    page = client.get("/operators/storage").text
    assert "Kept: pictures for 30 days." in page
    assert "This goes now: <b>1 picture, 3.0 GB" in page


def test_it_is_for_operators(closed: None, make_job: MakeJob) -> None:  # noqa: F811
    user, operator = make_person("Ada", Role.USER), make_person("Olga", Role.OPERATOR)
    client = create_app().test_client()
    for path in ("/api/v1/storage", "/operators/storage", "/operators/storage/held"):
        assert client.get(path, headers=user).status_code == 403, path
        assert client.get(path, headers=operator).status_code == 200, path
    # Where there are accounts it says whose the bytes are, most first
    set_job(make_job(State.SUCCEEDED), stored_bytes=GB)
    with sessions.read_session() as session:
        ada = accounts.get(session, "Ada").id
    set_job(make_job(State.SUCCEEDED), stored_bytes=3 * GB, owner_id=ada)
    page = client.get("/operators/storage", headers=operator).text
    assert re.findall(r"<bdi>(.*?)</bdi></b>\s*<p class=\"gauge\"><span>(.*?)<", page) == [
        ("Ada", "3.0 GB"),
        ("Nobody&#39;s", "1.0 GB"),
    ]
    # Whose pages alone lead there
    link = 'href="/operators/storage"'
    assert link not in client.get("/workers", headers=user).text
    assert link in client.get("/workers", headers=operator).text


@pytest.mark.browser
def test_limits_are_tried_and_the_bars_follow(jobs: dict[str, Job], served: str, page: Page) -> None:
    page.goto(f"{served}/operators/storage")
    expect(page.locator("#held")).to_contain_text("Finished pictures and films 4.0 GB 2")
    # When an operator tries a limit
    page.get_by_label("Days after a job ended").fill("30")
    page.get_by_role("button", name="Show what would go").click()
    expect(page.locator(".would-go")).to_contain_text("this would go now: 1 picture, 3.0 GB")
    # And deletes it
    actions.delete(jobs["old"].id)
    # Then the bars show it by themselves
    expect(page.locator("#held")).to_contain_text("Finished pictures and films 1.0 GB 1", timeout=60_000)
