"""Bad submissions are refused by form and API alike: right status, named field, nothing left.

All that is wrong with a picture is judged by tests/pictures/test_images.py, with a setting by
tests/recipe/test_recipe.py, with their number and names by tests/jobs/test_submit.py; here is one of
each kind of answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from threading import Event
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pydantic import BaseModel
from werkzeug.test import TestResponse

from farm.pictures import decoder_pool
from farm.recipe.problems import Untrusted
from tests.conftest import forget_settings
from tests.web import bad_pictures as bad

Post = Callable[..., TestResponse]

BAD_PICTURES: dict[str, tuple[dict[str, Any], int, str]] = {
    "a truncated JPEG": ({"content": bad.truncated_photo()}, 415, "content"),
    "a truncated JPEG with an end": ({"content": bad.glued_photo()}, 415, "content"),
    "a PNG with half its rows": ({"styles": [bad.half_a_png()]}, 415, "style"),
    "a raw camera file": ({"content": bad.raw_camera_file()}, 415, "content"),
    "60000 x 60000 in few bytes": ({"content": bad.huge_png()}, 413, "content"),
    "an empty photograph": ({"content": b""}, 422, "content"),
    "text as a painting": ({"styles": [bad.photo(), bad.TEXT]}, 415, "style"),
    "no painting": ({"styles": []}, 422, "style"),
    "a long name": ({"name": "a" * 121}, 422, "name"),
}
BAD_SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "a size in words": ({"size": "large"}, "size"),
    "an infinite weight": ({"style_weight": "inf"}, "style_weight"),
    "a negative layer weight": ({"style_layers": "relu1_1=-1"}, "style_layers"),
    "a blend for three of one": ({"blend": "1,2,3"}, "blend"),
    "too many iterations": ({"iterations": "9999"}, "iterations"),
}


FORMS = ("/", "/explore")  # where a picture and where an exploration is sent


def api_fields(response: TestResponse) -> list[str]:
    """The fields that a problem names, each once, without what follows a dot."""
    assert response.content_type == "application/problem+json"
    problem = response.get_json()
    assert set(problem) == {"type", "title", "status", "detail", "errors"}
    assert problem["status"] == response.status_code
    return list(dict.fromkeys(error["field"].partition(".")[0] for error in problem["errors"]))


def form_fields(response: TestResponse) -> list[str]:
    """The fields beside which the page shows an error."""
    return re.findall(r'data-errors="(\w+)"><p>', response.text)


@pytest.mark.parametrize("case", BAD_PICTURES)
def test_the_api_refuses_a_bad_picture(case: str, post_api: Post, nothing_left: Callable) -> None:
    fields, status, field = BAD_PICTURES[case]

    response = post_api(**fields)

    assert (response.status_code, api_fields(response)) == (status, [field])
    nothing_left()


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("case", BAD_PICTURES)
def test_the_form_refuses_a_bad_picture(
    case: str, path: str, post_form: Post, nothing_left: Callable
) -> None:
    fields, status, field = BAD_PICTURES[case]

    response = post_form(path=path, **fields)

    assert (response.status_code, form_fields(response)) == (status, [field])
    nothing_left()


@pytest.mark.parametrize("case", BAD_SETTINGS)
def test_the_api_refuses_a_bad_setting(case: str, post_api: Post, nothing_left: Callable) -> None:
    recipe, field = BAD_SETTINGS[case]

    response = post_api(recipe=recipe)

    assert (response.status_code, api_fields(response)) == (422, [field])
    nothing_left()


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("case", BAD_SETTINGS)
def test_the_form_refuses_a_bad_setting(
    case: str, path: str, post_form: Post, nothing_left: Callable
) -> None:
    recipe, field = BAD_SETTINGS[case]

    response = post_form(path=path, **{name: str(value) for name, value in recipe.items()})

    assert (response.status_code, form_fields(response)) == (422, [field])
    nothing_left()


@pytest.mark.parametrize("recipe", ["{", "[]", '"fast"', "null", "\x00", "{" * 5000])
def test_a_malformed_recipe_is_named(recipe: str, post_api: Post, nothing_left: Callable) -> None:
    response = post_api(recipe=recipe)

    assert (response.status_code, api_fields(response)) == (422, ["recipe"])
    nothing_left()


def test_an_unknown_setting_is_named(post_api: Post, nothing_left: Callable) -> None:
    response = post_api(recipe={"size": 96, "speed": 11})

    assert (response.status_code, api_fields(response)) == (422, ["speed"])
    nothing_left()


def test_an_unknown_field_of_the_api_is_named(post_api: Post, nothing_left: Callable) -> None:
    response = post_api(colour="blue")

    assert (response.status_code, api_fields(response)) == (422, ["colour"])
    nothing_left()


def test_an_unknown_field_of_the_form_is_named(post_form: Post, nothing_left: Callable) -> None:
    response = post_form(frame="gilt")

    assert response.status_code == 422
    assert "frame is not a field of this form" in response.text
    nothing_left()


def test_a_missing_photograph_is_named(client: FlaskClient, nothing_left: Callable) -> None:
    response = client.post("/api/v1/jobs", data={"name": "x"}, content_type="multipart/form-data")

    assert (response.status_code, api_fields(response)) == (422, ["content"])
    nothing_left()


@pytest.mark.parametrize("priority", ["101", "-101", "high", "1.5"])
def test_a_bad_priority_is_named(priority: str, post_api: Post, nothing_left: Callable) -> None:
    response = post_api(priority=priority)

    assert (response.status_code, api_fields(response)) == (422, ["priority"])
    nothing_left()


@pytest.mark.parametrize("balance", ["9", "nan", "middle"])
def test_a_bad_balance_is_named(balance: str, post_form: Post, nothing_left: Callable) -> None:
    response = post_form(balance=balance)

    assert (response.status_code, form_fields(response)) == (422, ["balance"])
    nothing_left()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"across": "colour"}, "across"),
        ({"down": ""}, "down"),
        ({"across": "seed", "down": "seed"}, "down"),
        ({"across": "blend"}, "across"),
        ({"down": "style_scale", "style_scale": "4"}, "down"),
        ({"balance": "9"}, "balance"),
    ],
)
def test_a_grid_that_cannot_be_is_named(
    fields: dict[str, str], field: str, post_form: Post, nothing_left: Callable
) -> None:
    response = post_form(path="/explore", **fields)

    assert (response.status_code, form_fields(response)) == (422, [field])
    nothing_left()


@pytest.mark.parametrize("pick", ["../../etc/passwd", "kept", "mosaic"])
def test_a_photograph_that_is_not_offered_is_refused(
    pick: str, post_form: Post, nothing_left: Callable
) -> None:
    response = post_form(content=b"", content_pick=pick, from_job="")
    if pick == "kept":  # of no job: as if nothing had been chosen
        assert "is empty" in response.text

    assert (response.status_code, form_fields(response)) == (422, ["content"])
    nothing_left()


@pytest.mark.parametrize("path", ["/api/v1/jobs", "/"])
def test_a_body_over_the_limit_is_refused(
    path: str, client: FlaskClient, nothing_left: Callable
) -> None:
    multipart = "multipart/form-data; boundary=x"

    response = client.post(path, data=bytes(2_000_001), content_type=multipart)

    assert response.status_code == 413
    assert "larger than 2 MB" in response.text
    if path != "/":
        assert api_fields(response) == ["body"]
    nothing_left()


def test_a_form_of_too_many_parts_is_refused(post_api: Post, nothing_left: Callable) -> None:
    response = post_api(**{f"extra{number}": "x" for number in range(110)})

    assert response.status_code == 413
    assert "100 parts" in response.get_json()["detail"]
    nothing_left()


@pytest.mark.parametrize("by", ["post_api", "post_form"])
def test_a_farm_that_looks_at_too_many_pictures_says_when_to_come_again(
    by: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, nothing_left: Callable
) -> None:
    # Given a farm whose processes are all taken, and in which nobody may wait
    pool, done = decoder_pool.Pool(wait_seconds=0), Event()
    monkeypatch.setattr(decoder_pool, "check", pool.check)
    for _ in range(decoder_pool.PROCESSES):
        pool._threads.submit(done.wait)

    with closing(pool):
        response = request.getfixturevalue(by)()
        done.set()

    assert response.status_code == 503
    assert response.headers["Retry-After"] == "5"
    assert "Try again in a moment" in response.text
    nothing_left()


@pytest.mark.parametrize("path", FORMS)
def test_the_form_keeps_what_was_typed(path: str, post_form: Post) -> None:
    typed = {"name": "My <bridge>", "size": "640", "preset": "fine", "seed": "7", "across": "tv"}
    response = post_form(path=path, styles=[], **typed)

    assert response.status_code == 422
    assert 'value="My &lt;bridge&gt;"' in response.text
    assert re.search(r'name="size"[^>]*value="640"', response.text)
    assert re.search(r'checked[^>]*value="fine"|value="fine"[^>]*checked', response.text)
    assert re.search(r'<option [^>]*selected[^>]*value="tv"', response.text)
    assert "Browsers do not keep files" in response.text


def test_the_form_says_all_that_is_wrong_at_once(post_form: Post) -> None:
    response = post_form(styles=[], size="1", tv_weight="-1")

    assert set(form_fields(response)) == {"size", "tv_weight", "style"}


GOOD_PICTURES = {
    "CMYK JPEG": (bad.encoded(bad.picture(mode="CMYK")), (96, 72)),
    "16-bit grey PNG": (bad.grey_16_bit(), (96, 72)),
    "planar TIFF": (bad.planar_tiff(), (96, 72)),
    "AVIF": (bad.encoded(bad.picture(), "AVIF"), (96, 72)),
    "a JPEG without its end": (bad.photo()[:-2], (96, 72)),
    "a photo turned by EXIF": (bad.rotated_photo(), (72, 96)),
}


@pytest.mark.parametrize("case", GOOD_PICTURES)
def test_unusual_pictures_are_taken_upright(case: str, post_api: Post) -> None:
    content, size = GOOD_PICTURES[case]

    response = post_api(content=content)

    assert response.status_code == 202
    assert (response.get_json()["width"], response.get_json()["height"]) == size


def list_bodies(app: Flask) -> dict[str, type[BaseModel]]:
    """The models of all JSON that the API takes, by their names."""
    specs = [getattr(view, "_spec", {}) for view in app.view_functions.values()]
    return {body.__name__: body for spec in specs if isinstance(body := spec.get("body"), type)}


def test_a_boolean_is_a_number_in_no_json_that_is_sent(app: Flask) -> None:
    bodies = list_bodies(app)
    assert {"FilmChange", "PersonChange", "EstimateQuery"} <= bodies.keys()
    for name, body in bodies.items():
        assert issubclass(body, Untrusted), f"{name} takes true for 1"


# Each body of JSON, as it would be taken but for an id or a name that nobody has.
BODIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "EstimateQuery": ("POST", "estimate", {"width": 300, "height": 200}),
    "SizesQuery": ("POST", "estimates", {"width": 300, "height": 200, "sizes": [64]}),
    "GridQuery": ("POST", "explorations/estimate", {"width": 300, "height": 200}),
    "FilmQuery": ("POST", "films/estimate", {"width": 300, "height": 200, "frames": 9}),
    "BulkIn": ("POST", "jobs/bulk", {"action": "delete", "ids": ["0" * 32]}),
    "ComparisonIn": ("POST", "comparisons", {"pictures": ["0" * 32] * 2, "nearer": None, "rater": "x"}),
    "FilmChange": ("PATCH", f"films/{'0' * 32}", {"priority": 1}),
    "JobChange": ("PATCH", f"jobs/{'0' * 32}", {"priority": 1}),
    "LookIn": ("POST", "looks", {"name": "x", "settings": {}}),
    "LookOfJob": ("POST", f"jobs/{'0' * 32}/look", {"name": "x"}),
    "LookChange": ("PATCH", f"looks/{'0' * 32}", {"name": "x"}),
    "TokenIn": ("POST", "tokens", {"name": "x"}),
    "PersonIn": ("POST", "people", {"name": "x"}),
    "PersonChange": ("PATCH", "people/x", {"role": "user"}),
    "RatingIn": ("PUT", f"jobs/{'0' * 32}/ratings/x", {"stars": 1}),
}


def test_each_field_of_json_that_is_of_the_wrong_kind_is_named(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARM_RATE_LIMIT", "0")
    forget_settings()
    bodies = list_bodies(app)
    assert bodies.keys() == BODIES.keys()
    for name, (method, address, good) in BODIES.items():
        for field in bodies[name].model_fields:
            answer = client.open(f"/api/v1/{address}", method=method, json=good | {field: [{"a": []}]})
            assert answer.status_code == 422, (name, field, answer.text)
            side = field.removesuffix("_values")  # values are named by what varies
            assert api_fields(answer) == [side], (name, answer.text)
        for whole in ("x", 5, [1]):
            answer = client.open(f"/api/v1/{address}", method=method, json=whole)
            assert (answer.status_code, api_fields(answer)) == (422, ["body"])


def test_what_is_no_json_is_named_with_its_place(client: FlaskClient) -> None:
    answer = client.post("/api/v1/looks", data='{"name": "x",}', content_type="application/json")
    assert (answer.status_code, api_fields(answer)) == (400, ["body"])
    assert "is not JSON: " in answer.get_json()["detail"]
    assert "line 1 column 14" in answer.get_json()["detail"]
