"""Retention: ended jobs are deleted by age and by size, if the operator wants that.

The oldest go first, those with stars last, explorations and films as a whole. `list_due` says beforehand
which; the janitor deletes them, some at a time. Several janitors walk the same list, and each counts
what is gone already, whoever deleted it, so together they delete no more than one would.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import merge

import structlog
from sqlalchemy import ColumnElement, Select, func, literal, or_, select
from sqlalchemy.orm import Session

from farm.counts import format_count
from farm.database import sessions
from farm.database.films import Film
from farm.database.models import Exploration, Job, State
from farm.database.opinions import Rating
from farm.errors import NotFound, WrongState
from farm.jobs import actions, holdings
from farm.jobs.holdings import Holdings
from farm.jobs.lists import HIDDEN_COLUMNS
from farm.settings import settings
from farm.storage import format_bytes, storage

STEP = 50  # jobs and explorations that are deleted before the janitor does something else
MAX_LISTED = 20_000  # looked at to say what would be deleted
ENDED = [state for state in State if state.ended]

# Id, name, moment of submission, bytes, number of pictures.
Candidates = Select[str, str, datetime, int, int]

log = structlog.get_logger()


@dataclass(frozen=True)
class Rules:
    """Limits of what is kept; 0: none."""

    # Since a job ended.
    days: float = 0
    # Of the files of all jobs, without uploads.
    size_bytes: int = 0

    @classmethod
    def from_settings(cls) -> Rules:
        """Return the rules that the operator set."""
        return cls.choose()

    @classmethod
    def choose(cls, days: float | None = None, gigabytes: float | None = None) -> Rules:
        """Return the operator's rules, but for what is given."""
        given = settings()
        gigabytes = given.keep_gb if gigabytes is None else gigabytes
        return cls(given.keep_days if days is None else days, int(gigabytes * 1e9))

    @property
    def keep_all(self) -> bool:
        """True where nothing is ever deleted."""
        return not self.days and not self.size_bytes


class Kind(enum.StrEnum):
    """Kind of what is deleted as a whole."""

    JOB = "job"
    EXPLORATION = "exploration"
    FILM = "film"


DELETE: Mapping[Kind, Callable[[str], object]] = {
    Kind.JOB: actions.delete,
    Kind.EXPLORATION: actions.delete_exploration,
    Kind.FILM: actions.delete_film,
}


@dataclass(frozen=True)
class Item:
    """Job, exploration with all its cells, or film with all its parts, that may be deleted."""

    id: str
    name: str
    created_at: datetime
    # Of all its files.
    size_bytes: int
    # Number of jobs.
    pictures: int
    # Somebody gave it stars, or one of its cells.
    starred: bool
    kind: Kind


@dataclass(frozen=True)
class Plan:
    """Summary of what would be deleted."""

    # Numbers of jobs, and of those with stars among them.
    pictures: int
    starred: int
    size_bytes: int
    # When the oldest and the newest of them were submitted; None: there are none.
    oldest: datetime | None
    newest: datetime | None
    # There are more, which were not looked at.
    has_more: bool
    # Number of ended jobs whose bytes are not known yet; as long as there are any, none goes by size.
    unknown: int


def describe_rules(rules: Rules) -> str:
    """Return for a person what is kept, such as `pictures for 30 days, 100 GB at most`."""
    days = f" for {format_count(rules.days, 'day')}" if rules.days else ""
    size = f", {format_bytes(rules.size_bytes)} at most" if rules.size_bytes else ""
    return f"pictures{days}{size}" if days or size else "everything"


def describe_plan(found: Plan) -> str:
    """Return for a person what would be deleted, such as `120 pictures, 3.2 GB, of 2026-01-01`."""
    if not found.pictures or not found.oldest or not found.newest:
        return "nothing"
    most = "more than " if found.has_more else ""
    days = list(dict.fromkeys(f"{moment:%Y-%m-%d}" for moment in (found.oldest, found.newest)))
    starred = f"; {found.starred:,} of them with stars" if found.starred else ""
    pictures, size = format_count(found.pictures, "picture"), format_bytes(found.size_bytes)
    return f"{most}{pictures}, {size}, submitted {' to '.join(days)}{starred}"


def plan(session: Session, rules: Rules, held: Holdings) -> Plan:
    """Return what these rules would delete now, by these sums."""
    items = list_due(session, rules, MAX_LISTED, held)
    moments = [item.created_at for item in items]
    return Plan(
        pictures=sum(item.pictures for item in items),
        starred=sum(item.pictures for item in items if item.starred),
        size_bytes=sum(item.size_bytes for item in items),
        oldest=min(moments, default=None),
        newest=max(moments, default=None),
        has_more=len(items) == MAX_LISTED,
        unknown=held.unknown if rules.size_bytes else 0,
    )


def list_due(session: Session, rules: Rules, limit: int, held: Holdings | None = None) -> list[Item]:
    """Return what these rules delete now, in the order in which they do, `limit` items at most.

    Args:
        held: sums to go by; None: they are added up now.
    """
    due: list[Item] = []
    if rules.days:
        due += _list_oldest(session, sessions.read_clock(session) - timedelta(days=rules.days), limit)
    if rules.size_bytes and len(due) < limit:
        due += _list_beyond(session, rules.size_bytes, due, limit, held)
    return due[:limit]


