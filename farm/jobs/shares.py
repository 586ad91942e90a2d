"""Shares: what each person used of the farm lately, so that nobody clogs the queue and nobody starves.

The rendering seconds of each are a sum that decays: after `HALF_LIFE` half of it is forgotten. Jobs that
belong to nobody count together, as one more person's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Integer, case, cast, func, null, select, union_all, update
from sqlalchemy.orm import Session

from farm.database.clock import now
from farm.database.models import HELD, Job, State
from farm.database.people import Person, Share
from farm.database.sessions import execute_count, read_clock
from farm.database.upserts import insert
from farm.jobs.held import ONE, is_in

HALF_LIFE = timedelta(hours=1)
NOBODY = 0  # the owner of what belongs to nobody, in the table of shares
OWNERS = union_all(
    select(Person.id, Person.max_running), select(cast(NOBODY, Integer), cast(null(), Integer))
).subquery()
AT_WORK = (
    select(Job.owner_id, func.count().label("jobs"))
    .where(is_in(*HELD))
    .group_by(Job.owner_id)
    .subquery()
)
# One look into an index for each person; going over all that waits takes longer the more there is.
FIRST_WAITING = select(Job.id).where(is_in(State.QUEUED)).limit(ONE)
NOBODYS_FIRST = FIRST_WAITING.where(Job.owner_id.is_(None)).scalar_subquery()
THEIR_FIRST = FIRST_WAITING.where(Job.owner_id == OWNERS.c.id).scalar_subquery()
USES = (
    select(
        OWNERS.c.id,
        func.coalesce(AT_WORK.c.jobs, 0),
        case((OWNERS.c.id == NOBODY, NOBODYS_FIRST), else_=THEIR_FIRST).is_not(None),
        Share.used_seconds,
        Share.used_at,
        OWNERS.c.max_running,
    )
    .select_from(OWNERS)
    .outerjoin(AT_WORK, func.coalesce(AT_WORK.c.owner_id, NOBODY) == OWNERS.c.id)
    .outerjoin(Share, Share.owner_id == OWNERS.c.id)
)


@dataclass(frozen=True)
class Use:
    """Use that one person makes of the farm."""

    # Jobs that workers have now.
    running: int = 0
    # Whether any waits.
    waiting: bool = False
    # Of rendering lately; each second counts less the longer ago it was.
    seconds: float = 0.0
    # Jobs that workers may have at once; None: the farm's limit, 0: any number.
    max_running: int | None = None


def read_uses(session: Session) -> dict[int | None, Use]:
    """Return what each person has of the farm now, and what belongs to nobody (None)."""
    return collect_uses(session.execute(USES))


def collect_uses(rows: Iterable[Sequence[Any]]) -> dict[int | None, Use]:
    """Return what `read_uses` does from rows that begin with the columns of `USES`."""
    moment = now()
    return {
        owner or None: Use(running, waiting, _decay(used, moment - used_at) if used_at else 0.0, most)
        for owner, running, waiting, used, used_at, most, *_ in rows
    }


def count_running(session: Session, owner_id: int) -> int:
    """Return how many jobs of a person workers have now."""
    theirs = Job.owner_id == owner_id
    return session.scalars(select(func.count()).where(theirs, is_in(*HELD))).one()


def add_use(session: Session, owner_id: int | None, seconds: float) -> None:
    """Add an attempt's rendering seconds to its owner's, of whom several may end at one moment."""
    moment, owner = read_clock(session), owner_id or NOBODY
    mine = select(Share.used_seconds, Share.used_at).where(Share.owner_id == owner).with_for_update()
    known = session.execute(mine).one_or_none()
    if known is None:  # only one of two that find none adds it
        added = insert(session, Share).values(owner_id=owner, used_seconds=0.0, used_at=moment)
        session.execute(added.on_conflict_do_nothing(index_elements=["owner_id"]))
        known = session.execute(mine).one()
    used = _decay(known.used_seconds, moment - known.used_at) + max(seconds, 0.0)
    grown = update(Share).where(Share.owner_id == owner).values(used_seconds=used, used_at=moment)
    execute_count(session, grown)


def _decay(seconds: float, age: timedelta) -> float:
    return float(seconds * 0.5 ** (max(age, timedelta()) / HALF_LIFE))
