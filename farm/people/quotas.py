"""Quotas: how much a person may have running, waiting, submitted in a day, and stored.

A limit is the account's own, or else the farm's (`FARM_QUOTA_...`); 0 is no limit. Whatever is nobody's
has none. The running quota is no reason to refuse: jobs wait for it (`farm/jobs/claims.py`, `claim`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, time, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from farm.database.models import HELD, Job, State, Upload
from farm.database.people import Person, Token, UploadOwner
from farm.database.sessions import read_clock
from farm.errors import InvalidInput, Problem, QuotaReached, QuotaTooSmall, SignedOut
from farm.people import accounts, audit
from farm.people.visitors import Visitor
from farm.settings import settings
from farm.storage import format_bytes

GIGABYTE = 1_000_000_000
MEGAPIXEL = 1_000_000
HIGHEST = 1_000_000_000  # of any limit
QUEUE_RETRY_SECONDS = 60  # a job may begin at any moment; nobody knows when
MAX_BYTES = 1_000_000 * GIGABYTE


@dataclass(frozen=True)
class Quota:
    """One quota of one person."""

    # None: no limit.
    limit: float | None
    used: float

    @property
    def left(self) -> float | None:
        """Return what may be added, 0 or more; None: no limit."""
        return None if self.limit is None else max(0.0, self.limit - self.used)


@dataclass(frozen=True)
class Quotas:
    """All quotas of one person, at one moment."""

    # Jobs that are rendered at once.
    running: Quota
    # Jobs that wait.
    waiting: Quota
    # Megapixels of results submitted since midnight, UTC.
    megapixels_a_day: Quota
    # Bytes of jobs' files, and of uploads.
    stored_bytes: Quota
    # When megapixels are counted anew.
    day_ends_at: datetime


@dataclass(frozen=True)
class Request:
    """Request of a person for room in their quotas."""

    jobs: int = 1
    # Of all results.
    megapixels: float = 0.0
    # SHA-256 and bytes of its uploads, which count unless they are the person's already.
    uploads: tuple[tuple[str, int], ...] = ()
    # Bytes that its results take at most, where that is known beforehand.
    result_bytes: int = 0


def add_up(requests: Sequence[Request]) -> Request:
    """Return several requests as one."""
    return Request(
        sum(each.jobs for each in requests),
        sum(each.megapixels for each in requests),
        tuple(upload for each in requests for upload in each.uploads),
        sum(each.result_bytes for each in requests),
    )


def measure(session: Session, person: Person) -> Quotas:
    """Return a person's quotas."""
    return measure_all(session, [person])[person.id]


def measure_all(session: Session, people: Sequence[Person]) -> dict[int, Quotas]:
    """Return the quotas of each of these people, by their ids."""
    moment, farm = read_clock(session), settings()
    ids = [person.id for person in people]
    running, waiting = _count_jobs(session, ids, HELD), _count_jobs(session, ids, (State.QUEUED,))
    stored = sum_stored(session, ids)
    day_ends_at = datetime.combine(moment.date() + timedelta(days=1), time(), moment.tzinfo)
    farm_bytes = int(farm.quota_storage_gb * GIGABYTE)
    return {
        person.id: Quotas(
            Quota(choose_limit(person.max_running, farm.quota_running), running[person.id]),
            Quota(choose_limit(person.max_waiting, farm.quota_waiting), waiting[person.id]),
            Quota(
                choose_limit(person.max_megapixels_a_day, farm.quota_megapixels_a_day),
                person.counted_megapixels if person.counted_on == moment.date() else 0.0,
            ),
            Quota(choose_limit(person.max_stored_bytes, farm_bytes), stored[person.id]),
            day_ends_at,
        )
        for person in people
    }


def _count_jobs(session: Session, ids: Sequence[int], states: Sequence[State]) -> Counter[int]:
    """Count the jobs of each of these people that are in one of these states."""
    theirs = select(Job.owner_id, func.count()).where(Job.owner_id.in_(ids), Job.state.in_(states))
    rows = session.execute(theirs.group_by(Job.owner_id)).all()
    return Counter({owner: count for owner, count in rows if owner is not None})


def choose_limit(own: float | None, farm: float) -> float | None:
    """Return the limit that holds; None: none.

    Args:
        own: of the account; None: it has none of its own. farm: the farm's. 0: no limit.
    """
    return (farm if own is None else own) or None