def forget_some(rules: Rules, limit: int = STEP) -> list[Item]:
    """Delete what these rules delete now, `limit` items at most, each in a transaction of its own.

    Returns:
        Those that this process deleted.

    Raises:
        StorageAway: rows would go without their files.
    """
    with sessions.read_session() as session:
        due = list_due(session, rules, limit)
    if due:
        storage().check_mark()
    return [item for item in due if _forget(item)]


def forget_by_settings() -> list[Item]:
    """Delete some of what the operator's rules delete now. Whether any goes by size the sums that are
    kept say, before it is added up anew.

    Raises:
        StorageAway: rows would go without their files.
    """
    rules = Rules.from_settings()
    if rules.size_bytes:
        with sessions.read_session() as session:
            held = holdings.read(session)
        if held.job_bytes <= rules.size_bytes:
            rules = Rules(days=rules.days)
    return [] if rules.keep_all else forget_some(rules)


def _forget(item: Item) -> bool:
    """Delete one; False: it is gone already, or a person has just had it retried."""
    try:
        DELETE[item.kind](item.id)
    except (NotFound, WrongState):
        return False
    log.info("forgotten", **{item.kind.value: item.id}, name=item.name, bytes=item.size_bytes)
    return True


def _list_beyond(
    session: Session, most: int, due: Sequence[Item], limit: int, held: Holdings | None
) -> list[Item]:
    """Return what else has to go until all others together have `most` bytes; nothing while the bytes of
    some are not known.

    Without sums to go by, they are listed before the sum is taken: whatever is deleted in between makes
    it delete less.
    """
    most += sum(item.size_bytes for item in due)
    if held and (held.unknown or held.job_bytes <= most):
        return []
    going = {item.id for item in due}
    others = [item for item in _list_oldest(session, None, limit) if item.id not in going]
    total, unknown = (held.job_bytes, 0) if held else holdings.sum_job_bytes(session)
    excess = 0 if unknown else total - most
    found = []
    for item in others:
        if excess <= 0:
            break
        found.append(item)
        excess -= item.size_bytes
    return found


def _list_oldest(session: Session, before: datetime | None, limit: int) -> list[Item]:
    """Return what may be deleted, oldest first, with stars last.

    Args:
        before: only what ended before; None: whenever it ended.
    """
    found: list[Item] = []
    for starred in (False, True):
        left = limit - len(found)
        groups: dict[Kind, type[Exploration | Film]] = {Kind.EXPLORATION: Exploration, Kind.FILM: Film}
        kinds = [
            _read(session, _select_jobs(before, starred), left, starred, Kind.JOB),
            *(
                _read(session, _select_groups(group, before, starred), left, starred, kind)
                for kind, group in groups.items()
            ),
        ]
        found += list(merge(*kinds, key=lambda item: item.created_at))[:left]
    return found


def _read(session: Session, query: Candidates, limit: int, starred: bool, kind: Kind) -> list[Item]:
    rows = session.execute(query.limit(limit)).all() if limit else []
    return [
        Item(job_id, name, created_at, int(size), pictures, starred, kind)
        for job_id, name, created_at, size, pictures in rows
    ]


def _select_jobs(before: datetime | None, starred: bool) -> Candidates:
    """Select ended jobs of no exploration and no film."""
    size = func.coalesce(Job.stored_bytes, 0).label("size")
    rated = select(Rating.id).where(Rating.job_id == Job.id).exists()
    query = select(Job.id, Job.name, Job.created_at, size, literal(1).label("pictures")).where(
        *(each.is_(None) for each in HIDDEN_COLUMNS),
        Job.state.in_(ENDED),
        rated if starred else ~rated,
    )
    if before is not None:  # by the moment of submission first, which an index has
        query = query.where(Job.created_at < before, _find_end() < before)
    # PostgreSQL reads an index in order only if its first columns are named, though null in all.
    return query.order_by(*HIDDEN_COLUMNS, Job.created_at, Job.id)


def _select_groups(
    group: type[Exploration | Film], before: datetime | None, starred: bool
) -> Candidates:
    """Select explorations whose cells have all ended, or films that have, with all their parts."""
    of_group = Job.exploration_id if group is Exploration else Job.film_id
    mine = of_group == group.id
    staying: ColumnElement[bool] = Job.state.not_in(ENDED)
    if before is not None:
        staying = or_(staying, _find_end() >= before)
    rated = select(Rating.id).join(Job, Job.id == Rating.job_id).where(mine).exists()
    size = select(func.coalesce(func.sum(Job.stored_bytes), 0)).where(mine).label("size")
    count = select(func.count(Job.id)).where(mine).label("pictures")
    query = select(group.id, group.name, group.created_at, size, count).where(
        ~select(Job.id).where(mine, staying).exists(), rated if starred else ~rated
    )
    if group is Film:  # else other parts may begin
        query = query.where(Film.outcome.is_not(None))
    if before is not None:
        query = query.where(group.created_at < before)
    return query.order_by(group.created_at, group.id)


def _find_end() -> ColumnElement[datetime]:
    return func.coalesce(Job.finished_at, Job.created_at)
