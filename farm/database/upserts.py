"""INSERTs that say what becomes of a row that is there already (ON CONFLICT), on either database."""

from __future__ import annotations

from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session


def insert(session: Session, table: Any) -> postgresql.Insert | sqlite.Insert:
    """Return an INSERT into a table, or a model's, that takes `on_conflict_do_nothing` and its like."""
    return insert_for(session.get_bind().dialect.name, table)


def insert_for(dialect: str, table: Any) -> postgresql.Insert | sqlite.Insert:
    """Return such an INSERT for the database of a dialect's name."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
