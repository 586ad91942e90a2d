"""The actions of people on jobs: cancel, retry, delete, each with all its effects.

Pages, API, bulk and explorations call these, so that whoever asks gets the same: the state moves
(`states.py`), then files are removed (`cleanup.py`) or a worker is woken (`tickets.py`). Each opens its
own session and does slow I/O after the commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import Select, select
from sqlalchemy import delete as delete_from
from sqlalchemy.orm import Session

from farm.database import disk, reserve, sessions
from farm.database.films import Film
from farm.database.models import Exploration, Job
from farm.errors import InvalidInput, NotFound, Problem, WrongState
from farm.fleet import queue
from farm.jobs import cleanup, job_rows, states, tickets
from farm.jobs.fields import check_priority
from farm.jobs.names import check_name
from farm.jobs.tickets import wake
from farm.people import audit, quotas
from farm.people.visitors import NO_EXPLORATION, NO_FILM, Visitor


def cancel(job_id: str) -> Job:
    """Stop a job: at once if it waits, soon if it runs; again is harmless.

    Raises:
        NotFound: no such job.
        WrongState: it has already succeeded or failed.
    """
    reserve.release_if_full()
    with sessions.write_session() as session:
        job = states.cancel(session, job_id)
    if job.state.ended:  # a running one's worker removes its files when it stops
        cleanup.remove_files(job_id)
    return job


def retry(job_id: str, send: Callable[[Job], bool] = wake) -> Job:
    """Queue a failed or cancelled job again, for a new attempt.

    Args:
        send: sends its ticket; one that cannot be sent is the janitor's.

    Raises:
        NotFound: no such job.
        WrongState: it has neither failed nor been cancelled, or is a part of a film.
        NoRoom: the farm's disk is nearly full.
        QuotaReached: as many of its owner's jobs wait as may.
    """
    disk.check_room()
    with sessions.write_session() as session:
        quotas.take_place(session, _get_whole(session, job_id).owner_id)
        job = states.retry(session, job_id)
    send(job)
    return job


def rename(job_id: str, name: str) -> Job:
    """Give a job another name.

    Raises:
        NotFound: no such job.
        InvalidInput: the name is empty, too long, or cannot be shown.
    """
    name = check_name(name)
    if not name:
        raise InvalidInput(Problem("name", "is empty; a job needs one"))
    with sessions.write_session() as session:
        return job_rows.rename(session, job_id, name)


def set_priority(job_id: str, priority: int, visitor: Visitor, person: str) -> Job:
    """Change a job's priority: higher goes first, the highest to the front. That of a film's part is the
    film's.

    Args:
        visitor: whoever asks for it. person: their name, for the audit.

    Raises:
        NotFound: no such job.
        InvalidInput: no such priority. OperatorsOnly: one above 0, by a user.
        WrongState: it has ended.
    """
    check_priority(priority, visitor)
    with sessions.write_session() as session:
        job = states.get(session, job_id)
        if job.film_id is not None:
            _set_priority_of_film(session, job.film_id, priority, person)
            return states.get(session, job_id)
        before = job.priority
        job = job_rows.set_priority(session, job_id, priority)
        audit.record(session, person, "change priority", job_id, f"{job.name}: {before} to {priority}")
    return job


def set_priority_of_film(film_id: str, priority: int, visitor: Visitor, person: str) -> Film:
    """Change the priority of all parts of a film, those that are yet to begin among them.

    Args, Raises: as above.
    """
    check_priority(priority, visitor)
    with sessions.write_session() as session:
        return _set_priority_of_film(session, film_id, priority, person)


def _set_priority_of_film(session: Session, film_id: str, priority: int, person: str) -> Film:
    film = session.scalars(select_locked_film(film_id)).one_or_none()
    if film is None:
        raise NotFound(NO_FILM)
    if film.outcome is not None:
        raise WrongState(f"This film has already {film.outcome}; its priority says nothing any more.")
    job_rows.set_priority_of_film(session, film_id, priority)
    audit.record(session, person, "change priority", film_id, f"{film.name}: to {priority}")
    return film


def resume_queue(person: str) -> None:
    """Let workers take jobs again, and wake them.

    Args:
        person: name of whoever asks for it, for the audit.
    """
    with sessions.write_session() as session:
        queue.resume(session, person)
        due = tickets.collect_due_tickets(session, after_seconds=0)
    for work_class in due:
        if not tickets.send_ticket(work_class):
            break  # the broker is away; the janitor sends the others


def delete(job_id: str) -> Job:
    """Delete an ended job and all its files; its uploads go later, unless others use them.

    Returns:
        Its row as it last was.

    Raises:
        NotFound: no such job.
        WrongState: it has not ended, or is a part of a film.
    """
    reserve.release_if_full()
    with sessions.write_session() as session:
        _get_whole(session, job_id)
        job = job_rows.delete_ended(session, job_id)
    cleanup.remove_files(job_id)
    return job


def _get_whole(session: Session, job_id: str) -> Job:
    """Return a job that is a picture of its own.

    Raises:
        NotFound: no such job. WrongState: it is a part of a film.
    """
    job = states.get(session, job_id, bare=True)
    if job.film_id is not None:
        raise WrongState("This is a part of a film; ask for the whole film.")
    return job


@contextmanager
def delete_together(job_ids: Iterable[str]) -> Iterator[Session]:
    """Delete ended jobs together, all or none, and their files after the commit; those that are gone
    already are passed over. The block adds to the same transaction.

    Raises:
        WrongState: one has not ended.
    """
    job_ids = list(job_ids)
    reserve.release_if_full()
    with sessions.write_session() as session:
        for job_id in job_ids:
            with suppress(NotFound):
                job_rows.delete_ended(session, job_id)
        yield session
    for job_id in job_ids:
        cleanup.remove_files(job_id)


def delete_exploration(exploration_id: str) -> None:
    """Delete an exploration whose cells have all ended, with all their files.

    Raises:
        NotFound: no such exploration.
        WrongState: a cell has not ended.
    """
    with sessions.read_session() as session:
        cells = session.scalars(select(Job.id).where(Job.exploration_id == exploration_id)).all()
    with delete_together(cells) as session:
        mine = delete_from(Exploration).where(Exploration.id == exploration_id)
        if not sessions.execute_count(session, mine):
            raise NotFound(NO_EXPLORATION)


def delete_film(film_id: str) -> None:
    """Delete a film that has ended, with its frames and its file; its clip goes later, unless others use
    it.

    Raises:
        NotFound: no such film. WrongState: it has not ended, or one of its parts has not.
    """
    reserve.release_if_full()
    with sessions.write_session() as session:
        film = session.scalars(select_locked_film(film_id)).one_or_none()
        if film is None:
            raise NotFound(NO_FILM)
        parts = session.scalars(select(Job.id).where(Job.film_id == film_id)).all()
        if film.outcome is None:
            raise WrongState("This film has not ended; cancel it first, then delete it.")
        for job_id in parts:
            job_rows.delete_ended(session, job_id)
        session.execute(delete_from(Film).where(Film.id == film_id))
    for job_id in parts:
        cleanup.remove_files(job_id)


def select_locked_film(film_id: str) -> Select[Film]:
    """Return a query for a film that locks its row, where the database locks rows; SQLite has one
    writer."""
    mine = select(Film).where(Film.id == film_id).with_for_update(key_share=True)
    return mine.execution_options(populate_existing=True)
