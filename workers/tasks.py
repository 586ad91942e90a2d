"""Celery app with one task. The parent process stays light; a child renders.

Run by `farm worker` as `celery --app workers.tasks worker`.
"""

from __future__ import annotations

import os
import signal
import socket
import warnings
from dataclasses import replace
from importlib import metadata
from typing import Any, NoReturn

import psutil
import structlog
from celery.exceptions import CPendingDeprecationWarning, SecurityWarning
from celery.signals import (
    setup_logging,
    worker_process_init,
    worker_shutdown,
    worker_shutting_down,
)
from celery.worker.request import Request
from kombu.transport.virtual import QoS
from sqlalchemy.exc import SQLAlchemyError

from farm import log
from farm.database import sessions
from farm.database.fleet import Worker, WorkerState
from farm.database.models import WorkClass
from farm.errors import FarmError, NoDevice
from farm.films import films
from farm.fleet import instances, operations, registry
from farm.jobs import claims, cleanup
from farm.jobs.claims import Taker
from farm.jobs.tickets import TASK, celery, send_ticket, send_to, wake_worker
from farm.settings import settings, split_list
from workers import broker, intake
from workers.claims import claim_next
from workers.exit_status import ExitStatus
from workers.heartbeat import Heartbeat
from workers.interrupts import Interrupted, stopping
from workers.orders import Orders

broker.install()
app = celery()
app.steps["consumer"].add(intake.Intake)
_heartbeat: Heartbeat | None = None
_process = registry.UNKNOWN

# It warns that root should not unpickle; tickets are JSON, and a container's root is often all there is.
warnings.filterwarnings("ignore", category=SecurityWarning)
# And, whenever Redis was away, of what a later Celery will do with tasks; ours go on.
warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)


@setup_logging.connect
def configure_log(**_: Any) -> None:
    """Write Celery's log as the farm's own: it sets up none where this signal is taken."""
    log.configure(worker=settings().worker_name)


@worker_process_init.connect
def prepare_child(**_: Any) -> None:
    """Prepare this process for its first ticket; one that cannot be ends with its worker: Celery would
    only log the error, and leave a worker that takes no job."""
    log.configure(worker=settings().worker_name)
    try:
        _prepare_child()
    except Exception as error:
        structlog.get_logger().exception("not prepared")
        _end_worker(f"{type(error).__name__}: {error}")


def _prepare_child() -> None:
    """Start the decoding process, load torch and start the heartbeat."""
    global _heartbeat, _process
    from workers import decoding

    decoding.start()  # ready by the time that torch is
    from farm.engine import quality
    from workers import render
    from workers.monitor import Monitor

    _process = describe_process()
    name, machine, monitor = settings().worker_name, None, None
    try:
        machine = render.describe_machine()
    except NoDevice as error:
        if not _mark_sick(str(error)):
            _end_worker(str(error))
    if machine:
        intake.note_device()
        monitor = Monitor(machine)
        monitor.start()
    _note_job(None)  # of a child before this one
    _heartbeat = Heartbeat(
        name,
        machine,
        (lambda: render.measure_budget(machine.device_kind)) if machine else None,
        process=_process,
        read_device=(lambda: monitor.reading) if monitor else registry.Reading,
        orders=Orders(name, _process.instance, usable=machine is not None),
    )
    _heartbeat.start()
    quality.load_metrics_meanwhile()
    decoding.await_ready()


def describe_process() -> registry.Process:
    """Describe the worker whose child this process is."""
    given = settings()
    classes = split_list(given.classes)
    return registry.Process(
        host=socket.gethostname(),
        instance=instances.identify(intake.PARENT),
        version=metadata.version("style-farm"),
        classes=() if set(classes) == set(WorkClass) else tuple(classes),
        tags=tuple(split_list(given.tags)),
    )


