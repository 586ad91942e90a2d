"""The same act on many jobs."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from farm.jobs import bulk
from farm.recipe.problems import Untrusted
from web.api import answers, blueprint
from web.api.schemas import BulkOut
from web.middleware.authentication import get_visitor

JobId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


class BulkIn(Untrusted):
    """Request for one act on many jobs."""

    model_config = ConfigDict(extra="forbid")

    action: bulk.Action
    ids: list[JobId] = Field(min_length=1, max_length=bulk.MAX_JOBS)
    dry_run: bool = Field(False, description="Do nothing; answer what would be done.")


@blueprint.post("/jobs/bulk")
@blueprint.input(BulkIn, location="json")
@blueprint.output(BulkOut)
@blueprint.doc(responses=answers.BAD_JSON)
def act(json_data: BulkIn) -> BulkOut:
    """Cancel, retry or delete many jobs, each by itself: one that cannot be hinders no other.

    Deleting takes jobs that have ended; cancel the others first.
    """
    do = bulk.plan if json_data.dry_run else bulk.carry_out
    outcomes = do(json_data.action, json_data.ids, get_visitor())
    return BulkOut.from_outcomes(json_data.action, outcomes, dry_run=json_data.dry_run)
