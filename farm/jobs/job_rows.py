"""A job's row beside its state: created, renamed, given another priority, deleted once it has ended."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, delete, update
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.database.models import Event, Job, JobPicture, PictureRole, State, Upload, WorkClass
from farm.database.names import fold
from farm.errors import WrongState
from farm.fleet.estimates import compute_least_bytes
from farm.jobs.states import get
from farm.recipe import Recipe
from farm.recipe.picture_sizes import PictureSizes


def create(
    session: Session,
    *,
    name: str,
    recipe: Recipe,
    content: Upload,
    styles: Sequence[Upload],
    guides: Mapping[PictureRole, Sequence[Upload]] | None = None,
    file_names: Sequence[str | None] = (),
    priority: int = 0,
    job_id: str | None = None,
    webhook_url: str | None = None,
    tag: str | None = None,
    owner_id: int | None = None,
    holds: int = 0,
) -> Job:
    """Add a job, queued. Its uploads are in the session already.

    Args:
        tag: only workers that have it take the job.
        guides: by their role, each role's in their order.
        file_names: of the photograph, then of the paintings, as far as they are known.
        owner_id: the person whose it is; None: nobody's.
        holds: see `PictureSizes`.
    """
    height, width = recipe.compute_result_size(content.height, content.width)
    guides = guides or {}
    masks, keeps = len(guides.get(PictureRole.MASK, ())), bool(guides.get(PictureRole.KEEP))
    sizes = PictureSizes(content.size, tuple(style.size for style in styles), masks, keeps, holds)
    job = Job(
        id=job_id or uuid.uuid4().hex,
        name=name,
        state=State.QUEUED,
        work_class=WorkClass.from_size(max(height, width)),
        priority=priority,
        recipe=recipe.model_dump(mode="json"),
        look_sha256=recipe.look,
        webhook_url=webhook_url,
        owner_id=owner_id,
        pictures=_pictures(content, styles, file_names) + _guides(guides),
        width=width,
        height=height,
        stored_bytes=0,
        tag=tag,
        least_cpu_bytes=compute_least_bytes(recipe, sizes, "cpu"),
        least_cuda_bytes=compute_least_bytes(recipe, sizes, "cuda"),
    )
    session.add(job)
    session.flush()
    session.add(Event(job_id=job.id, attempt=0, state=State.QUEUED, message="submitted"))
    return job


def _pictures(
    content: Upload, styles: Sequence[Upload], file_names: Sequence[str | None]
) -> list[JobPicture]:
    names = [*file_names, *[None] * (1 + len(styles) - len(file_names))]
    photograph = JobPicture(role=PictureRole.CONTENT, position=0, upload=content, file_name=names[0])
    paintings = [
        JobPicture(role=PictureRole.STYLE, position=position, upload=style, file_name=name)
        for position, (style, name) in enumerate(zip(styles, names[1:], strict=False))
    ]
    return [photograph, *paintings]


def _guides(guides: Mapping[PictureRole, Sequence[Upload]]) -> list[JobPicture]:
    return [
        JobPicture(role=role, position=position, upload=upload)
        for role, uploads in guides.items()
        for position, upload in enumerate(uploads)
    ]


def set_priority(session: Session, job_id: str, priority: int) -> Job:
    """Change what goes first: a job that waits, or that may wait again.

    Raises:
        NotFound: no such job. WrongState: it has ended.
    """
    job = get(session, job_id)
    alive = [state for state in State if not state.ended]
    if not _write_priority(session, priority, Job.id == job_id, Job.state.in_(alive)):
        raise WrongState(f"This job has already {job.state.value}; its priority says nothing any more.")
    return get(session, job_id)


def set_priority_of_film(session: Session, film_id: str, priority: int) -> None:
    """Change that of all parts of a film, also of those that have ended: parts that are made later have
    it from the first."""
    _write_priority(session, priority, Job.film_id == film_id)


def _write_priority(session: Session, priority: int, *which: ColumnElement[bool]) -> int:
    """Return how many jobs it was changed of."""
    values = {"priority": priority, "version": Job.version + 1}
    return sessions.execute_count(session, update(Job).where(*which).values(values))


def rename(session: Session, job_id: str, name: str) -> Job:
    """Give a job another name, in whichever state it is.

    Raises:
        NotFound: no such job.
    """
    renamed = update(Job).where(Job.id == job_id)
    values = {"name": name, "name_folded": fold(name), "version": Job.version + 1}
    sessions.execute_count(session, renamed.values(values))
    return get(session, job_id)


def delete_ended(session: Session, job_id: str) -> Job:
    """Delete a job's row and return it as it last was. Its files are removed by `actions.delete`, or by
    the janitor.

    Raises:
        NotFound: no such job.
        WrongState: it has not ended.
    """
    job = get(session, job_id)
    ended = [state for state in State if state.ended]
    if not sessions.execute_count(session, delete(Job).where(Job.id == job_id, Job.state.in_(ended))):
        raise WrongState(f"This job is {job.state.value}; cancel it first, then delete it.")
    return job
