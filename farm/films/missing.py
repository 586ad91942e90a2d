"""Painted frames whose files are gone: what a retry finds, and which parts paint them again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.database.films import FilmFrame
from farm.database.models import Job, State
from farm.recipe.film import Part, Role
from farm.storage import storage


def list_missing(film_id: str) -> list[FilmFrame]:
    """Return the frames of a film that are recorded as painted, and whose files are gone.

    Raises:
        StorageAway: nobody can know now.
    """
    with sessions.read_session() as session:
        mine = select(FilmFrame).where(FilmFrame.film_id == film_id).order_by(FilmFrame.number)
        frames = session.scalars(mine).all()
    store = storage()
    store.check_mark()  # else all would be gone from a disk that is not mounted
    stored: set[str] = set()
    for job_id in {frame.job_id for frame in frames}:
        stored.update(store.list_sizes(f"jobs/{job_id}"))
    return [frame for frame in frames if frame.key not in stored]


def forget_frames(session: Session, frames: Iterable[FilmFrame]) -> None:
    """Forget frames whose files are of no use, unless they were painted again meanwhile."""
    for frame in frames:
        same = delete(FilmFrame).where(
            FilmFrame.film_id == frame.film_id,
            FilmFrame.number == frame.number,
            FilmFrame.job_id == frame.job_id,
            FilmFrame.attempt == frame.attempt,
        )
        sessions.execute_count(session, same)


@dataclass(frozen=True)
class Again:
    """Plan of a retry: what happens to the parts of a film."""

    # Those that failed or were cancelled, and have all that they need: they wait again.
    retried: list[Job]
    # Those that succeeded, and of which frames are gone: they wait again, too.
    reopened: list[Job]
    # Those that failed or were cancelled, and need one of the latter: they are deleted, and made anew
    # once all that they need is there.
    deleted: list[Job]


def plan_retry(session: Session, film_id: str, parts: Sequence[Part], jobs: Sequence[Job]) -> Again:
    """Return what a retry does to a film's jobs.

    Args:
        parts: all of the film. jobs: of its parts, all ended.
    """
    painted = set(session.scalars(select(FilmFrame.number).where(FilmFrame.film_id == film_id)))
    found = Again([], [], [])
    lacking = set[int]()
    for job in jobs:
        part = parts[job.film_part or 0]
        if job.state is not State.SUCCEEDED:
            waits = lacking.intersection(part.needs)  # which come before it
            (found.deleted if waits else found.retried).append(job)
        elif part.role is not Role.JOIN and not painted.issuperset(part.frames):
            found.reopened.append(job)
            lacking.add(part.number)
    return found