def _mark_sick(reason: str) -> bool:
    """Mark this worker sick, whose device broke while it worked; False: it never could use it. One that
    is sick stays so."""
    name = settings().worker_name
    try:
        with sessions.write_session() as session:
            worker = session.get(Worker, name)
            if worker is None or not (intake.had_device() or worker.state is WorkerState.SICK):
                return False
            operations.mark_sick(session, name, f"Its device cannot be used any more. {reason}")
            return True
    except (FarmError, SQLAlchemyError) as error:
        structlog.get_logger().warning("not marked sick", error=str(error))
        return False


def _end_worker(reason: str) -> NoReturn:
    """End parent and child, which could not render; whoever supervises them tries again later."""
    structlog.get_logger().critical("this worker ends", reason=reason)
    intake.end_parent(ExitStatus.NO_DEVICE)
    os._exit(ExitStatus.NO_DEVICE)


def _note_job(job_id: str | None) -> None:
    """Record what this worker is at, as far as the database is there."""
    try:
        with sessions.write_session() as session:
            registry.set_job(session, settings().worker_name, job_id)
    except SQLAlchemyError as error:
        structlog.get_logger().warning("job not recorded", error=str(error))


@worker_shutdown.connect
def release_name(**_: Any) -> None:
    """Let another process be the worker of this name at once, from the parent at its end."""
    try:
        with sessions.write_session() as session:
            instance = instances.identify(intake.PARENT)
            registry.release_name(session, settings().worker_name, instance)
    except SQLAlchemyError as error:
        structlog.get_logger().warning("name not released", error=str(error))


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
def render_next(queue: str) -> None:
    """Render what waits for this worker, job after job, until nothing does.

    A ticket only wakes: the job that it was sent for may be another's by now.

    Args:
        queue: that the ticket came from.
    """
    assert _heartbeat is not None, "prepare_child runs first"
    if stopping.is_set():  # this process alone was stopped, and requeued its job
        send_to(queue)
        os._exit(ExitStatus.STOPPED)  # the parent starts another child
    # The pool sets its own handler after `prepare_child`; during a job it is ours, so that the
    # job is requeued and not torn apart.
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    taker = _heartbeat.describe_taker()
    count = _render_all(taker)
    if stopping.is_set():
        return
    if not _is_active(taker):  # what waits is for others, whatever it is
        _pass_on(replace(taker, classes=frozenset()))
    elif not count:
        _pass_on(taker)


def _render_all(taker: Taker) -> int:
    """Render what waits for this worker, and return how many jobs that were."""
    from workers import render

    assert _heartbeat is not None, "prepare_child runs first"
    count, next_taker = 0, taker
    while not stopping.is_set():
        try:
            claim = claim_next(next_taker, _process.instance)
        except Interrupted:
            break
        if claim is None:
            if next_taker is taker:
                break
            next_taker = taker  # all drafts are taken
            continue
        with _heartbeat.renew_lease_of(claim):
            ending = render.render(claim, taker, _heartbeat.note_progress)
        cleanup.remove_files(claim.job.id)
        if claim.job.film_id is not None:
            _settle_film(claim.job.film_id)
        if ending.exit_status is not None:
            _note_job(None)
            os._exit(ending.exit_status)  # the parent starts another child
        if ending.made_way:
            send_ticket(claim.job.work_class)  # another worker may be free for it before this one is
            next_taker = replace(taker, classes=frozenset({WorkClass.PREVIEW}))
        count += 1
    if count:  # a claim of another job has recorded that one
        _note_job(None)
    return count


def _settle_film(film_id: str) -> None:
    """Do what follows for a film from the end of a part, unless that has to wait for the janitor."""
    try:
        films.settle(film_id)
    except (FarmError, SQLAlchemyError):
        structlog.get_logger().exception("film not settled", film=film_id)


def _is_active(taker: Taker) -> bool:
    with sessions.read_session() as session:
        return registry.is_active(session, taker.name, _process.instance)


def _pass_on(taker: Taker) -> None:
    """Wake a worker that can take what waits, if this one, which the ticket came to, cannot."""
    with sessions.read_session() as session:
        other = claims.find_other_taker(session, taker)
    if other is not None:
        wake_worker(other)
