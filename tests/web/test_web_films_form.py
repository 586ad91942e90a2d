"""Films by the form as it is without a script, and what their pages give out."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from farm.clips.look import check_clip
from farm.films import films
from farm.films.parts import read_plan
from farm.films.settings import FilmSettings
from tests.web import bad_pictures
from tests.web.conftest import token
from tests.web.test_web_films_browser import FRAMES, make_clip, make_still_gif, paint_part, submit_clip
from web.pages import clip
from web.pages.shown_film import format_runs

Post = Callable[..., TestResponse]


def test_a_clip_without_a_script_is_a_film(client: FlaskClient, post_form: Post) -> None:
    answer = post_form(make_clip(), frames_from="2", frames_to="5", every="2", film_format="webm")
    assert answer.status_code == 303
    film = films.get(answer.headers["Location"][-32:])
    assert read_plan(film)[-1].frames == (1, 3)
    page = client.get(answer.headers["Location"]).text
    assert "2 frames, 0.4 s" in page
    assert page.count("data-frame=") == 2


@pytest.mark.parametrize(
    ("clip", "fields", "words"),
    [
        (b"GIF89a" + b"noise" * 20, {}, "Clip is damaged or incomplete"),
        (None, {"frames_to": "7"}, "To frame must be a frame of the clip"),
        (None, {"frames_from": "0"}, "From frame must be a whole number from 1"),
        (None, {"every": "7"}, "Every nth frame must be 1 to 6"),
        (None, {"spacing": "121"}, "Anchor every should be less than or equal to 120"),
        (None, {"film_format": "avi"}, "File of the film"),
        (None, {"path": "/explore"}, "an exploration takes a photograph"),
        (None, {"init": "picture"}, "is missing; choose one, or begin otherwise"),
    ],
)
def test_what_is_wrong_with_a_clip_is_said_at_its_field(
    post_form: Post, nothing_left: Callable[[], None], clip: bytes | None, fields: dict, words: str
) -> None:
    answer = post_form(clip or make_clip(), **fields)
    assert answer.status_code == (415 if clip else 422)
    assert words in answer.text
    nothing_left()


def test_the_sample_clip_is_offered_where_sample_photographs_are(client: FlaskClient) -> None:
    # Given the form, with the clip's picture among the samples
    page = client.get("/").text
    assert 'value="flight" data-clip' in page
    tile = client.get("/samples/flight")
    assert (tile.status_code, tile.mimetype) == (200, "image/jpeg")

    # When it is picked, then it is looked at like one that was sent, and painted without a script
    sent = {"csrf_token": token(client), "content_pick": "flight"}
    answer = client.post("/clip", data=sent).text
    assert "480 × 270 px, 48 frames, 2.0 s, 2 shots" in answer
    assert 'name="clip_name" value="Flight.mp4"' in answer
    form = sent | {"size": "96", "preset": "draft", "style_pick": "brushwork", "frames_to": "4"}
    made = client.post("/", data=form)
    assert made.status_code == 303
    film = films.get(made.headers["Location"][-32:])
    assert (film.name, len(read_plan(film)[-1].frames)) == ("Flight", 4)


def test_a_clip_is_looked_at_before_it_is_sent(client: FlaskClient) -> None:
    # Given a clip that was looked at
    def look(data: bytes) -> TestResponse:
        sent = {"csrf_token": token(client), "content": (io.BytesIO(data), "walk.png")}
        return client.post("/clip", data=sent)

    assert "holds only one frame; send it as a photograph." in look(make_still_gif()).text
    answer = look(make_clip())
    assert answer.status_code == 200
    assert "96 × 72 px, 6 frames, 0.6 s" in answer.text
    sha256 = answer.text.partition('name="clip" value="')[2][:64]

    # Then the form needs no file, and its film bears the file's name
    def send(sha256: str) -> TestResponse:
        data = {"csrf_token": token(client), "size": "96", "clip": sha256, "clip_name": "walk.png"}
        painting = (io.BytesIO(bad_pictures.photo(100, 100)), "painting.jpg")
        return client.post("/", data=data | {"style": painting})

    sent = send(sha256)
    assert sent.status_code == 303, sent.text
    assert films.get(sent.headers["Location"][-32:]).name == "walk"
    assert "choose the clip again" in send("a" * 64).text


def test_three_frames_of_a_clip_that_was_looked_at_need_no_second_look(
    client: FlaskClient, post_form: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a clip that was sent when it was chosen
    sent = {"csrf_token": token(client), "content": (io.BytesIO(make_clip()), "walk.png")}
    assert client.post("/clip", data=sent).status_code == 200
    looks: list[bytes] = []
    monkeypatch.setattr(
        clip, "check_clip", lambda data, field: looks.append(data) or check_clip(data, field)
    )
    # When three of its frames are tried, they are drafts, and nobody looked at it again
    assert post_form(make_clip(), path="/films/try").status_code == 303
    assert looks == []
    # Without a script it comes with the form, and is looked at then
    assert post_form(make_clip(frames=4), path="/films/try").status_code == 303
    assert len(looks) == 1


def test_files_of_a_film(client: FlaskClient) -> None:
    film = submit_clip()
    base = f"/films/{film.id}"
    assert client.get(f"{base}/frames/0").status_code == 404
    assert client.get(f"{base}/frames.zip").status_code == 404
    assert client.get(f"{base}/film").status_code == 409
    assert client.get(f"{base}/clip/{FRAMES}/small").status_code == 404

    paint_part(film)
    for path, mime in (("frames/0", "image/png"), ("frames/0/small", "image/jpeg")):
        answer = client.get(f"{base}/{path}")
        assert answer.mimetype == mime
        again = client.get(f"{base}/{path}", headers={"If-None-Match": answer.headers["ETag"]})
        assert again.status_code == 304
    assert client.get(f"{base}/clip/5/small").mimetype == "image/jpeg"
    assert client.get(f"/films/{'0' * 32}").status_code == 404


@pytest.mark.parametrize(
    ("spacing", "words"), [(1, "each frame first"), (4, "one frame of every 4 first")]
)
def test_a_film_says_how_many_frames_are_painted_first(
    client: FlaskClient, spacing: int, words: str
) -> None:
    film = submit_clip(FilmSettings(spacing=spacing))
    assert words in client.get(f"/films/{film.id}").text
    assert words in client.get(f"/films/{film.id}/strip").text


def test_runs_of_frames() -> None:
    assert format_runs([0, 1, 2, 5, 7, 8]) == "0-2 5 7-8"
    assert format_runs([]) == ""
