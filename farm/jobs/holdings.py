"""Holdings of the storage, in bytes by kind, from rows: no file is asked for its size.

Adding them up takes about a second at a million jobs. The janitor does so, in a small share of its time
(`refresh`), and keeps the sums in a row, which everybody else reads.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from farm.database import sessions, values
from farm.database.models import Job, JobPicture, State, Upload
from farm.people import accounts, quotas

NAME = "holdings"  # of the row that keeps them
TITLES = {  # of the kinds, for people
    "finished": "Finished pictures and films",
    "unfinished": "Failed and cancelled",
    "at_work": "Waiting and being painted",
    "uploads": "Photographs, clips and paintings",
    "unused_uploads": "Uploads that nobody uses",
}
LEAST_PAUSE = 10.0  # s between two times of adding up
SHARE = 50  # a pause is at least so many times as long as adding up took
OVERDUE = 120.0  # s after which the janitor that adds up is taken for gone


@dataclass(frozen=True)
class Part:
    """Things of one kind."""

    # Number of them.
    count: int
    # Of all of them.
    size_bytes: int


@dataclass(frozen=True)
class Holdings:
    """Sums over all jobs and uploads."""

    # Finished pictures, each with its preview; parts of films, each with its frames.
    finished: Part
    # Jobs that failed or were cancelled, of which previews are left.
    unfinished: Part
    # Jobs that wait or are rendered: previews and checkpoints.
    at_work: Part
    # Uploads that some job is made from.
    uploads: Part
    # Uploads of no job; they are deleted a day after they were last sent.
    unused_uploads: Part
    # Number of ended jobs, of an earlier version's, whose bytes the janitor has not found out yet.
    unknown: int
    # By the database's clock.
    measured_at: datetime
    # How long adding up took.
    seconds: float

    @property
    def parts(self) -> dict[str, Part]:
        """Its parts by kind, see `TITLES`."""
        return {kind: getattr(self, kind) for kind in TITLES}

    @property
    def job_bytes(self) -> int:
        """Bytes of the files of all jobs."""
        return sum(part.size_bytes for part in (self.finished, self.unfinished, self.at_work))

    @property
    def total_bytes(self) -> int:
        """Bytes of jobs and uploads."""
        return sum(part.size_bytes for part in self.parts.values())


def read(session: Session) -> Holdings:
    """Return the holdings as they were added up last; without a janitor, as they are now."""
    text = values.read(session, NAME)
    if text is None:
        return measure(session)
    found = _from_text(text)
    age = (sessions.read_clock(session) - found.measured_at).total_seconds()
    return found if age < _compute_pause(found.seconds) + OVERDUE else measure(session)


def read_stored(session: Session) -> Holdings | None:
    """Return the holdings as they were added up last, however old; None: never. Never adds them up."""
    text = values.read(session, NAME)
    return _from_text(text) if text else None


def refresh() -> Holdings:
    """Add the holdings up anew and store the sums, unless somebody did lately; return them."""
    with sessions.read_session() as session:
        text = values.read(session, NAME)
        found = _from_text(text) if text else None
        age = sessions.read_clock(session) - found.measured_at if found else timedelta.max
        if found and age.total_seconds() < _compute_pause(found.seconds):
            return found
        found = measure(session)
    with sessions.write_session() as session:
        values.write(session, NAME, _to_text(found))
    return found


def measure(session: Session) -> Holdings:
    """Add the holdings up."""
    began = time.monotonic()
    moment = sessions.read_clock(session)
    by_state, unknown = _sum_jobs(session)
    used, unused = _sum_uploads(session)
    return Holdings(
        finished=_add(by_state, State.SUCCEEDED),
        unfinished=_add(by_state, State.FAILED, State.CANCELLED),
        at_work=_add(by_state, *(state for state in State if not state.ended)),
        uploads=used,
        unused_uploads=unused,
        unknown=unknown,
        measured_at=moment,
        seconds=round(time.monotonic() - began, 3),
    )


def sum_job_bytes(session: Session) -> tuple[int, int]:
    """Return the bytes of the files of all jobs as they are now, and the number of ended jobs whose
    bytes are not known yet."""
    by_state, unknown = _sum_jobs(session)
    return sum(part.size_bytes for part in by_state.values()), unknown


def list_owners(session: Session) -> list[tuple[str | None, int]]:
    """Return whose the bytes of files and uploads are, most first; None: files that are nobody's. An
    upload counts for each person who sent it. Without accounts nobody is listed."""
    people = accounts.list_all(session)
    if not people:
        return []
    stored = quotas.sum_stored(session, [person.id for person in people])
    nobodys = session.scalar(select(func.sum(Job.stored_bytes)).where(Job.owner_id.is_(None)))
    found = [(None, int(nobodys or 0)), *((person.name, stored[person.id]) for person in people)]
    return sorted((each for each in found if each[1]), key=lambda each: -each[1])


def _sum_jobs(session: Session) -> tuple[dict[State, Part], int]:
    measured = func.count(Job.stored_bytes)
    sums = select(Job.state, func.count(), measured, func.sum(Job.stored_bytes))
    rows = session.execute(sums.group_by(Job.state)).all()
    unknown = sum(count - known for state, count, known, _ in rows if state.ended)
    return {state: Part(count, int(size or 0)) for state, count, _, size in rows}, unknown


def _sum_uploads(session: Session) -> tuple[Part, Part]:
    """Return the uploads of jobs, and those of none."""
    used = select(JobPicture.job_id).where(JobPicture.upload_sha256 == Upload.sha256).exists()
    sums = select(used, func.count(), func.sum(Upload.size_bytes)).group_by(used)
    found = {bool(of_job): Part(count, int(size or 0)) for of_job, count, size in session.execute(sums)}
    return found.get(True, Part(0, 0)), found.get(False, Part(0, 0))


def _add(by_state: dict[State, Part], *states: State) -> Part:
    parts = [by_state[state] for state in states if state in by_state]
    return Part(sum(part.count for part in parts), sum(part.size_bytes for part in parts))


def _compute_pause(seconds: float) -> float:
    """Return the seconds until the holdings are added up again, after so long a time of adding up."""
    return max(LEAST_PAUSE, SHARE * seconds)


def _to_text(found: Holdings) -> str:
    return json.dumps(asdict(found) | {"measured_at": found.measured_at.isoformat()})


def _from_text(text: str) -> Holdings:
    fields = json.loads(text)
    parts = {name: Part(**value) for name, value in fields.items() if isinstance(value, dict)}
    return Holdings(**fields | parts | {"measured_at": datetime.fromisoformat(fields["measured_at"])})
