"""The tables of jobs, what belongs to them, and explorations; only `states.py` changes a job's state."""

from __future__ import annotations

import enum
import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from farm.database.base import Base, make_enum, now
from farm.database.fleet import TAG_LENGTH
from farm.database.names import FOLDED_LENGTH, fold
from farm.recipe.film import SPACING, Role
from farm.recipe.formats import FORMATS, PREVIEW_PIXELS, FileFormat
from farm.recipe.picture_sizes import PictureSizes, Size

WEBHOOK_LENGTH = 1000  # characters of an address
FILE_NAME_LENGTH = 200  # characters


class State(enum.StrEnum):
    """State of a job; docs/architecture.md draws the moves."""

    QUEUED = "queued"  # waits for a worker
    RUNNING = "running"  # an attempt renders it
    CANCELLING = "cancelling"  # a person wants it to stop; its attempt has not yet noticed
    SUCCEEDED = "succeeded"  # the result is in storage
    FAILED = "failed"  # `error` says why, for a person
    CANCELLED = "cancelled"  # stopped by a person

    @property
    def ended(self) -> bool:
        """True for states that only a person's request leaves."""
        return self in (State.SUCCEEDED, State.FAILED, State.CANCELLED)


HELD = (State.RUNNING, State.CANCELLING)  # states in which a worker has the job


class WorkClass(enum.StrEnum):
    """Kinds of tickets, by the size of the picture, so that a quick look need not wait for an 8K."""

    PREVIEW = "preview"  # up to 384 px
    STANDARD = "standard"  # up to 2048 px
    LARGE = "large"  # beyond

    @classmethod
    def from_size(cls, size: int) -> WorkClass:
        """Return the class of a picture whose longest side is `size` px."""
        if size <= 384:
            return cls.PREVIEW
        return cls.STANDARD if size <= 2048 else cls.LARGE


class Upload(Base):
    """A picture or a clip someone sent, stored once under the SHA-256 of its bytes."""

    __tablename__ = "uploads"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    width: Mapped[int]  # px, after EXIF orientation
    height: Mapped[int]
    size_bytes: Mapped[int] = mapped_column(
        BigInteger
    )  # of its file, and of small pictures of its frames
    frames: Mapped[int] = mapped_column(default=1)  # of a clip; 1: a picture
    created_at: Mapped[datetime] = mapped_column(default=now)
    sent_at: Mapped[datetime] = mapped_column(default=now)  # last; it is kept for a while without a job

    @property
    def size(self) -> Size:
        """Height and width, px, after EXIF orientation."""
        return self.height, self.width

    @property
    def key(self) -> str:
        """Storage key of its bytes."""
        return f"uploads/{self.sha256}"

    @property
    def thumbnail_key(self) -> str:
        """Storage key of a small JPEG of it."""
        return f"uploads/{self.sha256}.thumbnail.jpg"

    @property
    def clean_key(self) -> str:
        """Storage key of its pixels without what else its file holds, made when first asked for."""
        return f"uploads/{self.sha256}.clean"

    @property
    def frames_folder(self) -> str:
        """Storage prefix of small pictures of a clip's frames, made when first asked for."""
        return f"uploads/{self.sha256}.frames"


HIDDEN = ("exploration_id", "film_id")  # columns that are null in whatever lists show


def fold_name(context: Any) -> str:
    return fold(context.get_current_parameters()["name"])


def _index_for_owners(name: str, *columns: str) -> Index:
    """Return the index of one person's list. Where nobody has an account they are empty."""
    owned = text("owner_id IS NOT NULL")
    columns = ("owner_id", *HIDDEN, *columns)
    return Index(f"ix_jobs_owner_{name}", *columns, sqlite_where=owned, postgresql_where=owned)


