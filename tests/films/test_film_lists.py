"""Lists of jobs and films on both databases: one order, pages both ways, states, counts, owners."""

from __future__ import annotations

from itertools import product

import pytest
from sqlalchemy import update

from farm.database import sessions
from farm.database.base import now
from farm.database.films import Film
from farm.database.models import Job, State
from farm.database.people import Person
from farm.films import films, lists
from farm.jobs import claims, states
from farm.jobs.claims import Taker
from farm.jobs.lists import ListQuery, Sort
from farm.people.visitors import ANYBODY
from tests.films.made import FRAMES, claim_part, finish, know_clips, make_film
from tests.jobs.test_jobs import make_job

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def clips(farm_home: object, monkeypatch: pytest.MonkeyPatch) -> None:
    know_clips(monkeypatch)


def page(asked: ListQuery | None = None, cursor: str | None = None, limit: int = 2) -> lists.Page:
    with sessions.read_session() as session:
        return lists.page(session, asked or ListQuery(), cursor=cursor, limit=limit)


def list_ids(found: lists.Page) -> list[str]:
    return [row.id for row in found.rows]


def test_films_stand_among_the_jobs_in_every_order_and_pages_lead_both_ways() -> None:
    # Given three jobs and two films, some made at one moment
    ids = [make_job("b"), make_film(name="A").id, make_job("c"), make_film(name="bb").id, make_job("a")]
    moment = now()
    with sessions.write_session() as session:
        for kind in (Job, Film):
            session.execute(update(kind).where(kind.id.in_(ids[1:4])).values(created_at=moment))
    for state, sort in product((None, State.QUEUED), Sort):
        asked = ListQuery(state=state, sort=sort)
        every = list_ids(page(asked, limit=100))
        assert sorted(every) == sorted(ids)

        # When its pages are followed to the end and back, then all are there in one order
        pages = [page(asked)]
        while cursor := pages[-1].next_cursor:
            pages.append(page(asked, cursor))
        assert [each for found in pages for each in list_ids(found)] == every
        previous = pages[-1].previous_cursor
        assert list_ids(page(asked, previous)) == list_ids(pages[-2])
    assert [row.name_folded for row in page(ListQuery(sort=Sort.NAME), limit=100).rows] == [
        "a",
        "a",
        "b",
        "bb",
        "c",
    ]


@pytest.mark.slow
def test_a_list_knows_each_state_of_a_film_and_its_frames() -> None:
    # Given films of every state
    made: dict[State, Film] = {}
    for state in sorted(State, key=lambda state: state is State.QUEUED):  # which would be claimed
        made[state] = make_film(name=f"Über {state}")
        _bring_to(made[state], state)

    # Then lists have them by their states, as their own pages say them
    for state, film in made.items():
        assert films.compute_state(films.get(film.id)) is state
        (found,) = page(ListQuery(state=state)).rows
        assert isinstance(found, lists.ListedFilm)
        assert (found.id, found.state) == (film.id, state)
    with sessions.read_session() as session:
        assert lists.count_by_state(session) == dict.fromkeys(State, 1)
        assert lists.count_by_state(session, "UBER f")[State.FAILED] == 1
        assert sum(lists.count_by_state(session, "uber f").values()) == 1
        newest = {each.state: each for each in lists.list_newest(session, 10, ANYBODY)}
    done, waiting = newest[State.SUCCEEDED], newest[State.QUEUED]
    assert (done.painted, done.first_painted, done.progress) == (FRAMES, 0, 1.0)
    assert (waiting.painted, waiting.first_painted, waiting.progress) == (0, None, 0.0)
    assert (done.seconds, done.size) == (FRAMES / 25, (43, 64))


def _bring_to(film: Film, state: State) -> None:
    """Do what workers and people do until a film is in this state; it is the next that is claimed."""
    if state is State.QUEUED:
        return
    if state is State.CANCELLED:
        films.cancel(film.id)
        return
    claim = claim_part()
    assert claim
    assert claim.job.film_id == film.id
    if state is State.CANCELLING:
        films.cancel(film.id)
    if state is State.FAILED:
        with sessions.write_session() as session:
            states.fail(session, claim.attempt, "The renderer broke.")
        films.settle(film.id)
    if state is State.SUCCEEDED:
        finish(claim)
        while films.get(film.id).outcome is None:
            with sessions.write_session() as session:
                again = claims.claim(session, Taker("worker@test"))
            assert again
            finish(again)


def test_people_see_their_own_films_alone_and_find_them_by_name() -> None:
    mine, other = make_film(name="Möwen am Strand"), make_film(name="Strand")
    with sessions.write_session() as session:
        person = Person(name="Ada")
        session.add(person)
        session.flush()
        session.execute(update(Film).where(Film.id == mine.id).values(owner_id=person.id))
        ada = person.id
    assert list_ids(page(ListQuery(owner_id=ada))) == [mine.id]
    assert list_ids(page(ListQuery(q="mowen"))) == [mine.id]
    assert set(list_ids(page(ListQuery(q="strand")))) == {mine.id, other.id}
    with sessions.read_session() as session:
        assert sum(lists.count_by_state(session, owner_id=ada).values()) == 1
