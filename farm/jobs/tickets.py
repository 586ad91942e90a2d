"""The queue: Celery's configuration, and tickets. A ticket only wakes a worker; the row decides."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from functools import lru_cache, partial

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.database.models import Job, State, WorkClass
from farm.database.sessions import read_clock
from farm.fleet import registry
from farm.jobs import queue_keys
from farm.settings import settings

TASK = "workers.render_next"
BROKER_TIMEOUT_SECONDS = 3
SILENCE_SECONDS = 5  # of Redis, after which whoever waits for tickets connects anew
VISIBILITY_SECONDS = 24 * 3600  # irrelevant to correctness: a redelivered ticket finds no row

log = structlog.get_logger()


@lru_cache
def celery() -> Celery:
    """Return the app that the web sends tickets with and the workers run."""
    app = Celery("farm", broker=settings().broker_url)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_acks_late=False,
        task_default_queue=WorkClass.STANDARD,
        worker_concurrency=1,
        worker_prefetch_multiplier=1,
        worker_proc_alive_timeout=180,  # a child imports torch before it says it is alive
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
        worker_enable_remote_control=False,  # whoever reaches Redis could stop workers by it
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_SECONDS,
            "socket_timeout": BROKER_TIMEOUT_SECONDS,
            "socket_connect_timeout": BROKER_TIMEOUT_SECONDS,
            "socket_keepalive": True,
            "health_check_interval": SILENCE_SECONDS,
            "global_keyprefix": queue_keys.PREFIX,
            "max_retries": 0,  # of sending a ticket: the janitor tries again, a person need not wait
        },
    )
    return app


def send_ticket(work_class: WorkClass) -> bool:
    """Send a ticket for this class. False: the broker is away, and the janitor sends another."""
    return send_to(work_class.value)


def wake_worker(name: str) -> bool:
    """Send a ticket to one worker alone. False: the broker is away."""
    return send_to(name_own_queue(name))


def name_own_queue(worker: str) -> str:
    """Return the name of the queue that this worker alone listens to."""
    return f"worker.{worker}"


def send_to(queue: str) -> bool:
    """Send a ticket to a queue: of a class, or a worker's own. False: the broker is away."""
    try:
        _send(queue)
    except (OperationalError, RedisError, OSError) as error:
        log.warning("ticket not sent", queue=queue, error=str(error))
        return False
    return True


def _send(queue: str) -> None:
    """Send a ticket, after keys of another type were dropped if there are any."""
    send = partial(celery().send_task, TASK, args=[queue], queue=queue, retry=False)
    try:
        send()
    except RedisError as error:
        if not queue_keys.is_wrong_type(error) or not _drop_wrong_types():
            raise
        send()


def _drop_wrong_types() -> bool:
    with celery().connection_for_write() as connection:
        pool = connection.default_channel.client.connection_pool  # type: ignore[attr-defined]
        return queue_keys.drop_wrong_types(Redis(connection_pool=pool))


def wake(job: Job) -> bool:
    """Send a ticket for a job that waits, and remember that it was sent. False: the broker is away."""
    sent = send_ticket(job.work_class)
    if sent:
        with sessions.write_session() as session:
            mark_ticket_sent(session, job.id)
    return sent


class TicketBatch:
    """Tickets for several jobs of one request, up to the first that cannot be sent: the janitor sends
    the others, and a person need not wait for a broker that is away as often as there are jobs."""

    def __init__(self) -> None:
        self._broker_away = False

    def send(self, job: Job) -> bool:
        """Send a ticket for a job that waits; False: the broker is away."""
        if not self._broker_away:
            self._broker_away = not wake(job)
        return not self._broker_away


def mark_ticket_sent(session: Session, job_id: str) -> None:
    """Record that a ticket for this job is on the queue, so that the janitor sends none soon."""
    sessions.execute_count(
        session, update(Job).where(Job.id == job_id).values(ticket_at=read_clock(session))
    )


def collect_due_tickets(session: Session, after_seconds: float) -> list[WorkClass]:
    """Return the classes of tickets to send for jobs that had none for `after_seconds`, and mark these.

    As many of a class as there are workers at most: each renders what waits until nothing does.
    """
    moment, patience = read_clock(session), timedelta(seconds=after_seconds)
    due = select(Job.id).where(
        Job.state == State.QUEUED,
        Job.ticket_at.is_(None)
        | (Job.ticket_at < moment - patience)
        | (Job.ticket_at > moment + patience),  # the clock was set back since
    )
    due = due.with_for_update(skip_locked=True)  # another janitor's, if it marks them at this moment
    marked = update(Job).where(Job.id.in_(due)).values(ticket_at=moment).returning(Job.work_class)
    found = Counter(session.scalars(marked, execution_options={"synchronize_session": False}))
    most = max(1, len(registry.list_alive(session))) if found else 0
    return [work_class for work_class, count in found.items() for _ in range(min(count, most))]
