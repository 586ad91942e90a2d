"""The pages: what people see, and what they may do."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from farm.database import sessions
from farm.database.models import Job, State
from farm.fleet import operations, registry
from farm.jobs import attempts, claims
from farm.jobs.claims import Taker
from farm.jobs.states import AttemptRef
from farm.recipe import Recipe
from farm.recipe.typed_values import format_value
from farm.storage import storage
from tests.web import bad_pictures as bad
from tests.web.conftest import token
from web import words
from web.files import build_preview_tag, build_version
from web.pages import loss_chart
from web.pages.form import ADVANCED, PROMINENT

MakeJob = Callable[..., Job]
Post = Callable[..., TestResponse]
NO_JOB = "0" * 32


def all_jobs() -> list[Job]:
    with sessions.read_session() as session:
        return list(session.scalars(select(Job).order_by(Job.created_at)).unique())


def test_the_form_shows_every_setting_with_its_default_and_limits(client: FlaskClient) -> None:
    page = client.get("/").text

    for name in Recipe.model_fields:
        assert f'name="{name}"' in page, name
    size = re.search(r"<input[^>]*name=\"size\"[^>]*>", page)
    assert size
    assert 'value="512"' in size[0]
    assert 'min="64"' in size[0]
    assert 'max="7680"' in size[0]


def test_the_form_and_the_jobs_page_say_which_network_paints(
    client: FlaskClient, make_job: MakeJob
) -> None:
    page = client.get("/").text
    assert "auto: vgg19, else vgg16</option>" in page
    assert "vgg16-bsds, poorer</option>" in page
    assert "each paints differently" in page

    # Nothing before the job has begun; then the network that its attempt took
    job = make_job()
    assert 'id="network"' not in client.get(f"/jobs/{job.id}").text
    with sessions.write_session() as session:
        claim = claims.claim(session, Taker("worker-1", frozenset({job.work_class})))
        assert claim
        attempts.set_features(session, claim.attempt, "vgg16")
    page = client.get(f"/jobs/{job.id}").text
    assert 'id="network">network vgg16</span>' in page
    assert "auto (vgg16)" in page
    assert "each paints differently" in page


def test_a_good_form_leads_to_the_job(post_form: Post, client: FlaskClient) -> None:
    response = post_form(name="Bridge", balance="0", tv_weight="0.2", iterations="20")

    (job,) = all_jobs()
    assert response.status_code == 303
    assert response.headers["Location"] == f"/jobs/{job.id}"
    assert (job.name, job.recipe["tv_weight"], job.recipe["iterations"]) == ("Bridge", 0.2, [20])
    assert job.recipe["content_weight"] == Recipe().content_weight
    assert "Bridge" in client.get(response.headers["Location"]).text


@pytest.mark.parametrize(("balance", "factor"), [("-4", 16), ("4", 1 / 16), ("1", 1 / 2)])
def test_the_balance_sets_the_photographs_weight(balance: str, factor: float, post_form: Post) -> None:
    post_form(balance=balance)

    assert all_jobs()[0].recipe["content_weight"] == pytest.approx(Recipe().content_weight * factor)


def test_a_page_of_0_1_that_is_sent_after_the_upgrade_means_what_it_said(post_form: Post) -> None:
    # Given a form that knows no versions and sends all its settings
    known = [name for name in (*PROMINENT, *ADVANCED) if name != "grown_from"]
    usual = {name: format_value(getattr(Recipe(version="0.1"), name)) for name in known}
    post_form(**usual | {"balance": "0", "content_weight": ""})
    recipe = all_jobs()[0].recipe
    assert (recipe["version"], recipe["content_weight"], recipe["tv_weight"]) == ("0.1", 0.1, 2.0)


def test_a_typed_content_weight_goes_before_the_balance(post_form: Post) -> None:
    post_form(balance="4", content_weight="0.3")

    assert all_jobs()[0].recipe["content_weight"] == 0.3


def test_samples_can_be_used_without_any_file(client: FlaskClient) -> None:
    data = {"csrf_token": token(client), "size": "96", "content_pick": "street"}
    response = client.post("/", data=data | {"style_pick": ["mosaic", "ink_wash"]})

    assert response.status_code == 303
    assert len(all_jobs()[0].styles) == 2
    assert client.get("/samples/street").content_type == "image/jpeg"


@pytest.mark.parametrize("path", ["/", "/explore"])
def test_a_form_that_is_sent_twice_is_one_request_until_something_in_it_changes(
    path: str, client: FlaskClient
) -> None:
    # Given a form that is filled in, as it was shown
    once = re.search(r'name="once"[^>]*value="(\w{32})"', client.get("/").text)
    assert once
    form = {"once": once[1], "size": "96", "content_pick": "street", "style_pick": "mosaic"}
    form |= {"across": "tv", "down": "balance"}

    def sent(**changes: str) -> str:
        return client.post(path, data=form | {"csrf_token": token(client)} | changes).location

    # Then it is the same however often it is sent, and says so; changed, or shown anew, it is another
    first = sent()
    assert "sent this form before" not in client.get(first).text
    assert sent() == first
    assert "sent this form before" in client.get(first).text
    assert len({first, sent(name="Street"), sent(once=""), sent(once="")}) == 4


def test_a_job_is_made_again_with_changes_from_the_same_pictures(
    make_job: MakeJob, client: FlaskClient
) -> None:
    # Given a job of two paintings with settings of its own
    first = make_job(
        content_weight=2 * Recipe().content_weight, seed=7, style_layers={"relu1_1": 2.0, "relu3_1": 0.5}
    )

    # When its form is opened again
    page = client.get(f"/?from={first.id}&size=128").text
    assert 'value="relu1_1=2,relu3_1=0.5"' in page
    assert re.search(r'name="size"[^>]*value="128"', page)
    assert re.search(r'name="balance"[^>]*value="-1"', page)

    # When it is sent with one painting left out
    data = {"csrf_token": token(client), "from_job": first.id, "size": "128", "balance": "-1"}
    data |= {"content_pick": "kept", "style_pick": "kept-1"}
    assert client.post("/", data=data).status_code == 303

    # Then the new job has the same photograph and the other painting
    again = all_jobs()[-1]
    assert again.content.sha256 == first.content.sha256
    assert [style.upload_sha256 for style in again.styles] == [first.styles[1].upload_sha256]
    assert again.width == 128


@pytest.mark.parametrize("harm", ["gone", "damaged"])
def test_a_kept_picture_that_is_gone_is_named(harm: str, make_job: MakeJob, client: FlaskClient) -> None:
    job = make_job()
    if harm == "gone":
        storage().delete(job.content.key)
    else:
        storage().put(job.content.key, storage().get(job.content.key)[:-1])
    data = {"csrf_token": token(client), "from_job": job.id, "content_pick": "kept"}

    response = client.post("/", data=data | {"style_pick": "kept-0"})

    assert response.status_code == 422
    assert "no longer whole in storage" in response.text


@pytest.mark.parametrize("state", list(State))
def test_a_job_page_shows_every_state(state: State, make_job: MakeJob, client: FlaskClient) -> None:
    job = make_job(state, name="<b>Bridge</b>")

    response = client.get(f"/jobs/{job.id}")

    assert response.status_code == 200
    assert "&lt;b&gt;Bridge&lt;/b&gt;" in response.text
    assert f'class="state state-{state.value}">{words.STATES[state]}<' in response.text
    assert ('http-equiv="refresh"' in response.text) is not state.ended
    assert ("/cancel" in response.text) is (state in (State.QUEUED, State.RUNNING))
    assert ("/retry" in response.text) is (state in (State.FAILED, State.CANCELLED))
    assert ("Download PNG" in response.text) is (state is State.SUCCEEDED)
    assert 'role="img"' in response.text or state in (State.QUEUED, State.CANCELLED)


def test_the_loss_curve_is_one_drawing(make_job: MakeJob, client: FlaskClient) -> None:
    response = client.get(f"/jobs/{make_job(State.RUNNING).id}/losses.svg")

    assert response.mimetype == "image/svg+xml"
    assert response.text.count("<polyline") == 3
    assert "style=" not in response.text


def test_no_points_make_no_curve() -> None:
    assert loss_chart.draw_losses([]) == ""


def test_a_person_cancels_and_retries(make_job: MakeJob, client: FlaskClient) -> None:
    job = make_job()
    data = {"csrf_token": token(client)}

    assert client.post(f"/jobs/{job.id}/cancel", data=data).status_code == 303
    assert all_jobs()[0].state is State.CANCELLED
    assert client.post(f"/jobs/{job.id}/retry", data=data).status_code == 303
    assert all_jobs()[0].state is State.QUEUED


def test_cancelling_what_has_just_finished_is_explained(make_job: MakeJob, client: FlaskClient) -> None:
    job = make_job(State.SUCCEEDED)
    data = {"csrf_token": token(client)}

    response = client.post(f"/jobs/{job.id}/cancel", data=data, follow_redirects=True)

    assert response.status_code == 200
    assert "already succeeded" in response.text


def test_changes_without_a_token_are_refused(make_job: MakeJob, client: FlaskClient) -> None:
    job = make_job()

    for path in ("/", f"/jobs/{job.id}/cancel", f"/jobs/{job.id}/retry"):
        assert client.post(path, data={"csrf_token": "forged"}).status_code == 400
    assert [job.state for job in all_jobs()] == [State.QUEUED]


def test_workers_are_shown(client: FlaskClient) -> None:
    assert "Nobody is painting" in client.get("/workers").text
    with sessions.write_session() as session:
        card = registry.Machine("NVIDIA H100", 85_000_000_000, "cuda", 2, False, 60_000_000_000)
        registry.record_heartbeat(session, "attic", card)

    page = client.get("/workers").text

    assert "NVIDIA H100" in page
    assert "85 GB" in page
    assert "None" not in page


def test_a_worker_tells_its_state_its_use_and_its_job(make_job: MakeJob, client: FlaskClient) -> None:
    job = make_job(State.RUNNING)
    process = registry.Process(
        host="attic", instance="1.1.a", version="1", classes=("preview",), tags=("night",)
    )
    with sessions.write_session() as session:
        card = registry.Machine("NVIDIA H100", 85_000_000_000, "cuda", 2, False, 60_000_000_000)
        reading = registry.Reading(12_000_000_000, 0.37)
        registry.record_heartbeat(session, "gpu0@attic", card, process, reading)
        registry.set_job(session, "gpu0@attic", job.id)
        operations.mark_sick(session, "gpu0@attic", "it fell <off>")

    page = client.get("/workers").text

    words = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert "Sick" in words
    assert "it fell &lt;off&gt;" in words
    assert "73 GB of 85 GB" in words
    assert "37 %" in words
    assert "takes preview · #night" in words
    assert f'href="/jobs/{job.id}"' in page


def test_a_preview_is_kept_by_version(make_job: MakeJob, client: FlaskClient) -> None:
    job = make_job(State.RUNNING)
    address = f"/jobs/{job.id}/preview"

    first = client.get(address)
    known = {"If-None-Match": first.headers["ETag"]}

    assert "no-cache" in first.headers["Cache-Control"]
    assert client.get(address, headers=known).status_code == 304
    assert "immutable" in client.get(f"{address}?v={build_preview_tag(job)}").headers["Cache-Control"]
    with sessions.write_session() as session:
        attempts.record_preview(session, AttemptRef(job.id, 1))
    assert client.get(address, headers=known).status_code == 200


def test_a_download_is_named_by_us(make_job: MakeJob, client: FlaskClient) -> None:
    job = make_job(State.SUCCEEDED, name='Brücke "../../x"\r\nSet-Cookie: a=b')

    response = client.get(f"/jobs/{job.id}/result?v={build_version(job)}")

    name = f"brucke-x-set-cookie-a-b-{job.id[:8]}.png"
    own = f"Br%C3%BCcke%20-..-..-x-%20Set-Cookie-%20a-b-{job.id[:8]}.png"
    disposition = f"attachment; filename=\"{name}\"; filename*=UTF-8''{own}"
    assert response.headers["Content-Disposition"] == disposition
    assert "immutable" in response.headers["Cache-Control"]


@pytest.mark.parametrize(
    ("format", "size", "key", "mime"),
    [
        ("png", 96, "preview.jpg", "image/jpeg"),
        ("tiff16", 2048, "view.jpg", "image/jpeg"),
        ("webp", 2048, "result.webp", "image/webp"),
        ("jpeg", 96, "result.jpg", "image/jpeg"),
    ],
)
def test_a_page_shows_the_lightest_file_of_full_size(
    format: str, size: int, key: str, mime: str, make_job: MakeJob, client: FlaskClient
) -> None:
    job = make_job(State.SUCCEEDED, format=format, size=size)
    storage().put(f"jobs/{job.id}/1/{key}", b"the picture")

    with client.get(f"/jobs/{job.id}/full?v={build_version(job)}") as response:
        assert (response.data, response.content_type) == (b"the picture", mime)
    assert "attachment" not in response.headers.get("Content-Disposition", "")
    assert "immutable" in response.headers["Cache-Control"]


def test_a_large_picture_from_before_there_were_views_is_shown_itself(
    make_job: MakeJob, client: FlaskClient
) -> None:
    job = make_job(State.SUCCEEDED, size=2048)
    with client.get(f"/jobs/{job.id}/full") as response:
        assert response.content_type == "image/png"


def test_a_picture_that_is_not_finished_has_no_full_size(make_job: MakeJob, client: FlaskClient) -> None:
    assert client.get(f"/jobs/{make_job(State.RUNNING).id}/full").status_code == 409


def test_pictures_that_are_not_there_are_not_found(make_job: MakeJob, client: FlaskClient) -> None:
    job = make_job(State.SUCCEEDED)
    for key in storage().list_keys():
        storage().delete(key)

    for tail in ("preview", "content", "styles/0", "styles/9", "styles/-1", "result", "full"):
        assert client.get(f"/jobs/{job.id}/{tail}").status_code == 404, tail
    for name in ("..%2fmake.py", "nobody", "make"):
        assert client.get(f"/samples/{name}").status_code == 404, name


@pytest.mark.parametrize("job_id", [NO_JOB, "1", "..%2f..%2fetc", "%00" * 16])
@pytest.mark.parametrize(
    "tail", ["", "/preview", "/content", "/styles/0", "/result", "/view", "/losses.svg"]
)
def test_an_unknown_job_is_a_page_not_found(job_id: str, tail: str, client: FlaskClient) -> None:
    response = client.get(f"/jobs/{job_id}{tail}")

    assert response.status_code == 404
    assert "Style Farm" in response.text


def test_security_headers_are_on_everything(make_job: MakeJob, client: FlaskClient) -> None:
    job = make_job(State.SUCCEEDED)
    paths = [
        "/",
        "/jobs",
        "/jobs/list",
        "/gallery",
        f"/jobs/{job.id}",
        "/workers",
        "/nowhere",
        "/healthz",
        "/openapi.json",
    ]
    paths += [f"/jobs/{job.id}/view", f"/jobs/{job.id}/full"]
    paths += [f"/jobs/{job.id}/result", "/static/site.css", "/bootstrap/static/css/bootstrap.min.css"]
    paths += ["/api/v1/jobs", "/api/v1/nowhere"]

    for path in paths:
        with client.get(path) as response:
            headers = response.headers
        assert "default-src 'self'" in headers["Content-Security-Policy"], path
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"], path
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert headers["Referrer-Policy"] == "same-origin", path


def test_pages_hold_nothing_inline_and_nothing_foreign(make_job: MakeJob, client: FlaskClient) -> None:
    paths = [f"/jobs/{make_job(state).id}" for state in reversed(State)]
    paths.append(f"{paths[list(reversed(State)).index(State.SUCCEEDED)]}/view")

    for path in [
        *paths,
        "/",
        f"/?from={paths[0][6:]}",
        "/jobs",
        "/jobs?view=table",
        "/gallery",
        "/workers",
    ]:
        page = client.get(path).text
        assert not re.search(r"<style|\sstyle=|<script(?![^>]*\ssrc=)|\son\w+=", page), path
        assert not re.search(r'(src|href|action)="(https?:)?//', page), path


def test_a_broken_page_tells_no_secrets(app: Flask) -> None:
    @app.get("/broken")
    @app.get("/api/broken")
    def broken() -> str:
        raise RuntimeError("the secret")

    for path in ("/broken", "/api/broken"):
        response = app.test_client().get(path)
        assert response.status_code == 500
        assert "secret" not in response.text
        assert "Traceback" not in response.text


def test_health_tells_of_database_and_workers(client: FlaskClient, home: Path) -> None:
    well = {"status": "ok", "database": "ok", "disk": "ok", "workers": 0}
    assert client.get("/healthz").get_json() == well

    # When the database is damaged
    sessions.close()
    (home / "farm.db").write_bytes(b"no database" * 500)

    response = client.get("/healthz")
    assert response.status_code == 503
    assert response.get_json()["database"] == "unavailable"
    assert client.get("/api/v1/jobs").status_code in (500, 503)


def test_a_database_without_tables_is_a_page(client: FlaskClient, home: Path) -> None:
    sessions.close()
    for file in home.glob("farm.db*"):
        file.unlink()

    response = client.get("/jobs")

    assert response.status_code == 503
    assert response.headers["Retry-After"]


def test_a_storage_that_refuses_is_said_in_words_and_loses_nothing(post_form: Post, home: Path) -> None:
    (home / "storage").rename(home / "unmounted")

    response = post_form()

    assert response.status_code == 503
    assert "cannot store or fetch pictures just now" in response.text
    assert response.headers["Retry-After"]
    assert all_jobs() == []

    # When there is a storage again
    (home / "unmounted").rename(home / "storage")
    assert post_form().status_code == 303


@pytest.mark.slow
def test_the_web_part_needs_no_torch() -> None:
    code = (
        "import sys, web; sys.exit(any(m in sys.modules for m in ('torch', 'workers', 'farm.engine')))"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_photograph_is_shown_without_its_metadata(post_form: Post, client: FlaskClient) -> None:
    post_form(content=bad.rotated_photo())

    thumbnail = client.get(f"/jobs/{all_jobs()[0].id}/content").data

    assert b"Exif" not in thumbnail
