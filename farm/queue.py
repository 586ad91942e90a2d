"""The queue: Celery's configuration, and tickets. A ticket only wakes a worker; the row decides."""

from __future__ import annotations

from functools import lru_cache

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from farm.models import WorkClass
from farm.settings import settings

TASK = "workers.render_next"
BROKER_TIMEOUT_SECONDS = 3
VISIBILITY_SECONDS = 24 * 3600  # irrelevant to correctness: a redelivered ticket finds no row

log = structlog.get_logger()


@lru_cache
def celery() -> Celery:
    """The app that the web sends tickets with and the workers run."""
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
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_SECONDS,
            "socket_timeout": BROKER_TIMEOUT_SECONDS,
            "socket_connect_timeout": BROKER_TIMEOUT_SECONDS,
            "global_keyprefix": "farm:",
            "max_retries": 0,  # of sending a ticket: the janitor tries again, a person need not wait
        },
    )
    return app


def send_ticket(work_class: WorkClass) -> bool:
    """Wake a worker for this class. False if the broker is away: the janitor sends again."""
    try:
        celery().send_task(TASK, args=[work_class.value], queue=work_class.value, retry=False)
    except (OperationalError, RedisError, OSError) as error:
        log.warning("ticket not sent", work_class=work_class.value, error=str(error))
        return False
    return True
