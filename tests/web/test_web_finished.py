"""What can be done with a finished picture: rated, had in other formats, made again elsewhere."""

from __future__ import annotations

import io
import json
import shlex
from collections.abc import Callable

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from PIL import Image
from playwright.sync_api import Page, expect

from farm.cli.recipe_options import read_recipe
from farm.database.models import Job, State
from farm.pictures import jpeg
from farm.pictures.encode import encode_picture, read_embedded_recipe
from farm.recipe import Recipe
from farm.storage import storage
from tests.conftest import load_sample
from tests.web.conftest import token

MakeJob = Callable[..., Job]


@pytest.fixture
def job(make_job: MakeJob) -> Job:
    return make_job(State.SUCCEEDED)


def rate(client: FlaskClient, job: Job, rater: str, stars: object) -> tuple[int, dict]:
    answer = client.put(f"/api/v1/jobs/{job.id}/ratings/{rater}", json={"stars": stars})
    return answer.status_code, answer.get_json()


def test_opinions_are_averaged_over_the_picture_and_its_manner(
    client: FlaskClient, make_job: MakeJob
) -> None:
    # Given two pictures in one manner, at other sizes, and one in another
    one, other = make_job(State.SUCCEEDED, size=96), make_job(State.SUCCEEDED, size=128)
    alien = make_job(State.SUCCEEDED, style_scale=2)

    rate(client, one, "ann", 5)
    rate(client, one, "bob", 2)
    rate(client, one, "bob", 4)
    rate(client, alien, "ann", 1)

    assert client.get(f"/api/v1/jobs/{other.id}/ratings").get_json() == {
        **{"mean": None, "count": 0, "low": None, "high": None},
        **{"look_mean": 4.5, "look_count": 2, "look_low": 1.0, "look_high": 5.0},
    }
    assert rate(client, other, "ann", 3) == (
        200,
        {
            **{"mean": 3.0, "count": 1, "low": None, "high": None},
            **{"look_mean": 4.0, "look_count": 3, "look_low": 1.52, "look_high": 5.0},
        },
    )
    assert client.delete(f"/api/v1/jobs/{one.id}/ratings/bob").status_code == 204
    assert client.get(f"/api/v1/jobs/{one.id}/ratings").get_json()["mean"] == 5.0


@pytest.mark.parametrize("stars", [0, 6, 2.5, "many", None, 10**30])
def test_there_are_one_to_five_stars(client: FlaskClient, job: Job, stars: object) -> None:
    status, body = rate(client, job, "ann", stars)
    assert status == 422
    assert [error["field"] for error in body["errors"]] == ["stars"]


def test_only_a_finished_picture_is_rated(client: FlaskClient, make_job: MakeJob) -> None:
    assert rate(client, Job(id="0" * 32), "ann", 5)[0] == 404
    assert rate(client, make_job(State.SUCCEEDED), "x" * 65, 5)[0] == 422
    assert rate(client, make_job(), "ann", 5)[0] == 409


def test_a_browser_rates_once_and_may_change_its_mind(client: FlaskClient, job: Job) -> None:
    form = {"csrf_token": token(client)}
    for stars in ("2", "4"):
        page = client.post(f"/jobs/{job.id}/rating", data=form | {"stars": stars}, follow_redirects=True)
    assert "This picture: 4.0 of 5, by 1." in page.text
    assert 'value="4" checked' in page.text
    assert client.post(f"/jobs/{job.id}/rating", data={"stars": "5"}).status_code == 400
    assert client.post(f"/jobs/{job.id}/rating", data=form | {"stars": "9"}).status_code == 422


@pytest.mark.browser
def test_a_star_is_given_with_the_keyboard(page: Page, served: str, job: Job) -> None:
    page.goto(f"{served}/jobs/{job.id}")
    page.get_by_role("radio", name="4 stars").press("Space")
    expect(page.locator("#rating")).to_contain_text("This picture: 4.0 of 5, by 1.")
    expect(page.get_by_role("radio", name="4 stars")).to_be_checked()


