"""The base of all tables: how constraints are named, and how moments and enumerations are stored."""

from __future__ import annotations

import enum
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, Dialect, MetaData, TypeDecorator
from sqlalchemy import Enum as SQLEnum
from sqlalchemy.orm import DeclarativeBase

from farm.database.clock import now as now


class UTCTime(TypeDecorator[datetime]):
    """A moment in UTC; SQLite, which forgets time zones, gives it back with one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UTCTime(), dict[str, Any]: JSON(), list[str]: JSON()}  # noqa: RUF012


def make_enum(kind: type[enum.StrEnum]) -> SQLEnum:
    """Return a type that stores the value in a string, so that a new member needs no migration."""
    return SQLEnum(
        kind,
        native_enum=False,
        create_constraint=False,
        length=16,
        values_callable=lambda members: [member.value for member in members],
    )
