"""The table of looks that people saved."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from farm.database.base import Base, now
from farm.database.people import NAME_LENGTH

_NOBODYS = text("owner_id IS NULL")


class SavedLook(Base):
    """Settings of a manner under a name."""

    __tablename__ = "looks"
    __table_args__ = (
        Index("ix_looks_owner_name", "owner_id", "name", unique=True),
        # Where nobody has an account: to the index above, no owner is like another.
        Index("ix_looks_name", "name", unique=True, sqlite_where=_NOBODYS, postgresql_where=_NOBODYS),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=lambda: uuid.uuid4().hex)
    # Whose it is, and with whose account it goes; None: everybody's, where there are no accounts.
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(NAME_LENGTH))
    settings: Mapped[dict[str, Any]]  # see `farm.looks.look.Look`
    shared: Mapped[bool] = mapped_column(default=False)  # with everybody
    created_at: Mapped[datetime] = mapped_column(default=now)