@pytest.mark.parametrize("made", ["png", "png16", "jpeg", "tiff16", "webp"])
def test_a_result_is_had_in_every_format_of_eight_bits(
    client: FlaskClient, make_job: MakeJob, made: str
) -> None:
    # Given a result with its recipe inside
    job = make_job(State.SUCCEEDED, format=made)
    picture = load_sample("street", 48)
    text = Recipe.parse(job.recipe).model_dump_json()
    storage().put(job.result_key, encode_picture(picture, job.format.name, text))

    for asked in ("png", "jpeg", "webp"):
        answer = client.get(f"/api/v1/jobs/{job.id}/result?format={asked}")

        assert answer.status_code == 200, asked
        assert answer.mimetype == f"image/{asked}"
        assert asked.replace("jpeg", "jpg") in answer.headers["Content-Disposition"]
        with Image.open(io.BytesIO(answer.data)) as image:
            assert image.size == (picture.shape[1], picture.shape[0])
            assert image.info["icc_profile"] == jpeg.SRGB, asked
        assert read_embedded_recipe(answer.data) == text, asked
        if (made, asked) == ("png", "png"):
            assert answer.data == storage().get(job.result_key)


def test_sixteen_bits_are_not_made_of_eight(client: FlaskClient, job: Job) -> None:
    answer = client.get(f"/api/v1/jobs/{job.id}/result?format=tiff16")
    assert answer.status_code == 422
    assert "must be one of png, jpeg, webp" in answer.get_json()["detail"]
    assert client.get(f"/jobs/{job.id}/result?format=../../x").status_code == 422


def test_the_recipe_is_had_alone_and_taken_again(
    client: FlaskClient, make_job: MakeJob, tmp_path
) -> None:
    job = make_job(style_scale=2, style_layers={"relu2_1": 1})
    path = tmp_path / "recipe.json"
    path.write_bytes(client.get(f"/api/v1/jobs/{job.id}/recipe").data)
    assert read_recipe({"recipe": path}) == Recipe.parse(job.recipe)
    assert read_recipe({"recipe": path, "style_scale": "0.5", "size": None}).style_scale == 0.5


def test_commands_to_copy_make_the_same_recipe(client: FlaskClient, make_job: MakeJob) -> None:
    import click

    from farm.cli.recipe_options import add_recipe_options

    found: list[Recipe] = []

    @click.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
    @click.argument("pictures", nargs=-1)
    @add_recipe_options
    def submit(pictures: tuple[str, ...], **given: object) -> None:
        found.append(read_recipe(given))

    job = make_job(
        style_scale=(2, 0.5),
        style_layers={"relu2_1": 1, "relu3_1": 0.5},
        iterations=(3,),
        colour="lightness",
        colour_strength=0.4,
    )
    page = client.get(f"/jobs/{job.id}").text
    texts = [
        page.partition(f'id="command-{name}">')[2].partition("</pre>")[0].replace("&#39;", "'")
        for name in ("farm", "curl")
    ]
    lines = [text.replace("&#34;", '"').splitlines() for text in texts]
    assert [len(each) for each in lines] == [4, 4]  # three pictures are fetched first
    farm, curl = (shlex.split(each[-1]) for each in lines)

    assert farm[:2] == ["farm", "submit"]
    CliRunner().invoke(submit, farm[2:], catch_exceptions=False)
    recipe = next(part for part in curl if part.startswith("recipe=")).removeprefix("recipe=")
    assert found[0] == Recipe.parse(json.loads(recipe)) == Recipe.parse(job.recipe)
    assert curl[-1] == "http://localhost/api/v1/jobs"


def test_the_history_is_told(client: FlaskClient, job: Job) -> None:
    found = client.get(f"/api/v1/jobs/{job.id}/history").get_json()
    assert [event["state"] for event in found["events"]] == ["queued", "running", "succeeded"]
    assert [attempt["outcome"] for attempt in found["attempts"]] == ["succeeded"]
    assert [point["iteration"] for point in found["losses"]] == [10, 30]
    assert found["log"] == []
    assert client.get(f"/api/v1/jobs/{'0' * 32}/history").status_code == 404
