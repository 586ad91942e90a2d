"""Storage: what it holds, how much room there is, and what retention would delete."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from farm.database import disk, sessions
from farm.database.disk import Disk, Room
from farm.jobs import holdings, retention
from farm.jobs.holdings import Holdings, Part
from farm.jobs.retention import Plan, Rules
from farm.recipe.problems import Untrusted
from farm.settings import MAX_KEEP_DAYS, MAX_KEEP_GB
from web.api import answers, blueprint
from web.api.schemas import Moment
from web.middleware.authentication import require_operator

KeepDays = Annotated[float | None, Field(ge=0, le=MAX_KEEP_DAYS, allow_inf_nan=False)]
KeepGigabytes = Annotated[float | None, Field(ge=0, le=MAX_KEEP_GB, allow_inf_nan=False)]


class RetentionQuery(Untrusted):
    """Limits to try, instead of the operator's."""

    model_config = ConfigDict(extra="forbid")

    keep_days: KeepDays = Field(None, description="Instead of FARM_KEEP_DAYS; 0: no limit.")
    keep_gb: KeepGigabytes = Field(None, description="Instead of FARM_KEEP_GB; 0: no limit.")

    @property
    def rules(self) -> Rules:
        """The rules that it asks about."""
        return Rules.choose(self.keep_days, self.keep_gb)


class PartOut(BaseModel):
    """Things of one kind in the storage."""

    count: int
    size_bytes: int

    @classmethod
    def from_part(cls, part: Part) -> PartOut:
        """Describe a part."""
        return cls(count=part.count, size_bytes=part.size_bytes)


class HeldOut(BaseModel):
    """Contents of the storage by kind."""

    finished: PartOut = Field(description="Finished pictures, each with its preview.")
    unfinished: PartOut = Field(description="Jobs that failed or were cancelled: their previews.")
    at_work: PartOut = Field(description="Jobs that wait or are rendered: previews and checkpoints.")
    uploads: PartOut = Field(description="Photographs and paintings of jobs, as they were sent.")
    unused_uploads: PartOut = Field(description="Uploads of no job; deleted a day after they were sent.")
    total_bytes: int
    unknown: int = Field(description="Ended jobs whose bytes the janitor has not found out yet.")
    measured_at: Moment

    @classmethod
    def from_holdings(cls, found: Holdings) -> HeldOut:
        """Describe the holdings."""
        return cls(
            **{kind: PartOut.from_part(part) for kind, part in found.parts.items()},
            total_bytes=found.total_bytes,
            unknown=found.unknown,
            measured_at=found.measured_at,
        )


class DiskOut(BaseModel):
    """Disk that pictures or a SQLite database lie on."""

    free_bytes: int
    total_bytes: int
    reserve_bytes: int = Field(description="Below so many free bytes nothing new is taken.")

    @classmethod
    def from_disk(cls, found: Disk) -> DiskOut:
        """Describe a disk."""
        return cls(free_bytes=found.free, total_bytes=found.total, reserve_bytes=found.reserve)


class RetentionOut(BaseModel):
    """Limits of what is kept, and the ended jobs that they would delete now."""

    keep_days: float = Field(description="0: no limit.")
    keep_bytes: int = Field(description="Of the files of all jobs; 0: no limit.")
    pictures: int = Field(description="Jobs that would be deleted, cells of explorations included.")
    starred: int = Field(description="Of these, with stars.")
    size_bytes: int
    oldest: Moment | None = Field(description="When the oldest of them was submitted.")
    newest: Moment | None
    has_more: bool = Field(description="True where there are more, which were not counted.")
    message: str = Field(description="For a person.")

    @classmethod
    def from_plan(cls, rules: Rules, plan: Plan) -> RetentionOut:
        """Describe what rules would delete."""
        return cls(
            keep_days=rules.days,
            keep_bytes=rules.size_bytes,
            pictures=plan.pictures,
            starred=plan.starred,
            size_bytes=plan.size_bytes,
            oldest=plan.oldest,
            newest=plan.newest,
            has_more=plan.has_more,
            message=retention.describe_plan(plan),
        )


class StorageOut(BaseModel):
    """Storage of the farm."""

    room: Room
    disks: list[DiskOut] = Field(description="None where pictures and rows lie elsewhere.")
    held: HeldOut
    retention: RetentionOut


@blueprint.get("/storage")
@require_operator
@blueprint.input(RetentionQuery, location="query")
@blueprint.output(StorageOut)
@blueprint.doc(tags=["Storage"], responses=answers.OPERATORS)
def get_storage(query_data: RetentionQuery) -> StorageOut:
    """Return what the storage holds, how much room there is, and what would be deleted by the operator's
    limits or by others. Nothing is deleted by asking."""
    with sessions.read_session() as session:
        found = holdings.read(session)
        plan = retention.plan(session, query_data.rules, found)
    return StorageOut(
        room=disk.find_room(),
        disks=[DiskOut.from_disk(each) for each in disk.list_disks()],
        held=HeldOut.from_holdings(found),
        retention=RetentionOut.from_plan(query_data.rules, plan),
    )
