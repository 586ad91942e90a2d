"""Deliveries of a job's webhook, and the retry of one."""

from __future__ import annotations

from pydantic import BaseModel, Field

from farm.database import sessions
from farm.database.deliveries import Delivery, DeliveryStatus
from farm.database.models import State
from farm.jobs import states
from farm.webhooks import deliveries, payload
from web.api import answers, blueprint
from web.api.schemas import Moment

LARGEST_ID = 2**31 - 1  # of a row


class DeliveryOut(BaseModel):
    """Delivery of one end of the job to its `webhook_url`."""

    id: int
    delivery: str = Field(description="What its receiver knows it by.")
    state: State
    attempt: int
    standing: DeliveryStatus
    tries: int
    answer: str | None = Field(description="To the latest try.")
    created_at: Moment
    delivered_at: Moment | None
    next_try_at: Moment | None = Field(description="Null once it is delivered or given up.")

    @classmethod
    def from_row(cls, row: Delivery) -> DeliveryOut:
        """Describe a delivery by its row."""
        sending = row.status is DeliveryStatus.SENDING
        return cls(
            id=row.id,
            delivery=payload.make_name(row),
            state=row.state,
            attempt=row.attempt,
            standing=row.status,
            tries=row.tries,
            answer=row.status.value if sending else row.answer,
            created_at=row.created_at,
            delivered_at=row.delivered_at,
            next_try_at=row.due_at if row.status is DeliveryStatus.WAITING else None,
        )


class Deliveries(BaseModel):
    """Deliveries of a job, newest first."""

    items: list[DeliveryOut]


@blueprint.get("/jobs/<job_id:job_id>/deliveries")
@blueprint.output(Deliveries)
@blueprint.doc(tags=["Webhooks"], responses=answers.NO_JOB)
def list_deliveries(job_id: str) -> Deliveries:
    """List the deliveries of a job's ends, made or to be made; none for a job without a webhook."""
    with sessions.read_session() as session:
        states.get(session, job_id)
        found = deliveries.list_for_job(session, job_id)
    return Deliveries(items=[DeliveryOut.from_row(row) for row in found])


@blueprint.post(f"/jobs/<job_id:job_id>/deliveries/<int(max={LARGEST_ID}):delivery_id>/retry")
@blueprint.output(DeliveryOut)
@blueprint.doc(
    tags=["Webhooks"],
    responses=answers.OTHER_SITE
    | {404: "The job has no such delivery.", 409: "It is being sent at this moment."},
)
def retry_delivery(job_id: str, delivery_id: int) -> DeliveryOut:
    """Send it now, delivered or not. Its tries are counted anew."""
    with sessions.write_session() as session:
        return DeliveryOut.from_row(deliveries.send_again(session, job_id, delivery_id))
