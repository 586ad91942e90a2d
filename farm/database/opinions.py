"""The tables of opinions: stars, and answers to which of two pictures is nearer to the painting."""

from __future__ import annotations

import enum
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from farm.database.base import Base, make_enum, now


class Rating(Base):
    """One rater's opinion of a finished picture."""

    __tablename__ = "ratings"
    __table_args__ = (
        UniqueConstraint("job_id", "rater"),
        CheckConstraint("stars >= 1 AND stars <= 5", name="one_to_five_stars"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    rater: Mapped[str] = mapped_column(String(64), index=True)  # a browser's mark, or a client's own
    stars: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(default=now)


class Answer(enum.StrEnum):
    """Answer to which of two pictures is nearer to the painting."""

    FIRST = "first"
    SECOND = "second"
    SKIPPED = "skipped"  # counts for nothing, but the pair is not shown to this rater again


class Comparison(Base):
    """One rater's answer on two finished pictures, which stand in the order of their ids."""

    __tablename__ = "comparisons"
    __table_args__ = (
        UniqueConstraint("first_job_id", "second_job_id", "rater"),
        CheckConstraint("first_job_id < second_job_id", name="in_order"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    first_job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    second_job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    rater: Mapped[str] = mapped_column(String(64), index=True)  # as of ratings
    # Whose answer it is; None: of a browser or a program without an account.
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("people.id", ondelete="SET NULL"))
    answer: Mapped[Answer] = mapped_column(make_enum(Answer))
    created_at: Mapped[datetime] = mapped_column(default=now)
