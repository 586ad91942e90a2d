"""Paintings that a person used lately, offered on the form again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from farm.database.films import Film
from farm.database.models import Job, JobPicture, PictureRole, Upload
from farm.explorations import grids
from farm.jobs import lists
from farm.jobs.lists import ListQuery
from farm.people.visitors import Visitor

PREFIX = "recent-"  # of picks that stand for an upload
PICK = re.compile(PREFIX + "([0-9a-f]{64})")
OFFERED = 6  # paintings
LOOKED_AT = 30  # jobs, explorations, and films


@dataclass(frozen=True)
class Painting:
    """A painting of an earlier job."""

    job: Job
    # Among the job's paintings.
    position: int
    upload: Upload
    title: str

    @property
    def pick(self) -> str:
        """Value of its tile."""
        return PREFIX + self.upload.sha256


def list_recent(session: Session, visitor: Visitor) -> list[Painting]:
    """List the paintings of a person's latest jobs, explorations and films, each once; where nobody has
    an account, of anybody's."""
    asked = ListQuery(owner_id=visitor.person_id)
    ids = lists.list_ids(session, asked, LOOKED_AT)
    jobs = list(session.scalars(select(Job).where(Job.id.in_([*ids, *_list_filmed(session, visitor)]))))
    explored = [each.cells[0] for each in grids.list_newest(session, LOOKED_AT, visitor) if each.cells]
    jobs += [job for job in explored if visitor.person_id in (None, job.owner_id)]
    found: dict[str, Painting] = {}
    for job in sorted(jobs, key=lambda job: job.created_at, reverse=True):
        for style in job.styles:
            title = style.file_name or f"Painting of {job.name}"
            found.setdefault(style.upload_sha256, Painting(job, style.position, style.upload, title))
    return list(found.values())[:OFFERED]


def _list_filmed(session: Session, visitor: Visitor) -> Sequence[str]:
    """List the jobs of the first parts of a person's latest films, which have the pictures of all."""
    newest = select(Film.id).order_by(Film.created_at.desc(), Film.id.desc()).limit(LOOKED_AT)
    if visitor.person_id is not None:
        newest = newest.where(Film.owner_id == visitor.person_id)
    first = select(Job.id).where(Job.film_id.in_(newest), Job.film_part == 0)
    return session.scalars(first).all()


def find_painting(session: Session, pick: str, visitor: Visitor) -> JobPicture | None:
    """Find the painting that a pick stands for, in a job that the visitor sees; None: there is none."""
    named = PICK.fullmatch(pick)
    if named is None:
        return None
    query = select(JobPicture).join(Job, Job.id == JobPicture.job_id)
    mine = query.where(
        JobPicture.upload_sha256 == named[1],
        JobPicture.role == PictureRole.STYLE,
        visitor.match_visible(Job.owner_id),
    )
    return session.scalars(mine.limit(1)).first()
