"""Events: what operators did, for operators."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from farm.database import sessions
from farm.people import audit
from farm.recipe.problems import Untrusted
from web.api import answers, blueprint
from web.api.schemas import Moment
from web.middleware.authentication import require_operator

HIGHEST = 2**63 - 1  # number that both databases hold


class EventsQuery(Untrusted):
    """Question for events."""

    model_config = ConfigDict(extra="forbid")

    q: str = Field(
        "",
        max_length=audit.SEARCH_LENGTH,
        description="Part of a person's name, of an action, or of what it was done to.",
    )
    before: Annotated[int, Field(ge=1, le=HIGHEST)] | None = Field(
        None, description="Older ones only than the event of this id."
    )
    limit: int = Field(50, ge=1, le=audit.SHOWN)


class AuditLineOut(BaseModel):
    """Something that an operator did, or that a worker marked itself as."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    created_at: Moment
    person: str = Field(description="Name; it outlives the account.")
    action: str = Field(description="Such as `drain worker`.")
    subject: str = Field(description="Name of a worker or a person, id of a job, `queue`.")
    detail: str


class Events(BaseModel):
    """Events, newest first."""

    items: list[AuditLineOut]
    before: int | None = Field(description="Asks for older ones; null: there are none.")


@blueprint.get("/events")
@require_operator
@blueprint.input(EventsQuery, location="query")
@blueprint.output(Events)
@blueprint.doc(tags=["Workers"], responses=answers.OPERATORS)
def list_events(query_data: EventsQuery) -> Events:
    """List what operators did."""
    with sessions.read_session() as session:
        found = audit.list_newest(session, query_data.limit, q=query_data.q, before=query_data.before)
    items = [AuditLineOut.model_validate(line) for line in found.lines]
    return Events(items=items, before=found.before)
