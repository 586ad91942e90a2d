"""Requests that a client may send again: one key, one request, one job or exploration."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from farm.database import sessions
from farm.database.models import Job
from farm.errors import InvalidInput, KeyReused, Problem
from farm.jobs import states

KEY_LENGTH = 200
KEY_TAKEN = "Idempotency-Key: this key came before, with another request; take a new one."
ID_TAKEN = "There is a job with this id already, of another request."


@dataclass(frozen=True)
class Request:
    """What a client sent under a key of its own, for one job or several; the first has the key.

    taken: said when another request had it.
    """

    key: str
    digest: str
    taken: str = KEY_TAKEN

    def __post_init__(self) -> None:
        if not (1 <= len(self.key) <= KEY_LENGTH and self.key.isascii() and self.key.isprintable()):
            message = f"must have 1 to {KEY_LENGTH} printable ASCII characters"
            raise InvalidInput(Problem("Idempotency-Key", message))

    def mark(self, job: Job) -> None:
        """Leave word of it on what it becomes."""
        job.idempotency_key, job.request_sha256 = self.key, self.digest

    def job(self) -> Job | None:
        """What it became before; None: it is new.

        Raises:
            KeyReused: another request had this key.
        """
        with sessions.reading() as session:
            found = states.of_key(session, self.key)
        if found and found.request_sha256 != self.digest:
            raise KeyReused(self.taken)
        return found


def digest(parts: Iterable[bytes]) -> str:
    """SHA-256 of all that makes a request this one."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(hashlib.sha256(part).digest())
    return whole.hexdigest()
