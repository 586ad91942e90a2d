"""The tables of films: clips that are painted, and their painted frames; their parts are jobs."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from farm.database.base import Base, make_enum, now
from farm.database.models import WEBHOOK_LENGTH, Job, State, fold_name
from farm.database.names import FOLDED_LENGTH


class Film(Base):
    """A clip that is painted, frame by frame; its parts are jobs."""

    __tablename__ = "films"
    __table_args__ = (  # of lists, as those of jobs (farm/films/lists.py)
        Index("ix_films_newest", "created_at", "id", "name_folded", "outcome", "owner_id"),
        Index("ix_films_by_name", "name_folded", "id", "outcome", "owner_id"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=lambda: uuid.uuid4().hex)
    name: Mapped[str] = mapped_column(String(120))
    name_folded: Mapped[str] = mapped_column(String(FOLDED_LENGTH), default=fold_name)  # see `fold`
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("people.id", ondelete="SET NULL"))
    recipe: Mapped[dict[str, Any]]  # of each frame
    clip: Mapped[dict[str, Any]]  # farm.clips.clip.Clip: what was sent
    settings: Mapped[dict[str, Any]]  # farm.films.settings.FilmSettings: of the film as a whole
    webhook_url: Mapped[str | None] = mapped_column(String(WEBHOOK_LENGTH))  # notified of its end
    # How it ended, the first end since a person last asked for it; None: it has not.
    outcome: Mapped[State | None] = mapped_column(make_enum(State), index=True)
    error: Mapped[str | None]  # for a person
    created_at: Mapped[datetime] = mapped_column(default=now)
    finished_at: Mapped[datetime | None]

    parts: Mapped[list[Job]] = relationship(order_by="Job.film_part", passive_deletes=True)


class FilmFrame(Base):
    """A frame of a film that is painted and lies in storage."""

    __tablename__ = "film_frames"

    film_id: Mapped[str] = mapped_column(ForeignKey("films.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # of the clip's frames
    # Whose file it is.
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    attempt: Mapped[int]

    @property
    def key(self) -> str:
        """Storage key of it, PNG."""
        return frame_key(self.job_id, self.attempt, self.number)

    @property
    def small_key(self) -> str:
        """Storage key of a small JPEG of it, made when first asked for."""
        return f"{self.key.removesuffix('.png')}.jpg"

    @property
    def maps_key(self) -> str:
        """Storage key of its maps, PNG: of anchors of films whose regions follow."""
        return maps_key(self.key)

    @property
    def keys(self) -> tuple[str, ...]:
        """Storage keys of all that may be there of it."""
        return self.key, self.small_key, self.maps_key


def frame_key(job_id: str, attempt: int, number: int) -> str:
    """Return the storage key of a frame of a film that an attempt painted."""
    return f"jobs/{job_id}/{attempt}/frames/{number}.png"


def maps_key(frame: str) -> str:
    """Return the storage key of the maps that belong to the frame under a key."""
    return f"{frame.removesuffix('.png')}.maps.png"
