"""Alembic's environment: the URL comes from the farm's settings, the tables from its models."""

from typing import Literal

from alembic import context
from sqlalchemy import Connection, Enum, text

from farm.database import sessions  # which imports all tables
from farm.database.base import Base, UTCTime


def render(kind: str, item: object, _context: object) -> str | Literal[False]:
    """Migrations name SQLAlchemy's types alone, so that later changes of the models leave them be."""
    if kind == "type" and isinstance(item, UTCTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, Enum):
        return f"sa.String(length={item.length})"
    return False


def _foreign_keys(connection: Connection, switch: str) -> None:
    """Past SQLAlchemy, which would begin a transaction first; inside one SQLite ignores this."""
    driver = connection.connection.driver_connection
    assert driver is not None
    driver.execute(f"PRAGMA foreign_keys={switch}")


def run() -> None:
    """Upgrade or downgrade online, in one transaction for each migration."""
    engine = sessions.engine()
    sqlite = engine.dialect.name == "sqlite"
    # Which takes the lock of writers at once: one that comes later waits, and neither fails the other.
    with engine.connect().execution_options(writes=True) as connection:
        if sqlite:  # a table made anew in batch mode would delete its children
            _foreign_keys(connection, "OFF")
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            render_as_batch=sqlite,
            transaction_per_migration=True,
            compare_type=True,
            render_item=render,
        )
        with context.begin_transaction():
            context.run_migrations()
        if sqlite:
            broken = connection.execute(text("PRAGMA foreign_key_check")).all()
            connection.rollback()
            _foreign_keys(connection, "ON")
            if broken:
                raise RuntimeError(f"The migration left {len(broken)} rows without their parents")


run()
