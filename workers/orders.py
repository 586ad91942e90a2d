"""Orders: what the worker's row says that this worker is to do, read by the child, which renders."""

from __future__ import annotations

import os

import structlog

from farm.database import sessions
from farm.database.fleet import WorkerState
from farm.errors import NameTaken
from farm.fleet import registry
from farm.jobs.tickets import wake_worker
from workers import intake
from workers.exit_status import ExitStatus

log = structlog.get_logger()


class Orders:
    """Orders of an operator, or of the worker itself, to the worker of a name.

    Args:
        instance: of the worker, see `farm/fleet/instances.py`.
        usable: False: this process cannot use the device, which the next may, once an operator says so.
    """

    def __init__(self, worker: str, instance: str, *, usable: bool = True) -> None:
        self._worker, self._instance = worker, instance
        self._usable = usable
        self._ending = self._takes = False

    def follow(self) -> None:
        """Read the row and do what it says: take tickets or none, or end.

        Raises:
            SQLAlchemyError: the database is away.
        """
        if self._ending:
            return
        try:
            with sessions.read_session() as session:
                state = registry.read_order(session, self._worker, self._instance)
        except NameTaken as error:
            self._end(ExitStatus.TWIN, str(error))
            return
        if state is WorkerState.ACTIVE and not self._usable:
            intake.note_device()  # so that the worker is sick again, if the next cannot either
            os._exit(ExitStatus.NO_DEVICE)
        self._set_taking(state is WorkerState.ACTIVE)
        if state is WorkerState.DRAINING:
            self._finish_draining()

    def _set_taking(self, takes: bool) -> None:
        """Take tickets or none; one that begins to takes what waits already, whose tickets are gone."""
        if takes and not self._takes:
            wake_worker(self._worker)
        self._takes = takes
        intake.set_taking(takes)

    def _finish_draining(self) -> None:
        with sessions.write_session() as session:
            done = registry.finish_draining(session, self._worker, self._instance)
        if done:
            self._end(ExitStatus.DRAINED, "it was drained")

    def _end(self, status: ExitStatus, reason: str) -> None:
        self._ending = True
        intake.set_taking(False)
        log.warning("this worker ends", reason=reason)
        intake.end_parent(status)
