"""Claims of jobs by this worker, also over a network that loses answers."""

from __future__ import annotations

from sqlalchemy.orm import Session

from farm.database.models import State
from farm.fleet import registry
from farm.jobs import claims, states
from farm.jobs.claims import Taker
from farm.jobs.states import Claim
from workers import retries
from workers.interrupts import Interrupted, stopping


def claim_next(taker: Taker, instance: str = "") -> Claim | None:
    """Claim the best waiting job that this worker can take; None: none waits, or it is to take none.
    Retried while the database is away, so that its ticket is not lost.

    A claim that was committed although no answer came is found again: nobody else would render that job
    until its lease lapses.

    Args:
        instance: of this worker, see `farm/fleet/instances.py`; "": it has none.

    Raises:
        Interrupted: this process shall end meanwhile.
        OperationalError, InterfaceError: the database was away for too long.
    """
    tries = 0

    def claim(session: Session) -> Claim | None:
        nonlocal tries
        tries += 1
        if tries > 1 and (known := states.find_claim(session, taker.name)):
            return known
        taken = claims.claim(session, taker, instance)
        if taken:
            registry.set_job(session, taker.name, taken.job.id)
        return taken

    return retries.write(claim, _check_not_stopped)


def _check_not_stopped() -> None:
    if stopping.is_set():
        raise Interrupted(State.QUEUED)
