"""Intake of tickets: whether a worker takes any, as its child finds, which alone reads the worker's row;
and how the child has the parent end.

Both share three bytes of memory. So the parent needs no connection to the database, which a fork would
share, and no thread, in whose midst it would fork.
"""

from __future__ import annotations

import mmap
import os
import signal
from typing import Any

from celery import bootsteps
from celery.signals import celeryd_after_setup, worker_shutdown

PARENT = os.getpid()  # which imports this before it forks
UPDATE_SECONDS = 1.0  # between two looks of the parent at what its child found
NO_STATUS = 255

_TAKES, _STATUS, _HAD_DEVICE = range(3)
_shared = mmap.mmap(-1, 3)  # of this process and those that it forks
_shared[_STATUS] = NO_STATUS


def set_taking(takes: bool) -> None:
    """Let the parent take tickets, or none, from the child."""
    _shared[_TAKES] = takes


def note_device() -> None:
    """Note that a child of this worker could use its device: if a later one cannot, it broke."""
    _shared[_HAD_DEVICE] = True


def had_device() -> bool:
    """Check whether a child of this worker could use its device."""
    return bool(_shared[_HAD_DEVICE])


def end_parent(status: int) -> None:
    """Have the parent end with a status, after its child, as SIGTERM has it end. If it is gone, this
    process alone ends."""
    _shared[_STATUS] = status
    os.kill(PARENT if os.getppid() == PARENT else os.getpid(), signal.SIGTERM)


class Intake(bootsteps.StartStopStep):
    """Step of the parent's consumer that begins and ceases to take tickets, as the child finds.

    At first, while the child loads, none are taken: another worker may be free for them.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        """Look at what the child found from now on."""
        self._timer = consumer.timer.call_repeatedly(UPDATE_SECONDS, update, (consumer,))

    def stop(self, consumer: Any) -> None:
        """Look no more: the consumer's connection is lost, or the worker ends."""
        if timer := getattr(self, "_timer", None):
            timer.cancel()


_classes: list[str] = []  # that this worker takes, when it takes any


def update(consumer: Any) -> None:
    """Have a consumer take what the child found that this worker takes."""
    takes, taken = bool(_shared[_TAKES]), consumer.app.amqp.queues.consume_from
    for work_class in _classes:
        if takes and work_class not in taken:
            consumer.add_task_queue(work_class)
        elif not takes and work_class in taken:
            consumer.cancel_task_queue(work_class)


@celeryd_after_setup.connect
def close_at_first(instance: Any, **_: Any) -> None:
    """Take no tickets until the child is ready for them."""
    queues = instance.app.amqp.queues
    _classes[:] = list(queues.consume_from)
    queues.deselect(list(_classes))


@worker_shutdown.connect
def set_exit_status(sender: Any, **_: Any) -> None:
    """End with the status that the child asked for."""
    if _shared[_STATUS] != NO_STATUS:
        sender.exitcode = int(_shared[_STATUS])
