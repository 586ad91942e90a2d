"""Shares: what each person used of the farm lately, so that nobody clogs the queue and nobody starves.

The rendering seconds of each are a sum that decays: after `HALF_LIFE` half of it is forgotten. Jobs that
belong to nobody count together, as one more person's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Integer, cast, func, null, select, union_all
from sqlalchemy.orm import Session

from farm.database.clock import now
from farm.database.models import HELD, Job, State
from farm.database.people import Person, Share
from farm.database.sessions import read_clock
from farm.database.upserts import insert

HALF_LIFE = timedelta(hours=1)
AT_WORK = select(Job.owner_id, func.count()).where(Job.state.in_(HELD)).group_by(Job.owner_id)
# One look into an index for each person; going over all that waits takes longer the more there is.
FIRST_WAITING = select(Job.id).where(Job.state == State.QUEUED).limit(1)
WAITING = union_all(
    select(Person.id).where(
        FIRST_WAITING.where(Job.owner_id == Person.id).scalar_subquery().is_not(None)
    ),
    select(cast(null(), Integer)).where(
        FIRST_WAITING.where(Job.owner_id.is_(None)).scalar_subquery().is_not(None)
    ),
)
USED = select(Share.owner_id, Share.used_seconds, Share.used_at)
NOBODY = 0  # the owner of what belongs to nobody, in the table of shares


@dataclass(frozen=True)
class Use:
    """Use that one person makes of the farm."""

    # Jobs that workers have now.
    running: int = 0
    # Whether any waits.
    waiting: bool = False
    # Of rendering lately; each second counts less the longer ago it was.
    seconds: float = 0.0


def read_uses(session: Session) -> dict[int | None, Use]:
    """Return what each owner has of the farm now, whoever has anything or waits for it."""
    running = dict(session.execute(AT_WORK).all())
    waiting = set(session.scalars(WAITING))
    moment = now()
    seconds = {
        owner or None: _decay(used, moment - used_at) for owner, used, used_at in session.execute(USED)
    }
    return {
        owner: Use(running.get(owner, 0), owner in waiting, seconds.get(owner, 0.0))
        for owner in {*running, *waiting, *seconds}
    }


def count_running(session: Session, owner_id: int) -> int:
    """Return how many jobs of a person workers have now."""
    theirs = Job.owner_id == owner_id
    return session.scalars(select(func.count()).where(theirs, Job.state.in_(HELD))).one()


def add_use(session: Session, owner_id: int | None, seconds: float) -> None:
    """Add an attempt's rendering seconds to its owner's, of whom several may end at one moment."""
    moment, owner = read_clock(session), owner_id or NOBODY
    mine = select(Share).where(Share.owner_id == owner).with_for_update()
    share = session.scalars(mine).one_or_none()
    if share is None:  # only one of two that find none adds it
        added = insert(session, Share).values(owner_id=owner, used_seconds=0.0, used_at=moment)
        session.execute(added.on_conflict_do_nothing(index_elements=["owner_id"]))
        share = session.scalars(mine).one()
    share.used_seconds = _decay(share.used_seconds, moment - share.used_at) + max(seconds, 0.0)
    share.used_at = moment
    session.flush()


def _decay(seconds: float, age: timedelta) -> float:
    return float(seconds * 0.5 ** (max(age, timedelta()) / HALF_LIFE))
