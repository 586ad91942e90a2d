"""The tables of people: accounts and their tokens, what they may use and have used, what they did."""

from __future__ import annotations

import enum
from datetime import date, datetime

from sqlalchemy import BigInteger, Date, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from farm.database.base import Base, make_enum, now

NAME_LENGTH = 80  # characters


class Role(enum.StrEnum):
    """Rights of a person."""

    USER = "user"  # sees and changes what is their own
    OPERATOR = "operator"  # sees and changes everything, and runs the farm


class Person(Base):
    """An account."""

    __tablename__ = "people"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(NAME_LENGTH), unique=True)
    role: Mapped[Role] = mapped_column(make_enum(Role), default=Role.USER)
    created_at: Mapped[datetime] = mapped_column(default=now)

    # Limits of this person's own; None: the farm's, 0: none.
    max_running: Mapped[int | None]
    max_waiting: Mapped[int | None]
    max_megapixels_a_day: Mapped[float | None]
    max_stored_bytes: Mapped[int | None] = mapped_column(BigInteger)

    # What was submitted on the latest day of any (UTC): counted here, since jobs may be deleted.
    counted_on: Mapped[date | None] = mapped_column(Date)
    counted_megapixels: Mapped[float] = mapped_column(default=0.0)


class Token(Base):
    """A credential for the API and the pages, where the farm requires one."""

    __tablename__ = "tokens"

    name: Mapped[str] = mapped_column(String(NAME_LENGTH), primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"), index=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)  # the token itself is not kept
    created_at: Mapped[datetime] = mapped_column(default=now)
    used_at: Mapped[datetime | None]


class SignInLink(Base):
    """A link that signs a person in, once."""

    __tablename__ = "sign_in_links"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)  # its secret is not kept
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"))
    ends_at: Mapped[datetime]


class UploadOwner(Base):
    """Somebody who sent an upload, whose bytes are stored once for all who did."""

    __tablename__ = "upload_owners"

    upload_sha256: Mapped[str] = mapped_column(
        ForeignKey("uploads.sha256", ondelete="CASCADE"), primary_key=True
    )
    person_id: Mapped[int] = mapped_column(
        ForeignKey("people.id", ondelete="CASCADE"), primary_key=True, index=True
    )


class Share(Base):
    """Rendering seconds that somebody used lately: a sum that decays, see `farm/jobs/shares.py`."""

    __tablename__ = "shares"

    # Person; 0: all that belongs to nobody.
    owner_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    used_seconds: Mapped[float] = mapped_column(default=0.0)  # as of `used_at`
    used_at: Mapped[datetime] = mapped_column(default=now)


class AuditLine(Base):
    """Something that an operator did."""

    __tablename__ = "audit_lines"

    id: Mapped[int] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(default=now, index=True)
    person: Mapped[str] = mapped_column(String(NAME_LENGTH))  # name, which outlives the account
    action: Mapped[str] = mapped_column(String(40))  # such as `drain worker`
    subject: Mapped[str] = mapped_column(String(200))  # name of a worker, id of a job, ...
    detail: Mapped[str] = mapped_column(Text, default="")
