"""Jobs that workers have, each with the attempt that is under way."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, and_, select

from farm.database.models import HELD, Attempt, Job


def select_held(*columns: Any) -> Select[Any]:
    """Return a query for columns of jobs that workers have, and of the attempts at them."""
    newest = and_(Attempt.job_id == Job.id, Attempt.number == Job.attempt)
    return select(*columns).join_from(Job, Attempt, newest).where(Job.state.in_(HELD))