def sum_stored(session: Session, ids: Sequence[int]) -> Counter[int]:
    """Add up the bytes of each of these people's files and uploads."""
    files = select(Job.owner_id, func.sum(Job.stored_bytes)).where(Job.owner_id.in_(ids))
    sent = select(UploadOwner.person_id, func.sum(Upload.size_bytes)).join(
        Upload, UploadOwner.upload_sha256 == Upload.sha256
    )
    sent = sent.where(UploadOwner.person_id.in_(ids)).group_by(UploadOwner.person_id)
    found: Counter[int] = Counter()
    for person_id, size in (
        *session.execute(files.group_by(Job.owner_id)),
        *session.execute(sent),
    ):
        found[person_id or 0] += int(size or 0)
    return found


def check(session: Session, visitor: Visitor, asked: Request) -> None:
    """Check that a visitor is still signed in and may add this. Whoever is nobody may.

    Raises:
        SignedOut: the token was revoked. QuotaReached: names the quota, its limit, and when it frees.
    """
    if visitor.person_id is not None:
        _check_quotas(session, _get_signed_in(session, visitor, lock=False), asked)


def take(session: Session, visitor: Visitor, asked: Request) -> None:
    """Check the same and count it, with the person's row locked until the transaction ends: of two
    submissions at once the second sees what the first took.

    Raises:
        SignedOut: the token was revoked. QuotaReached: names the quota, its limit, and when it frees.
    """
    if visitor.person_id is None:
        return
    person = _get_signed_in(session, visitor, lock=True)
    _check_quotas(session, person, asked)
    today = read_clock(session).date()
    before = person.counted_megapixels if person.counted_on == today else 0.0
    person.counted_on, person.counted_megapixels = today, before + asked.megapixels


def take_place(session: Session, owner_id: int | None) -> None:
    """Check that one more job of this person may wait, with the row locked as above.

    Raises:
        QuotaReached: as many wait as may.
    """
    take_places(session, owner_id, 1)


def take_places(session: Session, owner_id: int | None, jobs: int) -> None:
    """Check the same of jobs that wait again together. More than ever may wait need all places, since
    they were let in before, by and by.

    Raises:
        QuotaReached: too many others wait.
    """
    person = None if owner_id is None or not jobs else _lock(session, owner_id)
    if person is not None:
        waiting = measure(session, person).waiting
        _check_waiting(waiting, jobs if waiting.limit is None else min(jobs, int(waiting.limit)))


def _get_signed_in(session: Session, visitor: Visitor, *, lock: bool) -> Person:
    """Return the visitor's account.

    Raises:
        SignedOut: it was removed, or the token that was shown was revoked.
    """
    assert visitor.person_id is not None
    person = _lock(session, visitor.person_id) if lock else session.get(Person, visitor.person_id)
    token = select(Token.name).where(Token.sha256 == visitor.token_sha256)
    if person is None or (visitor.token_sha256 and session.scalar(token) is None):
        raise SignedOut()
    return person


def _lock(session: Session, person_id: int) -> Person | None:
    """Return an account and lock its row, where the database locks rows; SQLite has one writer."""
    mine = select(Person).where(Person.id == person_id).with_for_update(key_share=True)
    return session.scalars(mine.execution_options(populate_existing=True)).one_or_none()


def _check_quotas(session: Session, person: Person, asked: Request) -> None:
    found = measure(session, person)
    _check_waiting(found.waiting, asked.jobs)
    _check_day(found, read_clock(session), asked.megapixels)
    _check_stored(found.stored_bytes, _count_new_bytes(session, person, asked), asked.result_bytes)


def describe_amount(value: float) -> str:
    """Return a number with three digits, and never a power of ten: `0.25`, `71.7`, `12,345`."""
    return f"{value:,.0f}" if value >= 999.5 else f"{round(value, 3):.3g}"


def describe_megapixels(value: float) -> str:
    """Return `1 megapixel`, `0.25 megapixels`."""
    amount = describe_amount(value)
    return f"{amount} megapixel{'' if amount == '1' else 's'}"