class Job(Base):
    """One picture to be made."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint("progress >= 0 AND progress <= 1", name="progress_is_a_share"),
        Index("ix_jobs_idempotency_key", "idempotency_owner", "idempotency_key", unique=True),
        Index("ix_jobs_waiting", "state", "work_class", "priority", "created_at"),
        Index("ix_jobs_owner", "owner_id", "state"),  # what a person has waiting and running
        # Of lists: each holds all that finding a page or a count asks of it (farm/jobs/lists.py).
        Index("ix_jobs_newest", *HIDDEN, "created_at", "id", "name_folded"),
        Index("ix_jobs_of_state", *HIDDEN, "state", "created_at", "id", "name_folded"),
        Index("ix_jobs_by_name", *HIDDEN, "name_folded", "id", "state"),
        Index("ix_jobs_film", "film_id", "film_part", unique=True),  # a part has one job
        _index_for_owners("newest", "created_at", "id", "name_folded"),
        _index_for_owners("of_state", "state", "created_at", "id", "name_folded"),
        _index_for_owners("by_name", "name_folded", "id", "state"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=lambda: uuid.uuid4().hex)
    name: Mapped[str] = mapped_column(String(120))
    name_folded: Mapped[str] = mapped_column(String(FOLDED_LENGTH), default=fold_name)  # see `fold`
    state: Mapped[State] = mapped_column(make_enum(State), default=State.QUEUED)
    work_class: Mapped[WorkClass] = mapped_column(make_enum(WorkClass))
    priority: Mapped[int] = mapped_column(default=0)  # higher goes first
    tag: Mapped[str | None] = mapped_column(String(TAG_LENGTH))  # only workers that have it take the job
    # What its smallest plan holds, by kind of device; None: not computed, any worker may try.
    least_cpu_bytes: Mapped[int | None] = mapped_column(BigInteger)
    least_cuda_bytes: Mapped[int | None] = mapped_column(BigInteger)
    recipe: Mapped[dict[str, Any]]
    # Whose the key is, see farm/jobs/idempotency.py; None: no key, or one from before owners were kept.
    idempotency_owner: Mapped[str | None] = mapped_column(String(100))
    idempotency_key: Mapped[str | None] = mapped_column(String(200))  # of its owner's making
    request_sha256: Mapped[str | None] = mapped_column(String(64))  # of what was sent with that key
    # Whose it is; None: everybody's, as all are where there are no accounts.
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("people.id", ondelete="SET NULL"))
    exploration_id: Mapped[str | None] = mapped_column(ForeignKey("explorations.id", ondelete="CASCADE"))
    cell: Mapped[int | None]  # of the exploration's grid, row by row from 0
    film_id: Mapped[str | None] = mapped_column(ForeignKey("films.id", ondelete="CASCADE"))
    film_part: Mapped[int | None]  # see farm.recipe.film.Part
    film_role: Mapped[Role | None] = mapped_column(make_enum(Role))
    look_sha256: Mapped[str | None] = mapped_column(String(64), index=True)  # see Recipe.look
    webhook_url: Mapped[str | None] = mapped_column(String(WEBHOOK_LENGTH))  # told of the job's end
    width: Mapped[int]  # of the result, px
    height: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None]  # of the latest attempt
    finished_at: Mapped[datetime | None]
    ticket_at: Mapped[datetime | None]  # when a ticket was last sent for it
    aside_at: Mapped[datetime | None]  # when it last stepped aside for drafts

    version: Mapped[int] = mapped_column(default=0)  # grows with all that a page shows of the row
    attempt: Mapped[int] = mapped_column(default=0)  # number of the latest; 0: none yet
    # Attempts after this one count towards `farm.jobs.losses.MAX_FAILURES`.
    retry_limit_from_attempt: Mapped[int] = mapped_column("counts_after", default=0)
    checkpoint_attempt: Mapped[int | None]  # whose checkpoint is the newest; None: there is none
    lease_until: Mapped[datetime | None]  # renewed by the worker; the janitor watches that it changes
    progress: Mapped[float] = mapped_column(default=0.0)  # 0..1, by work, not by iterations
    level: Mapped[int] = mapped_column(default=0)
    levels: Mapped[int] = mapped_column(default=0)
    iteration: Mapped[int] = mapped_column(default=0)  # over all levels
    iterations: Mapped[int] = mapped_column(default=0)
    eta_seconds: Mapped[float | None]
    eta_spread_seconds: Mapped[float | None]  # it may well be so much more or less
    preview_version: Mapped[int] = mapped_column(default=0)  # 0: none yet; grows with each preview

    features: Mapped[str | None] = mapped_column(String(32))  # the network that was taken
    metrics: Mapped[dict[str, Any] | None]  # farm.engine.quality.Quality, seconds, peak memory
    error: Mapped[str | None]  # for a person
    stored_bytes: Mapped[int | None] = mapped_column(BigInteger)  # of its files; None: not known yet

    pictures: Mapped[list[JobPicture]] = relationship(
        lazy="selectin",
        order_by="JobPicture.role, JobPicture.position",
        cascade="all, delete-orphan",
    )
    attempts: Mapped[list[Attempt]] = relationship(
        order_by="Attempt.number", cascade="all, delete-orphan"
    )
    events: Mapped[list[Event]] = relationship(order_by="Event.id", cascade="all, delete-orphan")

    @property
    def content(self) -> Upload:
        """The photograph."""
        return self._select_role(PictureRole.CONTENT)[0].upload

    @property
    def content_name(self) -> str | None:
        """The photograph's file name; None: not known."""
        return self._select_role(PictureRole.CONTENT)[0].file_name

    @property
    def styles(self) -> list[JobPicture]:
        """The paintings, in the order of their positions."""
        return self._select_role(PictureRole.STYLE)

    @property
    def masks(self) -> list[JobPicture]:
        """The maps of where each painting paints, in the order of the paintings; empty: everywhere."""
        return self._select_role(PictureRole.MASK)

    @property
    def keep(self) -> JobPicture | None:
        """The map of where the photograph stays as it is; None: nowhere."""
        return next(iter(self._select_role(PictureRole.KEEP)), None)

    @property
    def start(self) -> JobPicture | None:
        """The picture that the rendering begins from; None: what its recipe says."""
        return next(iter(self._select_role(PictureRole.INIT)), None)

    @property
    def guides(self) -> list[JobPicture]:
        """Masks, keep and start, as far as it has them."""
        return [picture for role in GUIDES for picture in self._select_role(role)]

    @property
    def sources(self) -> list[JobPicture]:
        """All that it is made from: the photograph, the paintings, then the guides."""
        return [picture for role in PictureRole for picture in self._select_role(role)]

    @property
    def source_names(self) -> tuple[str | None, list[str | None]]:
        """File names of the photograph and of the paintings; None: not known."""
        return self.content_name, [style.file_name for style in self.styles]

    def _select_role(self, role: PictureRole) -> list[JobPicture]:
        return [picture for picture in self.pictures if picture.role is role]

    @property
    def format(self) -> FileFormat:
        """File format of the result; jobs older than this setting are PNGs."""
        return FORMATS[self.recipe.get("format", "png")]

    @property
    def folder(self) -> str:
        """Storage prefix of all its files, each under its attempt, so that a stale attempt replaces
        nothing."""
        return f"jobs/{self.id}"

    @property
    def result_key(self) -> str:
        """Storage key of the result; of a film, the one of the part that joins it."""
        if self.film_id is not None:
            return f"{self.folder}/{self.attempt}/film"
        return f"{self.folder}/{self.attempt}/result{self.format.suffix}"

    def checkpoint_key(self, attempt: int) -> str:
        """Return the storage key of an attempt's checkpoint."""
        return f"{self.folder}/{attempt}/checkpoint.safetensors"

    @property
    def picture_sizes(self) -> PictureSizes:
        """Sizes of its photograph and paintings."""
        paintings = tuple(style.upload.size for style in self.styles)
        keeps, holds = self.keep is not None, SPACING if self.film_id else 0
        return PictureSizes(self.content.size, paintings, len(self.masks), keeps, holds)

    @property
    def preview_key(self) -> str:
        """Storage key of the newest preview; after success, of a small copy of the result."""
        return f"{self.folder}/{self.attempt}/preview.jpg"

    @property
    def has_view(self) -> bool:
        """True where a JPEG of full size is kept for browsers: unless preview or result is one."""
        return max(self.width, self.height) > PREVIEW_PIXELS and not self.format.light

    @property
    def view_key(self) -> str:
        """Storage key of the picture that a browser shows at full size."""
        if self.has_view:
            return f"{self.folder}/{self.attempt}/view.jpg"
        return self.result_key if self.format.light else self.preview_key


