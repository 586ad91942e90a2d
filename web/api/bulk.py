"""Many jobs at once."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from farm import bulk
from farm.models import State
from web.api import blueprint

JobId = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]


class BulkIn(BaseModel):
    """What to do to which jobs; with `dry_run`, only what would be done."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["cancel", "retry", "delete"]
    ids: list[Annotated[str, Field(pattern="^[0-9a-f]{32}$")]] = Field(
        min_length=1, max_length=bulk.MOST
    )
    dry_run: bool = False


class BulkItem(BaseModel):
    """What happened, or would happen, to one job. `state`: before it. `refusal`: why nothing does."""

    id: str
    name: str
    state: State
    done: bool
    refusal: str | None


class BulkOut(BaseModel):
    """One item for each job that is there, in the order they were asked for."""

    items: list[BulkItem]


@blueprint.post("/jobs/bulk")
@blueprint.input(BulkIn, location="json")
@blueprint.output(BulkOut)
@blueprint.doc(responses={400: "Not JSON.", 403: "Sent by another site's page."})
def bulk_jobs(json_data: BulkIn) -> BulkOut:
    """Cancel, retry or delete many jobs, each as if it were asked for alone."""
    outcomes = (bulk.plan if json_data.dry_run else bulk.act)(json_data.action, json_data.ids)
    return BulkOut(
        items=[
            BulkItem(
                id=each.job.id,
                name=each.job.name,
                state=each.job.state,
                done=each.refusal is None and not json_data.dry_run,
                refusal=each.refusal,
            )
            for each in outcomes
        ]
    )
