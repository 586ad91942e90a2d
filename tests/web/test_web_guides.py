"""Masks, what stays and a start, through the API, the command line and the form."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from farm.cli import main
from farm.database import sessions
from farm.database.models import Job
from farm.jobs import states
from tests.jobs.test_guides import half
from tests.web import bad_pictures
from tests.web.conftest import token

Post = Callable[..., TestResponse]
PAINTINGS = [bad_pictures.photo(100, 100), bad_pictures.photo(110, 100)]
MASKS = half("left", 160, 120), half("right", 160, 120)


def file(data: bytes) -> tuple[io.BytesIO, str]:
    return io.BytesIO(data), "any.png"


def sent(**others: Any) -> dict[str, Any]:
    return {
        "mask": [file(mask) for mask in MASKS],
        "keep": file(MASKS[0]),
        "init": file(bad_pictures.photo(80, 60)),
    } | others


def test_a_job_names_all_pictures_that_it_is_made_from(post_api: Post, client: FlaskClient) -> None:
    job = post_api(styles=PAINTINGS, **sent()).get_json()
    assert [(each["role"], each["position"], each["width"]) for each in job["pictures"]] == [
        ("content", 0, 160),
        ("style", 0, 100),
        ("style", 1, 110),
        ("mask", 0, 160),
        ("mask", 1, 160),
        ("keep", 0, 160),
        ("init", 0, 80),
    ]
    assert client.get(job["links"]["self"]).get_json()["pictures"] == job["pictures"]
    assert client.get("/api/v1/jobs").get_json()["items"][0]["pictures"] is None
    for each in job["pictures"]:
        whole, small = client.get(each["url"]), client.get(each["thumbnail"])
        assert (whole.status_code, small.status_code, small.mimetype) == (200, 200, "image/jpeg")
    assert client.get(job["pictures"][4]["url"]).mimetype == "image/png"
    assert client.get(f"/jobs/{job['id']}/mask/2").status_code == 404


@pytest.mark.parametrize(
    ("others", "status", "field"),
    [
        ({"mask": [file(MASKS[0])]}, 422, "mask"),
        ({"mask": [file(MASKS[0]), file(b"hay")]}, 415, "mask 2"),
        ({"mask": [file(MASKS[0]), file(bad_pictures.huge_png())]}, 413, "mask 2"),
        ({"keep": file(half("left", 120, 120))}, 422, "keep"),
        ({"keep": [file(MASKS[0]), file(MASKS[1])]}, 422, "keep"),
        ({"masks": file(MASKS[0])}, 422, "masks"),
        ({"mask": [file(MASKS[0]), file(MASKS[0])], "keep": file(MASKS[0])}, 422, "mask keep"),
    ],
)
def test_what_is_wrong_is_answered_by_its_field(
    post_api: Post, nothing_left: Callable[[], None], others: dict, status: int, field: str
) -> None:
    response = post_api(styles=PAINTINGS, **sent(**others))
    assert response.status_code == status
    fields = [error["field"] for error in response.get_json()["errors"]]
    assert fields == (["mask", "keep"] if field == "mask keep" else [field])
    nothing_left()


def test_the_cells_of_an_exploration_have_them_too(client: FlaskClient) -> None:
    pictures = {"content": file(bad_pictures.photo()), "style": [file(each) for each in PAINTINGS]}
    grid = {"recipe": '{"size": 96}', "across_values": "[0]", "down_values": "[1, 2]"}
    made = client.post("/api/v1/explorations", data=pictures | sent() | grid)
    assert made.status_code == 202, made.text
    for cell in made.get_json()["cells"]:
        roles = [each["role"] for each in client.get(cell["job"]).get_json()["pictures"]]
        assert roles == ["content", "style", "style", "mask", "mask", "keep", "init"]


def test_the_command_line_sends_them(served: str, tmp_path: Path) -> None:
    files = {"photo": bad_pictures.photo(), "a": PAINTINGS[0], "b": PAINTINGS[1]}
    for name, data in (files | {"left": MASKS[0], "right": MASKS[1]}).items():
        (tmp_path / name).write_bytes(data)
    paths = [str(tmp_path / name) for name in files]
    left, right = str(tmp_path / "left"), str(tmp_path / "right")
    options = ["--mask", left, "--mask", right, "--keep", right, "--init", paths[0], "--url", served]

    done = CliRunner().invoke(main, ["submit", *paths, "--size", "96", *options])
    assert done.exit_code == 0, done.output
    job = find(done.output.split()[-1])
    assert [each.role.value for each in job.guides] == ["mask", "mask", "keep", "init"]
    assert job.recipe["init"] == "picture"

    # A setting is a setting, and what is neither is named
    done = CliRunner().invoke(main, ["submit", *paths, "--init", "gray", "--url", served])
    assert find(done.output.split()[-1]).recipe["init"] == "gray"
    done = CliRunner().invoke(main, ["submit", *paths, "--init", "grey", "--url", served])
    assert done.exit_code != 0
    assert (
        "init: must be content, photograph, recoloured, picture, noise, gray or a picture" in done.output
    )


def find(job_id: str) -> Job:
    with sessions.read_session() as session:
        return states.get(session, job_id)


def test_the_form_takes_them_as_files_and_names_what_is_wrong(post_form: Post) -> None:
    maps = {"mask": [file(mask) for mask in MASKS], "keep": file(MASKS[0])}
    taken = post_form(styles=PAINTINGS, **maps)
    assert taken.status_code == 303
    job = find(taken.headers["Location"].rpartition("/")[2])
    assert [each.role.value for each in job.guides] == ["mask", "mask", "keep"]

    # Browsers send a nameless part for a field in which nothing was chosen
    nothing = (io.BytesIO(b""), "")
    plain = post_form(styles=PAINTINGS, mask=nothing, keep=nothing)
    assert find(plain.headers["Location"].rpartition("/")[2]).guides == []

    refused = post_form(styles=PAINTINGS, mask=[file(MASKS[0]), file(half("left", 90, 120))])
    assert refused.status_code == 422
    assert '<a href="#mask">Mask 2 is 90 x 120 px, the photograph 160 x 120; it needs' in refused.text
    assert '<details class="advanced where" id="where" open>' in refused.text


def test_once_more_keeps_them_each_with_its_painting(post_form: Post, client: FlaskClient) -> None:
    first = find(post_form(styles=PAINTINGS, **sent_by_form()).headers["Location"].rpartition("/")[2])
    page = client.get(f"/jobs/{first.id}").text
    for words in ("Where painting 1 paints", "Where painting 2 paints", "What stays"):
        assert f'alt="{words}"' in page
    assert "--mask mask1.png --mask mask2.png --keep keep.png" in page
    assert "-F &#39;mask=@&#34;mask1.png&#34;&#39;" in page
    form = client.get(f"/?from={first.id}").text
    assert re.search(r'<input checked[^>]*name="kept_guides"', form)

    def again(**typed: Any) -> TestResponse:
        csrf = {"csrf_token": token(client), "from_job": first.id, "content_pick": "kept"}
        return client.post("/", data=csrf | {"size": "96", "kept_guides": "y"} | typed)

    both = find(again(style_pick=["kept-0", "kept-1"]).headers["Location"].rpartition("/")[2])
    hashes = [each.upload_sha256 for each in first.guides]
    assert [each.upload_sha256 for each in both.guides] == hashes
    one = find(again(style_pick=["kept-1"]).headers["Location"].rpartition("/")[2])
    assert [each.upload_sha256 for each in one.guides] == [hashes[1], hashes[2]]
    others = again(style_pick=["kept-1"], style=[file(PAINTINGS[0])])
    assert others.status_code == 422
    assert "Mask of that picture goes with its own painting" in others.text
    none = find(again(style_pick=["kept-1"], kept_guides="").headers["Location"].rpartition("/")[2])
    assert [each.role.value for each in none.guides] == []


def sent_by_form() -> dict[str, Any]:
    maps = sent()
    del maps["init"]
    return maps