def _check_waiting(quota: Quota, jobs: int) -> None:
    if quota.left is None or jobs <= quota.left:
        return
    limit, verb = f"{quota.limit:.0f}", "waits" if quota.used == 1 else "wait"
    if quota.limit is not None and jobs > quota.limit:
        raise QuotaTooSmall(
            f"Your quota of waiting jobs is {limit}, and this makes {jobs}. Make fewer, or ask an "
            "operator."
        )
    raise QuotaReached(
        f"Your quota of waiting jobs is {limit}, and {quota.used:.0f} {verb}. There is room again as "
        "soon as one of them begins or is cancelled.",
        retry_seconds=QUEUE_RETRY_SECONDS,
    )


def _check_day(found: Quotas, moment: datetime, megapixels: float) -> None:
    quota = found.megapixels_a_day
    if quota.left is None or megapixels <= quota.left:
        return
    if quota.limit is not None and megapixels > quota.limit:
        raise QuotaTooSmall(
            f"Your quota is {describe_megapixels(quota.limit)} a day, and this has "
            f"{describe_amount(megapixels)}. Make it smaller, or ask an operator."
        )
    raise QuotaReached(
        f"Your quota is {describe_megapixels(quota.limit or 0)} a day; "
        f"{describe_amount(quota.left)} {'is' if quota.left == 1 else 'are'} left and this has "
        f"{describe_amount(megapixels)}. It is counted anew at {found.day_ends_at:%H:%M} UTC.",
        retry_seconds=int((found.day_ends_at - moment).total_seconds()) + 1,
    )


def _check_stored(quota: Quota, new_bytes: int, result_bytes: int = 0) -> None:
    if quota.left is None or (quota.left > 0 and new_bytes + result_bytes <= quota.left):
        return
    more = f", and this may take {format_bytes(result_bytes)}" if result_bytes else ""
    raise QuotaTooSmall(
        f"Your quota of storage is {format_bytes(quota.limit or 0)}, and your pictures take "
        f"{format_bytes(quota.used)}{more}. Delete some of your jobs to make room."
    )


def check_storage_left(session: Session, owner_id: int | None) -> None:
    """Check that a person has not used up what they may store, before more of theirs is stored that was
    begun earlier. Whoever is nobody may.

    Raises:
        QuotaTooSmall: they have.
    """
    person = None if owner_id is None else session.get(Person, owner_id)
    if person is not None:
        _check_stored(measure(session, person).stored_bytes, 0)


def _count_new_bytes(session: Session, person: Person, asked: Request) -> int:
    sent = dict(asked.uploads)
    if not sent:
        return 0
    known = select(UploadOwner.upload_sha256).where(
        UploadOwner.person_id == person.id, UploadOwner.upload_sha256.in_(sent)
    )
    return sum(sent[sha256] for sha256 in sent.keys() - set(session.scalars(known)))


@dataclass(frozen=True)
class Limits:
    """An account's own limits; None: the farm's holds, 0: none does."""

    # Jobs at once.
    running: int | None = None
    # Jobs.
    waiting: int | None = None
    # Megapixels of results.
    megapixels_a_day: float | None = None
    # GB of files and uploads.
    storage_gb: float | None = None

    @classmethod
    def from_row(cls, person: Person) -> Limits:
        """Return a person's limits."""
        stored = person.max_stored_bytes
        return cls(
            person.max_running,
            person.max_waiting,
            person.max_megapixels_a_day,
            None if stored is None else stored / GIGABYTE,
        )


def change_limits(session: Session, name: str, limits: Limits, *, by: str) -> Person:
    """Set a person's own limits.

    Args:
        by: name of who does it, for the audit.

    Raises:
        NotFound: there is no such person. InvalidInput: names each that is no limit.
    """
    person = accounts.get(session, name)
    given = asdict(limits)
    wrong = [
        Problem(name, f"must be 0 (no limit) to {HIGHEST}")
        for name, value in given.items()
        if value is not None
        and not 0 <= value <= (MAX_BYTES / GIGABYTE if name == "storage_gb" else HIGHEST)
    ]
    if wrong:
        raise InvalidInput(*wrong)
    person.max_running, person.max_waiting = limits.running, limits.waiting
    person.max_megapixels_a_day, stored = limits.megapixels_a_day, limits.storage_gb
    person.max_stored_bytes = None if stored is None else math.ceil(stored * GIGABYTE)
    changed = ", ".join(f"{key} {value:g}" for key, value in given.items() if value is not None)
    audit.record(session, by, "change quota", person.name, changed or "the farm's")
    return person
