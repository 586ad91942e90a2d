"""Films while they are painted: their parts begin, end, are cancelled and go on.

A film's row says how it ended (`outcome`), which one conditional UPDATE writes, so that its end is told
once; all else is read off its parts. `advance` makes what follows from them, in the transaction of a
part's end or later: any number of times, by any process.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import structlog
from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, lazyload, load_only, raiseload, selectinload

from farm.database import disk, reserve, sessions
from farm.database.deliveries import Delivery
from farm.database.films import Film, FilmFrame
from farm.database.models import Job, State
from farm.database.sessions import read_clock
from farm.errors import NotFound, WrongState
from farm.films import missing
from farm.films.parts import add_part, describe_part, read_plan
from farm.jobs import actions, attempts, cleanup, job_rows, states
from farm.jobs.states import AttemptRef
from farm.jobs.tickets import TicketBatch
from farm.people import quotas
from farm.people.visitors import ANYBODY, NO_FILM, Visitor
from farm.recipe.film import Part, Role, list_ready

ENDED = [state for state in State if state.ended]
BROKEN = (State.FAILED, State.CANCELLED)  # outcomes of a film that can be retried
LARGEST_NUMBER = 2**31 - 1  # that a column of frames' numbers holds

log = structlog.get_logger()


def get(film_id: str) -> Film:
    """Return one film with those of its parts that have a job, in their order; the first of them has its
    pictures, which are those of all.

    Raises:
        NotFound: no such film.
    """
    parts = selectinload(Film.parts).lazyload(Job.pictures)
    with sessions.read_session() as session:
        found: Film | None = session.get(Film, film_id, options=[parts])
        if found is None or not found.parts:  # else its parts went between the two statements
            raise NotFound(NO_FILM)
        found.parts[0].pictures  # noqa: B018 - read now
    return found


def list_newest(session: Session, limit: int, visitor: Visitor = ANYBODY) -> list[Film]:
    """Return the latest films that a visitor sees, with what lists show of their parts, newest first."""
    shown = (Job.film_id, Job.film_part, Job.film_role, Job.state, Job.progress, Job.priority)
    parts = selectinload(Film.parts).options(load_only(*shown, raiseload=True), raiseload(Job.pictures))
    seen = select(Film).where(visitor.match_visible(Film.owner_id)).options(parts)
    newest = seen.order_by(Film.created_at.desc(), Film.id.desc())
    return list(session.scalars(newest.limit(limit)))


def list_frames(session: Session, film_id: str) -> list[FilmFrame]:
    """Return the frames of a film that are painted, by their numbers."""
    mine = select(FilmFrame).where(FilmFrame.film_id == film_id).order_by(FilmFrame.number)
    return list(session.scalars(mine))


def list_painted(session: Session, film_ids: Sequence[str]) -> dict[str, list[int]]:
    """Return the numbers of the frames that are painted, rising, of each of these films."""
    theirs = select(FilmFrame.film_id, FilmFrame.number).where(FilmFrame.film_id.in_(film_ids))
    found: dict[str, list[int]] = {film_id: [] for film_id in film_ids}
    for film_id, number in session.execute(theirs.order_by(FilmFrame.film_id, FilmFrame.number)):
        found[film_id].append(number)
    return found


def get_frame(session: Session, film_id: str, number: int) -> FilmFrame:
    """Return a painted frame.

    Raises:
        NotFound: it is not painted yet, or none of the film's.
    """
    known = number <= LARGEST_NUMBER  # SQLite takes none beyond 64 bits
    found = session.get(FilmFrame, (film_id, number)) if known else None
    if found is None:
        raise NotFound("This frame is not painted yet, or is none of the film's.")
    return found


def compute_state(film: Film) -> State:
    """Return how a film, which has its parts with it, stands."""
    found = {job.state for job in film.parts}
    if film.outcome is State.CANCELLED and not all(state.ended for state in found):
        return State.CANCELLING
    if film.outcome is not None:
        return film.outcome
    return State.QUEUED if found <= {State.QUEUED} else State.RUNNING


def compute_progress(film: Film, painted: int) -> float:
    """Return the share of a film that is done, 0..1, by its frames.

    Args:
        painted: frames that are finished.
    """
    if film.outcome is State.SUCCEEDED:
        return 1.0
    frames = len(read_plan(film)[-1].frames)
    at_work = sum(
        job.progress for job in film.parts if job.state is State.RUNNING and job.film_role is Role.ANCHOR
    )
    return min(0.99, (painted + at_work) / frames)  # the rest is joining


def find_join(film: Film) -> Job | None:
    """Return the job of the part that joins a film; None: it has not begun."""
    return next((job for job in film.parts if job.film_role is Role.JOIN), None)


def advance(session: Session, film_id: str) -> list[Job]:
    """Record the end of a film whose parts have come to it; else add the jobs of the parts that can
    begin now. Whoever does both at this moment waits, and finds nothing left to do.

    Returns:
        the jobs that were added; their tickets are to be sent after the commit.
    """
    film = _lock(session, film_id)
    if film is None or film.outcome is not None:
        return []
    jobs = _list_jobs(session, film_id)
    parts = read_plan(film)
    by_state = {state: [job for job in jobs if job.state is state] for state in State}
    if failed := by_state[State.FAILED]:
        _end(session, film, State.FAILED, _explain(failed[0], parts))
    elif by_state[State.CANCELLED] or by_state[State.CANCELLING]:
        _end(session, film, State.CANCELLED)
    elif any(job.film_role is Role.JOIN for job in by_state[State.SUCCEEDED]):
        _end(session, film, State.SUCCEEDED)
    else:
        begun = {job.film_part for job in jobs if job.film_part is not None}
        done = {job.film_part for job in by_state[State.SUCCEEDED] if job.film_part is not None}
        return [add_part(session, film, part, parts, jobs[0]) for part in list_ready(parts, begun, done)]
    return []


def choose_features(session: Session, attempt: AttemptRef, film_id: str, features: str) -> str:
    """Record the network of a part and return it: the one that other parts have, if any has; else this.

    Raises:
        AttemptLost: the job is no longer this attempt's.
    """
    _lock(session, film_id)
    taken = select(Job.features).where(Job.film_id == film_id, Job.features.is_not(None))
    chosen = session.scalars(taken.order_by(Job.film_part).limit(1)).one_or_none() or features
    attempts.set_features(session, attempt, chosen)
    return chosen


def settle(film_id: str) -> None:
    """Do all that follows from how a film's parts stand: begin others, or stop those that are left of a
    film that ended. Again is harmless."""
    with sessions.write_session() as session:
        added = advance(session, film_id)
        film = session.get(Film, film_id)
        ended = film is not None and film.outcome in BROKEN
    send_tickets(added)
    if ended:
        _cancel_parts(film_id)


def settle_all() -> None:
    """Settle each film that needs it, whatever cut off whoever should have: the janitor's part. One that
    breaks it off hinders no other."""
    with sessions.read_session() as session:
        due = session.scalars(select(Film.id).where(_match_unsettled())).all()
    for film_id in due:
        try:
            settle(film_id)
        except OperationalError:  # the database is away: for all of them
            raise
        except Exception:
            log.exception("film not settled", film=film_id)


def _match_unsettled() -> ColumnElement[bool]:
    """Return the condition of a film that ended with parts that did not, or that has none at work."""
    left = select(Job.id).where(Job.film_id == Film.id, Job.state.not_in(ENDED)).exists()
    broken = (State.FAILED, State.CANCELLED, State.CANCELLING)
    broke = select(Job.id).where(Job.film_id == Film.id, Job.state.in_(broken)).exists()
    going = Film.outcome.is_(None)
    return or_(and_(going, or_(~left, broke)), and_(~going, left))


def send_tickets(jobs: Sequence[Job]) -> None:
    """Send tickets for parts that were added."""
    tickets = TicketBatch()
    for job in jobs:
        tickets.send(job)


def cancel(film_id: str) -> Film:
    """Stop a film: parts that wait at once, those at work soon; none begins afterwards. Again is
    harmless.

    Raises:
        NotFound: no such film. WrongState: it has succeeded or failed.
    """
    reserve.release_if_full()
    with sessions.write_session() as session:
        film = _lock(session, film_id)
        if film is None:
            raise NotFound(NO_FILM)
        if film.outcome is None:
            _end(session, film, State.CANCELLED)
        elif film.outcome is not State.CANCELLED:
            message = f"This film has already {film.outcome.value}; there is nothing to cancel."
            raise WrongState(message)
    _cancel_parts(film_id)
    return get(film_id)


def _cancel_parts(film_id: str) -> None:
    """Cancel each part that has not ended of a film that has, in a transaction of its own, so that no
    worker that holds one waits for another."""
    with sessions.read_session() as session:
        left = session.scalars(
            select(Job.id).where(Job.film_id == film_id, Job.state.in_((State.QUEUED, State.RUNNING)))
        ).all()
    for job_id in left:
        with suppress(NotFound, WrongState):
            _cancel_part(film_id, job_id)


def _cancel_part(film_id: str, job_id: str) -> None:
    """Cancel a part that has not ended, unless its film goes on: it may have been retried since whoever
    asks has looked.

    The part's row is locked before the film's, as by the worker that ends it. `retry` locks them the
    other way round, but only parts that have ended, for whose film nobody waits here.

    Raises:
        NotFound: there is no such part any more. WrongState: it has ended.
    """
    with sessions.write_session() as session:
        left = select(Job.id).where(Job.id == job_id, Job.state.not_in(ENDED))
        if session.scalar(left.with_for_update(key_share=True)) is None:
            return
        film = _lock(session, film_id)
        if film is None or film.outcome not in BROKEN:
            return
        job = states.cancel(session, job_id)
    if job.state.ended:  # a running one's worker removes its files when it stops
        cleanup.remove_files(job_id)


def retry(film_id: str) -> Film:
    """Let a failed or cancelled film go on: its parts that failed or were cancelled wait again, and
    begin after their last finished frame; so do parts of which finished frames are gone.

    Raises:
        NotFound: no such film.
        WrongState: it has neither failed nor been cancelled, or some part still stops.
        NoRoom: the farm's disk is nearly full.
        StorageAway: nobody knows which frames are there.
        QuotaReached: as many of its owner's jobs wait as may, or as much is stored.
    """
    disk.check_room()
    gone = missing.list_missing(film_id)
    with sessions.write_session() as session:
        film = _lock_broken(session, film_id)
        quotas.check_storage_left(session, film.owner_id)
        missing.forget_frames(session, gone)
        jobs = _list_jobs(session, film_id)
        if not all(job.state.ended for job in jobs):
            raise WrongState("Parts of this film are still stopping; try again in a moment.")
        film.outcome = film.error = film.finished_at = None
        again = missing.plan_retry(session, film_id, read_plan(film), jobs)
        quotas.take_places(session, film.owner_id, len(again.retried) + len(again.reopened))
        added = [states.retry(session, job.id) for job in again.retried]
        added += [states.reopen(session, job.id) for job in again.reopened]
        for job in again.deleted:
            job_rows.delete_ended(session, job.id)
        added += advance(session, film_id)
    for job in again.deleted:
        cleanup.remove_files(job.id)
    send_tickets(added)
    return get(film_id)


def _lock_broken(session: Session, film_id: str) -> Film:
    """Return a film that can be retried, its row locked as by `_lock`.

    Raises:
        NotFound: no such film. WrongState: it has neither failed nor been cancelled.
    """
    film = _lock(session, film_id)
    if film is None:
        raise NotFound(NO_FILM)
    if film.outcome not in BROKEN:
        state = film.outcome.value if film.outcome else "not ended"
        raise WrongState(f"This film has {state}; only a failed or cancelled one is retried.")
    return film


def delete(film_id: str) -> None:
    """Delete a film that has ended, with its frames and its file.

    Raises:
        NotFound: no such film. WrongState: it has not ended, or one of its parts has not.
    """
    actions.delete_film(film_id)


def _lock(session: Session, film_id: str) -> Film | None:
    """Return a film and lock its row until the session ends."""
    return session.scalars(actions.select_locked_film(film_id)).one_or_none()


def _list_jobs(session: Session, film_id: str) -> list[Job]:
    """Return the jobs of a film's parts as the database has them now, in the order of the parts; their
    pictures, which nearly nobody asks for, are read when somebody does."""
    mine = select(Job).where(Job.film_id == film_id).order_by(Job.film_part)
    mine = mine.options(lazyload(Job.pictures))
    return list(session.scalars(mine.execution_options(populate_existing=True)))


def _end(session: Session, film: Film, outcome: State, error: str | None = None) -> None:
    """Record a film's end, and leave its webhook's delivery in the same transaction."""
    moment = read_clock(session)
    ended = update(Film).where(Film.id == film.id, Film.outcome.is_(None))
    values = {"outcome": outcome, "error": error, "finished_at": moment}
    if not sessions.execute_count(session, ended.values(**values)):
        return
    session.refresh(film)
    if film.webhook_url:
        first = _list_jobs(session, film.id)[0]
        session.add(
            Delivery(
                job_id=first.id,
                attempt=first.attempt,
                state=outcome,
                created_at=moment,
                due_at=moment,
            )
        )
        session.flush()


def _explain(failed: Job, parts: Sequence[Part]) -> str:
    """Return for a person why a film failed, by the frames of the part that did."""
    words = describe_part(parts[failed.film_part or 0], parts)
    return f"{words[0].upper()}{words[1:]}: {failed.error}"
