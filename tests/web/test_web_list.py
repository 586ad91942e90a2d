"""The list of jobs, the gallery, and what is done to many jobs at once, without JavaScript."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from html import unescape

import pytest
from flask.testing import FlaskClient

from farm.database import sessions
from farm.database.models import Job, State
from farm.errors import NotFound
from farm.jobs import attempts, bulk, states
from farm.jobs.states import AttemptRef
from tests.films.made import know_clips, make_film
from tests.web.conftest import token

MakeJob = Callable[..., Job]


def names(page: str) -> list[str]:
    """Of the jobs on a page, in its order."""
    return [unescape(name) for name in re.findall(r'class="card-name"[^>]*>([^<]*)<', page)]


def link(page: str, words: str) -> str:
    """Where the link with these words leads."""
    found = re.search(rf'href="([^"]*)"[^>]*>{words}\b', page)
    assert found, words
    return unescape(found[1])


def state_of(job: Job) -> State | None:
    try:
        with sessions.read_session() as session:
            return states.get(session, job.id).state
    except NotFound:
        return None


def asked(client: FlaskClient, action: str, *picked: Job | str, back: str = "/jobs") -> str:
    """The page that says what an action will do to the jobs that were ticked."""
    ids = [job if isinstance(job, str) else job.id for job in picked]
    data = {"csrf_token": token(client), "action": action, "ids": ids, "back": back}
    response = client.post("/jobs/bulk", data=data)
    assert response.status_code == 200, response.text
    return response.text


def confirm(client: FlaskClient, page: str):
    """Press the button of that page."""
    form = page[page.index('action="/jobs/bulk/confirmed"') :]
    fields: dict[str, list[str]] = {}
    for name, value in re.findall(r'type="hidden" name="([^"]*)" value="([^"]*)"', form):
        fields.setdefault(name, []).append(unescape(value))
    return client.post("/jobs/bulk/confirmed", data=fields)


# The list ---------------------------------------------------------------------------------------


def test_the_list_shows_jobs_and_counts(make_job: MakeJob, client: FlaskClient) -> None:
    make_job(State.SUCCEEDED, name="Done one")
    make_job(name="Waiting one")

    everything = client.get("/jobs").text
    waiting = client.get("/jobs?state=queued").text

    assert names(everything) == ["Waiting one", "Done one"]
    assert "All <span>2</span>" in everything
    assert names(waiting) == ["Waiting one"]


def test_the_empty_list_invites_and_an_empty_search_says_so(client: FlaskClient) -> None:
    assert "Make the first picture" in client.get("/jobs").text
    assert "has “&lt;lake&gt;” in its name" in client.get("/jobs?q=<lake>").text


@pytest.mark.parametrize(
    "query", ["state=lost", "sort=best", "view=map", "cursor=nonsense", "q=%00", "q=" + "x" * 121]
)
@pytest.mark.parametrize("path", ["/jobs", "/jobs/list"])
def test_a_bad_list_is_explained(path: str, query: str, client: FlaskClient) -> None:
    response = client.get(f"{path}?{query}")
    assert response.status_code == 422
    assert f'<p id="detail">{query.partition("=")[0]}: ' in response.text


@pytest.mark.parametrize(
    ("view", "sort", "before", "after"),
    [
        ("cards", "newest", "Newer", "Older"),
        ("table", "oldest", "Older", "Newer"),
        ("table", "name", "Previous", "Next"),
    ],
)
def test_the_list_has_pages_forth_and_back(
    view: str, sort: str, before: str, after: str, make_job: MakeJob, client: FlaskClient, monkeypatch
) -> None:
    # Given three jobs on pages of one, searched, sorted and of one state
    monkeypatch.setattr("web.pages.jobs.PAGES", dict.fromkeys(("cards", "table"), 1))
    for number in range(3):
        make_job(name=f"Lake {number}")
    make_job(name="Bridge")
    query = f"/jobs?q=lake&sort={sort}&state=queued&view={view}"

    def shown(page: str) -> str:
        (name,) = re.findall(r">(?:Select )(Lake \d)<", page)
        return name

    # When one goes to the end and back
    pages = [client.get(query).text]
    for _ in range(2):
        pages.append(client.get(link(pages[-1], after)).text)
    back = client.get(link(pages[-1], before)).text

    # Then each page has its job, and links keep what was asked for
    order = [shown(page) for page in pages]
    assert sorted(order, reverse=sort == "newest") == order
    assert shown(back) == order[1]
    assert f">{before}<" not in pages[0]
    assert f">{after}<" not in pages[-1]
    assert shown(client.get(link(pages[-1], "First page")).text) == order[0]
    assert "q=lake" in link(pages[1], "Waiting")
    assert "cursor" not in link(pages[1], "Waiting")


def test_a_cursor_of_another_sort_is_explained(
    make_job: MakeJob, client: FlaskClient, monkeypatch
) -> None:
    monkeypatch.setattr("web.pages.jobs.PAGES", dict.fromkeys(("cards", "table"), 1))
    make_job()
    make_job()
    response = client.get(link(client.get("/jobs").text, "Older") + "&sort=name")
    assert response.status_code == 422
    assert "another sort, search or state" in response.text


def test_a_search_counts_only_what_it_finds(make_job: MakeJob, client: FlaskClient) -> None:
    make_job(name="100 % lake")
    make_job(State.CANCELLED, name="Über dem LAKE")
    make_job(name="bridge")
    found = client.get("/jobs?q=lake").text
    assert "All <span>2</span>" in found
    assert names(client.get("/jobs?q=%25").text) == ["100 % lake"]
    assert names(client.get("/jobs?q=uber").text) == ["Über dem LAKE"]


def test_the_table_tells_of_every_state(make_job: MakeJob, client: FlaskClient) -> None:
    for state in reversed(State):
        make_job(state, name=f"<b>{state}</b>")
    page = client.get("/jobs?view=table&sort=name").text
    assert page.count("<tr data-id=") == 6
    assert page.count("<progress") == 3
    assert "&lt;b&gt;queued&lt;/b&gt;" in page
    assert "9 s to go" in page
    assert page.count("96 × 72") == 6


def test_what_changes_by_itself_is_sent_only_when_it_has_changed(
    make_job: MakeJob, client: FlaskClient
) -> None:
    # Given a browser that knows the list as it is
    job = make_job(State.RUNNING)
    first = client.get("/jobs/list")
    known = {"If-None-Match": first.headers["ETag"]}
    assert "<html" not in first.text
    assert names(first.text) == ["Bridge at dusk"]

    # When nothing happens, it hears nothing
    assert client.get("/jobs/list", headers=known).status_code == 304

    # When something happens, it hears of it
    with sessions.write_session() as session:
        attempts.record_preview(session, AttemptRef(job.id, 1))
    assert client.get("/jobs/list", headers=known).status_code == 200


# Many at once -----------------------------------------------------------------------------------


def test_what_will_be_done_is_told_then_done_and_told_again(
    make_job: MakeJob, client: FlaskClient
) -> None:
    # Given jobs that can be cancelled, and some that cannot
    running = make_job(State.RUNNING, name="<i>Lake</i>")
    done, waiting = make_job(State.SUCCEEDED, name="Done one"), make_job()

    # When they are ticked and Cancel is pressed
    page = asked(client, "cancel", running, waiting, done, "0" * 32, back="/jobs?q=la&view=table")

    # Then it is told what will happen, and nothing has happened
    assert "2 will be cancelled" in page
    assert "1 will not: already ended" in page
    assert "1 will not: not there any more" in page
    assert "&lt;i&gt;Lake&lt;/i&gt;" in page
    assert state_of(running) is State.RUNNING

    # When one of them was cancelled by somebody else before it is confirmed
    with sessions.write_session() as session:
        states.cancel(session, running.id)
    response = confirm(client, page)

    # Then the other is cancelled, and both are told of where one came from
    assert response.status_code == 303
    assert response.headers["Location"] == "/jobs?q=la&view=table"
    assert "1 cancelled; 1 not: already stopping." in client.get("/jobs").text
    assert (state_of(running), state_of(waiting)) == (State.CANCELLING, State.CANCELLED)
    assert state_of(done) is State.SUCCEEDED


def test_many_are_tried_again_and_deleted(make_job: MakeJob, client: FlaskClient) -> None:
    failed, cancelled = make_job(State.FAILED), make_job(State.CANCELLED)
    page = asked(client, "retry", failed, cancelled)
    assert "Try 2 jobs again?" in page
    confirm(client, page)
    assert "2 waiting again." in client.get("/jobs").text
    assert state_of(failed) is state_of(cancelled) is State.QUEUED

    page = asked(client, "delete", failed, cancelled)
    assert "Nothing to delete" in page
    assert "2 will not: not ended yet; cancel first" in page
    assert "btn-danger" not in page


def test_a_finished_job_is_deleted_from_its_own_page(make_job: MakeJob, client: FlaskClient) -> None:
    job = make_job(State.SUCCEEDED)
    page = client.get(f"/jobs/{job.id}").text
    form = re.findall(r'type="hidden" name="(ids|action|back)" value="([^"]*)"', page)
    question = client.post("/jobs/bulk", data=dict(form) | {"csrf_token": token(client)}).text
    assert "Delete “Bridge at dusk”?" in question
    assert link(question, "Go back") == f"/jobs/{job.id}"

    response = confirm(client, question)

    assert response.headers["Location"] == "/jobs"
    assert state_of(job) is None
    assert client.get(f"/jobs/{job.id}").status_code == 404


@pytest.mark.parametrize("state", State)
def test_only_a_job_that_has_ended_offers_to_delete_it(
    state: State, make_job: MakeJob, client: FlaskClient
) -> None:
    page = client.get(f"/jobs/{make_job(state).id}").text
    assert ('value="delete"' in page) is state.ended


@pytest.mark.parametrize(
    "back",
    [
        "//evil.example",
        "https://evil.example/jobs",
        "/jobs\\@evil.example",
        "/",
        "/jobs?a=b\r\nX: y",
        "",
    ],
)
def test_nobody_is_sent_to_another_site(back: str, make_job: MakeJob, client: FlaskClient) -> None:
    page = asked(client, "cancel", make_job(), back=back)
    assert link(page, "Go back") == "/jobs"
    assert confirm(client, page).headers["Location"] == "/jobs"


def test_who_selected_nothing_is_told_so(client: FlaskClient) -> None:
    data = {"csrf_token": token(client), "action": "cancel", "back": "/jobs?view=table"}
    response = client.post("/jobs/bulk", data=data)
    assert response.headers["Location"] == "/jobs?view=table"
    assert "No job was selected." in client.get("/jobs").text
    assert client.get("/jobs/bulk").headers["Location"] == "/jobs"


@pytest.mark.parametrize("path", ["/jobs/bulk", "/jobs/bulk/confirmed"])
def test_what_nobody_should_send_is_explained(path: str, make_job: MakeJob, client: FlaskClient) -> None:
    job = make_job()
    good = {"csrf_token": token(client), "action": "cancel", "ids": [job.id]}
    many = [f"{number:032x}" for number in range(bulk.MAX_JOBS + 1)]

    assert client.post(path, data=good | {"csrf_token": "forged"}).status_code == 400
    assert client.post(path, data=good | {"action": "paint"}).status_code == 422
    response = client.post(path, data=good | {"ids": many})
    assert response.status_code == 422
    assert f"names {len(many)} jobs; 1 to {bulk.MAX_JOBS} can be changed at once" in response.text
    strange = asked(client, "cancel", "../../etc/passwd", "\0", "<b>")
    assert "3 will not: not there any more" in strange
    assert "<b>" not in strange
    assert state_of(job) is State.QUEUED


# Through the API --------------------------------------------------------------------------------


def test_the_api_tells_of_each_job_what_would_be_done_then_does_it(
    make_job: MakeJob, client: FlaskClient
) -> None:
    failed, running = make_job(State.FAILED), make_job(State.RUNNING)
    body = {"action": "delete", "ids": [failed.id, running.id, failed.id], "dry_run": True}

    dry = client.post("/api/v1/jobs/bulk", json=body).get_json()
    assert (dry["dry_run"], dry["done"], dry["refused"]) == (True, 1, 1)
    assert [item["state"] for item in dry["items"]] == ["failed", "running"]
    assert state_of(failed) is State.FAILED

    done = client.post("/api/v1/jobs/bulk", json=body | {"dry_run": False}).get_json()
    assert done["items"] == [
        {"id": failed.id, "name": failed.name, "state": None, "done": True, "reason": None},
        {
            "id": running.id,
            "name": running.name,
            "state": "running",
            "done": False,
            "reason": "not ended yet; cancel first",
        },
    ]
    assert (state_of(failed), state_of(running)) == (None, State.RUNNING)
    cancel = {"action": "cancel", "ids": [running.id]}
    (item,) = client.post("/api/v1/jobs/bulk", json=cancel).get_json()["items"]
    assert (item["state"], item["done"]) == ("cancelling", True)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"ids": []}, "ids"),
        ({"ids": ["0" * 32] * 1001}, "ids"),
        ({"ids": ["../etc"]}, "ids.0"),
        ({"ids": ["0" * 32 + "\n"]}, "ids.0"),
        ({"ids": "all"}, "ids"),
        ({"action": "paint"}, "action"),
        ({"dry_run": "perhaps"}, "dry_run"),
        ({"force": True}, "force"),
    ],
)
def test_the_api_names_what_is_wrong(change: dict, field: str, client: FlaskClient) -> None:
    body = {"action": "cancel", "ids": ["0" * 32]} | change
    response = client.post("/api/v1/jobs/bulk", json=body)
    assert response.status_code == 422
    assert [error["field"] for error in response.get_json()["errors"]] == [field]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"1", b"null"])
def test_what_is_no_object_is_refused(body: bytes, client: FlaskClient) -> None:
    response = client.post("/api/v1/jobs/bulk", data=body, content_type="application/json")
    assert response.status_code in (400, 422)
    assert response.content_type == "application/problem+json"
    assert "recipe" not in response.text


def test_another_sites_page_may_not_do_it(make_job: MakeJob, client: FlaskClient) -> None:
    job = make_job()
    headers = {"Sec-Fetch-Site": "cross-site"}
    body = {"action": "cancel", "ids": [job.id]}
    assert client.post("/api/v1/jobs/bulk", json=body, headers=headers).status_code == 403
    assert state_of(job) is State.QUEUED


# The gallery ------------------------------------------------------------------------------------


def test_the_gallery_shows_finished_pictures_in_their_proportions(
    make_job: MakeJob, client: FlaskClient
) -> None:
    make_job(State.FAILED, name="Failed one")
    make_job(State.SUCCEEDED, name="Wide one", content=(200, 100))
    make_job(State.SUCCEEDED, name="Tall one", content=(100, 200))
    make_job(State.SUCCEEDED, name="Square one", content=(100, 100))

    page = client.get("/gallery").text

    assert re.findall(r"<b\b[^>]*>([^<]*)</b>", page) == ["Square one", "Tall one", "Wide one"]
    assert re.findall(r'class="(shape-\d+)"', page) == ["shape-12", "shape-4", "shape-20"]
    assert 'width="96" height="48"' in page
    assert "Wide one" not in client.get("/gallery?q=tall").text


def test_the_gallery_has_pages(make_job: MakeJob, client: FlaskClient, monkeypatch) -> None:
    monkeypatch.setattr("web.pages.gallery.PAGE", 1)
    for name in ("First one", "Second one"):
        make_job(State.SUCCEEDED, name=name)
    second = client.get(link(client.get("/gallery").text, "Older")).text
    assert "First one" in second
    assert "Second one" in client.get(link(second, "Newer")).text


def test_the_empty_gallery_invites_and_a_bad_one_is_explained(client: FlaskClient) -> None:
    assert "Make a picture" in client.get("/gallery").text
    for query in ("sort=best", "cursor=x", "q=%00"):
        assert client.get(f"/gallery?{query}").status_code == 422


@pytest.mark.parametrize(
    "name",
    [
        "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    ],
)
def test_names_of_all_peoples_are_taken_and_found(
    client: FlaskClient, make_job: Callable[..., Job], name: str
) -> None:
    job = make_job(name=name)
    found = client.get("/api/v1/jobs", query_string={"q": name}).get_json()["items"]
    assert [(item["id"], item["name"]) for item in found] == [(job.id, name)]


def test_finished_pictures_are_downloaded_as_one_zip(
    client: FlaskClient, make_job: Callable[..., Job]
) -> None:
    # Given two finished pictures of one name and a job that waits
    jobs = [make_job(State.SUCCEEDED, name="Mill") for _ in range(2)] + [make_job()]
    form = {"csrf_token": token(client), "ids": [job.id for job in jobs]}

    answer = client.post("/jobs/download", data=form)

    # Then the zip holds the two, whole and under names of their own
    assert answer.headers["Content-Disposition"] == "attachment; filename=pictures.zip"
    with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:
        assert archive.testzip() is None
        assert len(set(archive.namelist())) == 2
        whole = client.get(f"/jobs/{jobs[0].id}/result").data
        assert whole in [archive.read(name) for name in archive.namelist()]

    # And without a finished one there is none, which is said
    none = client.post("/jobs/download", data=form | {"ids": jobs[2].id}, follow_redirects=True)
    assert "None of these jobs has finished" in none.text


def test_a_list_with_films_says_where_they_are_cancelled(
    client: FlaskClient, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_job()
    words = "Films are cancelled, tried again and deleted on their own pages."
    assert words not in client.get("/jobs").text
    know_clips(monkeypatch)
    make_film()
    assert words in client.get("/jobs").text
