"""Parts of files, and answers only if something changed, by RFC 9110; and ids that are used again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from farm.database.models import Job, State
from farm.jobs import actions
from farm.storage import storage

MakeJob = Callable[..., Job]
ID = "ab" * 16


@pytest.fixture
def result(make_job: MakeJob) -> tuple[str, bytes]:
    """The address of a finished picture, and the bytes of its file."""
    job = make_job(State.SUCCEEDED)
    return f"/api/v1/jobs/{job.id}/result", storage().get(job.result_key)


SERVED = {
    "bytes=0-0": slice(0, 1),
    "bytes=2-5": slice(2, 6),
    "bytes=5-": slice(5, None),
    "bytes=-4": slice(-4, None),
    "bytes=3-99999999999999999999": slice(3, None),
    "bytes=-99999999999999999999": slice(0, None),
    "BYTES=1-2": slice(1, 3),
}
IGNORED = (
    *("items=0-5", "bytes=0-1,3-4", "bytes=1,", "bytes=5-2"),
    *("bytes=a-b", "bytes", "bytes=", "bytes=--1", ""),
)


def test_a_range_is_served(client: FlaskClient, result: tuple[str, bytes]) -> None:
    address, whole = result
    for asked, part in SERVED.items():
        with client.get(address, headers={"Range": asked}) as answer:
            assert (asked, answer.status_code, answer.data) == (asked, 206, whole[part])
            assert answer.headers["Content-Range"].endswith(f"/{len(whole)}")


def test_a_range_that_is_none_of_ours_is_ignored(client: FlaskClient, result: tuple[str, bytes]) -> None:
    address, whole = result
    for asked in IGNORED:
        with client.get(address, headers={"Range": asked}) as answer:
            assert (asked, answer.status_code, answer.data) == (asked, 200, whole)
        with client.get("/static/site.css", headers={"Range": asked}) as static:
            assert (asked, static.status_code) == (asked, 200)


def test_ranges_are_of_get_alone(client: FlaskClient, result: tuple[str, bytes]) -> None:
    address, whole = result
    answer = client.head(address, headers={"Range": "bytes=0-1"})
    assert (answer.status_code, answer.content_length) == (200, len(whole))


def test_a_range_past_the_end_is_refused_with_the_size(
    client: FlaskClient, result: tuple[str, bytes]
) -> None:
    address, whole = result
    for asked in (f"bytes={len(whole)}-", f"bytes={len(whole)}-{len(whole)}", "bytes=-0"):
        answer = client.get(address, headers={"Range": asked})
        assert answer.status_code == 416
        assert answer.headers["Content-Range"] == f"bytes */{len(whole)}"
        assert answer.mimetype == "application/problem+json"
    static = client.get("/static/site.css", headers={"Range": "bytes=99999999-"})
    assert static.status_code == 416
    assert static.headers["Content-Range"].startswith("bytes */")


def test_if_range_takes_a_strong_tag_alone(client: FlaskClient, result: tuple[str, bytes]) -> None:
    address, whole = result
    tag = client.head(address).headers["ETag"]
    for given, status in (
        (tag, 206),
        (f"W/{tag}", 200),
        (tag.strip('"'), 200),
        ('"another"', 200),
        ("Wed, 21 Oct 2065 07:28:00 GMT", 200),
    ):
        with client.get(address, headers={"Range": "bytes=0-1", "If-Range": given}) as answer:
            assert (given, answer.status_code) == (given, status)
            assert len(answer.data) == (2 if status == 206 else len(whole))


def test_conditions_come_before_ranges(client: FlaskClient, result: tuple[str, bytes]) -> None:
    address, _ = result
    tag = client.head(address).headers["ETag"]
    for headers, status in (
        ({"If-None-Match": tag}, 304),
        ({"If-None-Match": f"W/{tag}"}, 304),
        ({"If-None-Match": '"other"'}, 206),
        ({"If-Match": tag}, 206),
        ({"If-Match": "*"}, 206),
        ({"If-Match": '"other"'}, 412),
        ({"If-Match": f"W/{tag}"}, 412),
    ):
        with client.get(address, headers=headers | {"Range": "bytes=0-1"}) as answer:
            assert (headers, answer.status_code) == (headers, status)


def read_files(client: FlaskClient, kinds: list[str]) -> dict[str, tuple[str, str]]:
    """The ETag and the Cache-Control of each file of the job."""
    found = {}
    for kind in kinds:
        with client.get(f"/jobs/{ID}/{kind}") as answer:
            assert answer.status_code == 200, kind
            found[kind] = (answer.headers["ETag"], answer.headers["Cache-Control"])
    return found


def test_a_job_under_the_id_of_a_deleted_one_has_tags_of_its_own(
    client: FlaskClient, make_job: MakeJob
) -> None:
    # Given a finished job whose files a browser has seen, under bare addresses and those of its page
    kinds = ["result", "full", "preview", "content", "styles/0", "content/whole", "styles/0/whole"]
    make_job(State.SUCCEEDED, job_id=ID)
    before = read_files(client, kinds)
    page = client.get(f"/jobs/{ID}").text
    (kept,) = {part.split("&")[0].split('"')[0] for part in page.split("/content?v=")[1:]}
    with client.get(f"/jobs/{ID}/content?v={kept}") as answer:
        assert "immutable" in answer.headers["Cache-Control"]
    # When it is deleted and its id is used again, for the same pictures
    actions.delete(ID)
    make_job(State.SUCCEEDED, job_id=ID)
    # Then nothing that the browser keeps is taken for the new job's
    after = read_files(client, kinds)
    for kind in kinds:
        assert before[kind][0] != after[kind][0], kind
        assert "no-cache" in before[kind][1], kind
        with client.get(f"/jobs/{ID}/{kind}", headers={"If-None-Match": before[kind][0]}) as answer:
            assert answer.status_code == 200, kind
        headers = {"Range": "bytes=0-1", "If-Range": before[kind][0]}
        with client.get(f"/jobs/{ID}/{kind}", headers=headers) as answer:
            assert answer.status_code == 200, kind
    with client.get(f"/jobs/{ID}/content?v={kept}") as answer:
        assert "no-cache" in answer.headers["Cache-Control"]


def test_conditions_of_static_files_come_before_ranges(client: FlaskClient) -> None:
    address = "/static/site.css"
    with client.get(address) as answer:
        tag, whole = answer.headers["ETag"], answer.data
    for headers, status, body in (
        ({"If-Match": '"another"'}, 412, b""),
        ({"If-Match": '"another"', "Range": "bytes=0-1"}, 412, b""),
        ({"If-None-Match": tag, "Range": "bytes=0-1"}, 304, b""),
        ({"If-None-Match": tag, "Range": "bytes=99999999-"}, 304, b""),
        ({"If-None-Match": '"another"', "Range": "bytes=0-1"}, 200, whole),
        ({"If-Match": tag}, 200, whole),
        ({"If-Range": tag, "Range": "bytes=0-1"}, 206, whole[:2]),
    ):
        with client.get(address, headers=headers) as answer:
            assert (headers, answer.status_code, answer.data) == (headers, status, body)
            assert answer.content_length in (len(body), None)
            assert "Content-Range" not in answer.headers or status == 206