class PictureRole(enum.StrEnum):
    """Part that an upload plays in a job."""

    CONTENT = "content"  # the photograph, one for each job
    STYLE = "style"  # a painting; each has its position, from 0
    MASK = "mask"  # where the painting of its position paints; all paintings have one, or none has
    KEEP = "keep"  # where the photograph stays as it is, at most one
    INIT = "init"  # what the picture begins from, at most one


GUIDES = (PictureRole.MASK, PictureRole.KEEP, PictureRole.INIT)  # what jobs may do without


class JobPicture(Base):
    """One of the uploads that a job is made from."""

    __tablename__ = "job_pictures"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    role: Mapped[PictureRole] = mapped_column(make_enum(PictureRole), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)  # among those of its role, from 0
    upload_sha256: Mapped[str] = mapped_column(ForeignKey("uploads.sha256"), index=True)
    file_name: Mapped[str | None] = mapped_column(
        String(FILE_NAME_LENGTH)
    )  # where it came from, if known

    upload: Mapped[Upload] = relationship(lazy="joined", innerjoin=True)


class Attempt(Base):
    """One worker's go at a job. Its number is the fence: writes that name an old one are refused."""

    __tablename__ = "attempts"
    __table_args__ = (UniqueConstraint("job_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    number: Mapped[int]
    worker: Mapped[str] = mapped_column(String(120))
    started_at: Mapped[datetime] = mapped_column(default=now)
    finished_at: Mapped[datetime | None]
    outcome: Mapped[str | None] = mapped_column(
        String(32)
    )  # a state, or see farm.jobs.losses.MAX_FAILURES


class Event(Base):
    """Something that happened to a job, for its timeline: each move of its state is one."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    attempt: Mapped[int]
    state: Mapped[State] = mapped_column(make_enum(State))
    message: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime] = mapped_column(default=now)


class LossPoint(Base):
    """The losses after one iteration, about one a second, for the curve."""

    __tablename__ = "loss_points"

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    attempt: Mapped[int]
    level: Mapped[int]
    iteration: Mapped[int]  # over all levels
    content: Mapped[float]
    style: Mapped[float]
    tv: Mapped[float]


class LogLine(Base):
    """A line of an attempt's log, for the job's page."""

    __tablename__ = "log_lines"

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    attempt: Mapped[int]
    text: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)


class Exploration(Base):
    """A grid of small pictures, each a job of its own, in which one or two settings vary."""

    __tablename__ = "explorations"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=lambda: uuid.uuid4().hex)
    name: Mapped[str] = mapped_column(String(120))
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("people.id", ondelete="SET NULL"))
    recipe: Mapped[dict[str, Any]]  # what the form said, at the size that is wanted in the end
    across: Mapped[dict[str, Any]]  # farm.explorations.axes.Axis: what varies from column to column
    down: Mapped[dict[str, Any]]  # and from row to row
    created_at: Mapped[datetime] = mapped_column(default=now)

    cells: Mapped[list[Job]] = relationship(order_by="Job.cell", passive_deletes=True)
