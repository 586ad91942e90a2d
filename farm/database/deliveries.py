"""The table of deliveries: webhooks that notify of a job's end, with all their tries."""

from __future__ import annotations

import enum
from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from farm.database.base import Base, make_enum, now
from farm.database.models import State


class DeliveryStatus(enum.StrEnum):
    """State of a delivery, in the words that pages and the API show."""

    WAITING = "waiting"  # for its next try
    SENDING = "being sent"  # a sender has claimed it
    DELIVERED = "delivered"  # its receiver accepted it
    GIVEN_UP = "given up"  # until a person asks for it again


class Delivery(Base):
    """One webhook: the notice of a job's end to its `webhook_url`."""

    __tablename__ = "deliveries"

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    attempt: Mapped[int]
    state: Mapped[State] = mapped_column(make_enum(State))  # that the job came to
    created_at: Mapped[datetime] = mapped_column(default=now)
    status: Mapped[DeliveryStatus] = mapped_column(
        make_enum(DeliveryStatus), default=DeliveryStatus.WAITING
    )
    # Of the next try, or the end of the sender's claim; None: delivered or given up.
    due_at: Mapped[datetime | None] = mapped_column(default=now, index=True)
    tries: Mapped[int] = mapped_column(default=0)
    answer: Mapped[str | None] = mapped_column(String(200))  # to the latest try, for a person
    delivered_at: Mapped[datetime | None]
