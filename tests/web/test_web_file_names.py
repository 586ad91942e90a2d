"""File names of uploads: kept, shown, a job's name where it has none, and in commands that run."""

from __future__ import annotations

import html
import io
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from farm.database import sessions
from farm.database.models import Job
from farm.jobs import states
from farm.jobs.names import clean_file_name, derive_name
from tests.web import bad_pictures
from tests.web.conftest import token


def post(client: FlaskClient, content: str, *styles: str, **fields: str) -> TestResponse:
    """Send pictures by these names through the API."""
    photo, painting = bad_pictures.photo(), bad_pictures.photo(100, 100)
    files = {
        "content": (io.BytesIO(photo), content),
        "style": [(io.BytesIO(painting), name) for name in styles],
    }
    recipe = {"recipe": '{"size": 96, "preset": "draft"}'}
    return client.post("/api/v1/jobs", data=files | recipe | fields)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("C:\\Photos\\Mill  at dusk.JPG", "Mill at dusk.JPG"),
        ("../../etc/passwd", "passwd"),
        ("Mühle 水車.jpg", "Mühle 水車.jpg"),
        ("\x1b[31m.jpg", None),
        ("", None),
        (None, None),
    ],
)
def test_a_file_name_is_kept_without_its_folders(sent: str | None, kept: str | None) -> None:
    assert clean_file_name(sent) == kept


def test_a_job_without_a_name_bears_the_photographs(client: FlaskClient) -> None:
    assert post(client, "Mill at dusk.jpg", "a.png").get_json()["name"] == "Mill at dusk"
    assert post(client, "b.jpg", "a.png", name="My mill").get_json()["name"] == "My mill"
    assert derive_name([None, "painting.jpg"]) == derive_name([]) == "Untitled"


def test_the_page_shows_names_and_sends_the_files_under_them(client: FlaskClient) -> None:
    job = post(client, "Mühle.jpg", "Starry Night.jpg").get_json()
    page = client.get(f"/jobs/{job['id']}").text
    assert "Mühle.jpg" in page
    assert "Starry Night.jpg" in page

    whole = client.get(f"/jobs/{job['id']}/content/whole")
    assert "inline" in whole.headers["Content-Disposition"]
    saved = client.get(f"/jobs/{job['id']}/styles/0/whole?download=1")
    assert saved.headers["Content-Disposition"] == 'attachment; filename="Starry Night.jpg"'
    assert saved.data == bad_pictures.photo(100, 100)


def test_a_job_is_renamed_on_its_page_and_by_programs(client: FlaskClient) -> None:
    job = post(client, "Mill.jpg", "a.png").get_json()
    form = {"csrf_token": token(client), "name": "The  Old Mill"}
    page = client.post(f"/jobs/{job['id']}/name", data=form, follow_redirects=True)
    assert '<h1 dir="auto">The Old Mill</h1>' in page.text
    assert [item["id"] for item in client.get("/api/v1/jobs?q=old").get_json()["items"]] == [job["id"]]

    renamed = client.patch(f"/api/v1/jobs/{job['id']}", json={"name": "Mill again"})
    assert (renamed.status_code, renamed.get_json()["name"]) == (200, "Mill again")
    for wrong in ("", " ", "x" * 121):
        assert client.patch(f"/api/v1/jobs/{job['id']}", json={"name": wrong}).status_code == 422
    answer = client.post(f"/jobs/{job['id']}/name", data=form | {"name": " "}, follow_redirects=True)
    assert "The name is empty" in answer.text
    assert client.patch(f"/api/v1/jobs/{'0' * 32}", json={"name": "Mill"}).status_code == 404


def test_made_again_the_names_stay(client: FlaskClient, post_form: Callable[..., TestResponse]) -> None:
    job = post(client, "Mill.jpg", "Night.jpg").get_json()
    pick = {"from_job": job["id"], "content_pick": "kept", "style_pick": "kept-0", "name": ""}
    form = {"csrf_token": token(client), "size": "64", "preset": "draft"} | pick
    again = client.post("/", data=form).headers["Location"].rpartition("/")[2]
    with sessions.read_session() as session:
        found = states.get(session, again)
        assert (found.name, found.content_name) == ("Mill", "Mill.jpg")
        assert [style.file_name for style in found.styles] == ["Night.jpg"]


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl")
def test_the_copied_command_runs_as_it_is(served: str, client: FlaskClient, tmp_path: Path) -> None:
    # Given a job whose files have names that a shell and curl read in their own way
    job = post(client, '-it\'s; a "mill".jpg', "night.jpg", "night.jpg").get_json()
    page = client.get(f"/jobs/{job['id']}", base_url=served).text
    found = re.search(r'id="command-curl">(.*?)</pre>', page, re.S)
    assert found

    # When its command is run in an empty folder
    folder = tmp_path / "empty"
    folder.mkdir()
    command = html.unescape(found[1])
    bash = ["bash", "-e", "-c", command]
    done = subprocess.run(bash, cwd=folder, text=True, capture_output=True, timeout=20)

    # Then there is another job of the same pictures
    assert done.returncode == 0, done.stderr
    with sessions.read_session() as session:
        jobs = [states.get(session, each.id) for each in session.query(Job).all()]
        assert len(jobs) == 2
        one, other = ([each.upload_sha256 for each in job.pictures] for job in jobs)
        assert one == other
