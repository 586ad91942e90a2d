"""Celery app with one task. The parent process stays light; a child renders.

Run by `farm worker` as `celery --app workers.tasks worker`.
"""

from __future__ import annotations

import os
import signal
import warnings
from typing import Any, NoReturn

import psutil
import structlog
from celery.exceptions import SecurityWarning
from celery.signals import setup_logging, worker_process_init, worker_shutting_down
from celery.worker.request import Request
from kombu.transport.virtual import QoS

from farm import log
from farm.database import sessions
from farm.database.models import WorkClass
from farm.errors import NoDevice
from farm.jobs import cleanup, states
from farm.jobs.tickets import TASK, celery, send_ticket
from farm.settings import settings
from workers import broker
from workers.exit_status import ExitStatus
from workers.heartbeat import Heartbeat
from workers.interrupts import stopping

broker.install()
app = celery()
_heartbeat: Heartbeat | None = None

# It warns that root should not unpickle; tickets are JSON, and a container's root is often all there is.
warnings.filterwarnings("ignore", category=SecurityWarning)


@setup_logging.connect
def configure_log(**_: Any) -> None:
    """Write Celery's log as the farm's own: it sets up none where this signal is taken."""
    log.configure(worker=settings().worker_name)


@worker_process_init.connect
def prepare_child(**_: Any) -> None:
    """Start the decoding process, load torch and start the heartbeat, before the first ticket."""
    global _heartbeat
    log.configure(worker=settings().worker_name)
    from workers import decoding

    decoding.start()  # ready by the time that torch is
    from workers import render

    try:
        machine = render.describe_machine()
    except NoDevice as error:
        _end_worker(str(error))
    _heartbeat = Heartbeat(
        settings().worker_name, machine, lambda: render.measure_budget(machine.device_kind)
    )
    _heartbeat.start()
    decoding.await_ready()


def _end_worker(reason: str) -> NoReturn:
    """End parent and child, which could not render; whoever supervises them tries again later."""
    structlog.get_logger().critical("this worker ends", reason=reason)
    os.kill(os.getppid(), signal.SIGTERM)
    os._exit(ExitStatus.NO_DEVICE)


@worker_shutting_down.connect
def stop_child(**_: Any) -> None:
    """Have the child requeue its job, from the parent, which now waits for the current task."""
    for child in psutil.Process().children():
        child.terminate()


class Ticket(Request):
    """Ticket that is acknowledged although Redis was away.

    Kombu would count it as unacknowledged for good; the parent takes one at a time, and would never take
    another. Should Redis deliver it again a day later, it finds nothing to do.
    """

    def acknowledge(self) -> None:
        super().acknowledge()
        message = self.message
        if not message.acknowledged:
            QoS.ack(message.channel.qos, message.delivery_tag)


@app.task(name=TASK, Request=Ticket)
def render_next(work_class: str) -> None:
    """Claim the best waiting job of this class and render it; do nothing if there is none."""
    from workers import render

    assert _heartbeat is not None, "prepare_child runs first"
    if stopping.is_set():  # this process alone was stopped, and requeued its job
        send_ticket(WorkClass(work_class))
        os._exit(ExitStatus.STOPPED)  # the parent starts another child
    # The pool sets its own handler after `prepare_child`; during a job it is ours, so that the
    # job is requeued and not torn apart.
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    with sessions.write_session() as session:
        claim = states.claim(session, WorkClass(work_class), settings().worker_name)
    if claim is None:
        return
    with _heartbeat.renew_lease_of(claim):
        status = render.render(claim, _heartbeat.note_progress)
    cleanup.remove_files(claim.job.id)
    if status is not None:
        os._exit(status)  # the parent starts another child
