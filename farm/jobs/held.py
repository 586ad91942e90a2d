"""Jobs by their states in queries; those that workers have, each with the attempt that is under way."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Integer, Select, and_, literal_column, select

from farm.database.models import HELD, Attempt, Job, State

# Written out, as states are below: as a parameter it may mean any number of rows, and PostgreSQL would
# plan a statement anew at each use.
ONE = literal_column("1", Integer)


def is_in(*states: State) -> ColumnElement[bool]:
    """Return the condition that a job is in one of these states."""
    return Job.state.in_([literal_column(f"'{state.value}'") for state in states])


def select_held(*columns: Any) -> Select[Any]:
    """Return a query for columns of jobs that workers have, and of the attempts at them."""
    newest = and_(Attempt.job_id == Job.id, Attempt.number == Job.attempt)
    return select(*columns).join_from(Job, Attempt, newest).where(is_in(*HELD))
