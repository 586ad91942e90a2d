"""Films among the jobs that operators look after: time to empty, obstacles, priority."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from sqlalchemy import select, update

from farm.cli import main
from farm.database import sessions
from farm.database.films import Film
from farm.database.fleet import Worker
from farm.database.models import Job, State
from farm.database.people import AuditLine
from farm.database.people import Role as RoleOfPerson
from farm.errors import NotFound, WrongState
from farm.films import films
from farm.jobs import actions, backlog, film_work
from farm.jobs.backlog import Backlog
from farm.people import accounts, quotas
from farm.people.quotas import Limits
from farm.people.visitors import ANYBODY, Visitor
from farm.recipe import Recipe
from farm.recipe.film import HELD_SHARE
from farm.recipe.levels import compute_levels, count_work
from tests.films.made import CLIP, FRAMES, claim_part, finish, get_part, make_film
from tests.jobs.test_claims import make, see, take_id

pytestmark = pytest.mark.usefixtures("database", "clips_without_a_broker")
RECIPE = Recipe(size=64)
FRAME = count_work(RECIPE, compute_levels(RECIPE, *CLIP.size)) / 1e6


def read() -> Backlog:
    with sessions.read_session() as session:
        return backlog.read(session)


def see_worker(**values: object) -> None:
    see("gpu0@a")
    with sessions.write_session() as session:
        session.execute(update(Worker).values({"seconds_per_megapixel": 2.0} | values))


def list_priorities(film: Film) -> set[int]:
    return {job.priority for job in films.get(film.id).parts}


def test_the_time_until_all_is_done_counts_all_frames_also_of_parts_that_have_no_job() -> None:
    # Given a film of 3 anchors and 7 frames between them, of which one part has a job
    see_worker()
    film = make_film(RECIPE)
    assert len(films.get(film.id).parts) == 1
    whole = 2.0 * FRAME * (3 + 7 * HELD_SHARE)
    assert read().seconds == pytest.approx(whole)

    # When a part is done it counts no more, and half of one by half
    first = claim_part()
    assert first is not None
    finish(first)
    assert read().seconds == pytest.approx(whole - 2.0 * FRAME)
    assert claim_part() is not None
    with sessions.write_session() as session:
        session.execute(update(Job).where(Job.film_part == 1).values(progress=0.5))
    assert read().seconds == pytest.approx(whole - 2.0 * FRAME * 1.5)

    # And one that has ended counts nothing
    films.cancel(film.id)
    assert read().seconds == 0


def test_many_films_and_jobs_are_estimated_by_some(monkeypatch: pytest.MonkeyPatch) -> None:
    see_worker()
    for _ in range(4):
        make_film(RECIPE)
        make()
    exact = read().seconds
    monkeypatch.setattr(film_work, "SAMPLE", 2)
    monkeypatch.setattr(backlog, "SAMPLE", 3)
    assert read().seconds == pytest.approx(exact)


def test_a_film_that_no_worker_can_paint_is_an_obstacle_and_pictures_beside_it_are_none() -> None:
    see_worker(films=False)
    make_film(RECIPE)
    make()
    (found,) = read().obstacles
    assert (found.count, found.reason.split(".")[0]) == (1, "No worker can paint films")


def test_the_priority_of_a_part_is_the_films_also_of_parts_that_come_later() -> None:
    # Given a film behind which a job waits, and whose first part is done
    film = make_film(RECIPE)
    first = claim_part()
    assert first is not None
    finish(first)
    later = make(priority=1)

    # When one of its parts is put to the front
    part = actions.set_priority(get_part(film, 1).id, 100, ANYBODY, "Olga")
    assert part.priority == 100

    # Then all its parts have it, and go before the job
    assert list_priorities(film) == {100}
    second = claim_part()
    assert second is not None
    finish(second)
    assert list_priorities(film) == {100}
    assert take_id() != later
    with sessions.read_session() as session:
        line = session.scalars(select(AuditLine).order_by(AuditLine.id.desc())).first()
    assert line is not None
    assert (line.person, line.action, line.subject) == ("Olga", "change priority", film.id)


def test_a_film_that_ended_has_no_priority_and_one_that_is_not_there_is_none() -> None:
    film = make_film(RECIPE)
    films.cancel(film.id)
    with pytest.raises(WrongState, match="already cancelled"):
        actions.set_priority_of_film(film.id, 5, ANYBODY, "Olga")
    with pytest.raises(NotFound):
        actions.set_priority_of_film("0" * 32, 5, ANYBODY, "Olga")


def test_operators_change_it_by_command_by_the_id_of_film_or_part() -> None:
    film = make_film(RECIPE)
    for given, priority in ((film.id, 7), (get_part(film, 0).id, 8)):
        result = CliRunner().invoke(main, ["ops", "priority", given, str(priority)])
        assert f"has priority {priority}" in result.output
        assert list_priorities(film) == {priority}
    assert "0 at work, nobody knows until when" in CliRunner().invoke(main, ["ops", "queue"]).output
    films.cancel(film.id)
    assert "0 at work, nothing to do" in CliRunner().invoke(main, ["ops", "queue"]).output


def add_person(**limits: float) -> Visitor:
    with sessions.write_session() as session:
        person = accounts.add(session, "Ada", RoleOfPerson.USER, by="a test")
        quotas.change_limits(session, "Ada", Limits(**limits), by="a test")  # type: ignore[arg-type]
        return Visitor(person.id, "Ada", person.role)


def test_parts_at_work_count_as_jobs_at_once_and_all_frames_as_megapixels() -> None:
    # Given a person who may have one job at once, and a film with two parts that wait
    ada = add_person(running=1)
    make_film(RECIPE, visitor=ada)
    for _ in range(2):
        claim = claim_part()
        assert claim is not None
        finish(claim)

    # Then one of them is painted at a time
    assert claim_part() is not None
    assert claim_part() is None
    with sessions.read_session() as session:
        found = quotas.measure(session, accounts.get(session, "Ada"))
    assert (found.running.used, found.waiting.used) == (1, 1)
    height, width = RECIPE.compute_result_size(*CLIP.size)
    assert found.megapixels_a_day.used == pytest.approx(FRAMES * height * width / 1e6)


def test_the_film_of_a_person_who_is_removed_goes_on_and_is_nobodys() -> None:
    ada = add_person()
    film = make_film(RECIPE, visitor=ada)
    claim = claim_part()
    assert claim is not None
    with sessions.write_session() as session:
        accounts.remove(session, "Ada", by="a test")
    finish(claim)
    while claim := claim_part():
        finish(claim)
    found = films.get(film.id)
    assert (found.outcome, found.owner_id) == (State.SUCCEEDED, None)
    assert {job.owner_id for job in found.parts} == {None}
