"""Deliveries of a webhook: a part of a job's or a film's page, and the button that retries one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Response, flash, redirect, url_for
from flask.typing import ResponseReturnValue

from farm.database import sessions
from farm.database.deliveries import Delivery, DeliveryStatus
from farm.errors import WrongState
from farm.jobs import states
from farm.webhooks import deliveries
from web.api.webhooks import LARGEST_ID
from web.pages import blueprint
from web.pages.fragments import send_fragment


class ShownWebhook:
    """Who is notified of an end, and how that went."""

    def __init__(self, word: str, url: str, found: Sequence[Delivery], **named: Any) -> None:
        """Describe a webhook.

        Args:
            word: for what ends, `job` or `film`. found: its deliveries, newest first.
            named: the id in addresses, `job_id` or `film_id`.
        """
        self.word, self.url, self.deliveries, self._named = word, url, found, named
        self._prefix = "film_" if word == "film" else ""

    @property
    def going(self) -> bool:
        """True while an answer is to come."""
        under_way = (DeliveryStatus.WAITING, DeliveryStatus.SENDING)
        return any(each.status in under_way for each in self.deliveries)

    @property
    def fragment_url(self) -> str:
        """Address of this part of the page alone."""
        return url_for(f"pages.list_{self._prefix}deliveries", **self._named)

    def build_retry_url(self, delivery: Delivery) -> str:
        """Return the address that sends one of them again."""
        endpoint = f"pages.retry_{self._prefix}delivery"
        return url_for(endpoint, delivery_id=delivery.id, **self._named)


@blueprint.get("/jobs/<job_id:job_id>/deliveries")
def list_deliveries(job_id: str) -> Response:
    """Return the part of the page alone, newer."""
    with sessions.read_session() as session:
        job = states.get(session, job_id)
        found = deliveries.list_for_job(session, job_id)
    webhook = ShownWebhook("job", job.webhook_url, found, job_id=job_id) if job.webhook_url else None
    return send_fragment("_deliveries.html", webhook=webhook)


@blueprint.post(f"/jobs/<job_id:job_id>/deliveries/<int(max={LARGEST_ID}):delivery_id>/retry")
def retry_delivery(job_id: str, delivery_id: int) -> ResponseReturnValue:
    """Send it now."""
    send_again(job_id, delivery_id)
    return redirect(url_for("pages.show_job", job_id=job_id, _anchor="webhook"), 303)


def send_again(job_id: str, delivery_id: int) -> None:
    """Make a delivery due now; where it is being sent at this moment, the page says so."""
    try:
        with sessions.write_session() as session:
            deliveries.send_again(session, job_id, delivery_id)
    except WrongState as error:
        flash(str(error))
