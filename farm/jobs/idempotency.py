"""Requests that a client may send again: one key, one request, one job or exploration."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, false, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.database.models import Job
from farm.errors import InvalidInput, KeyReused, Problem, QuotaReached
from farm.jobs import states
from farm.people.accounts import key_owner
from farm.people.visitors import ANYBODY, Visitor
from farm.recipe import Recipe
from farm.recipe.versions import SETTINGS_OF

KEY_LENGTH = 200
NO_TOKEN, FORM, ID = "", "form", "id"  # owners of keys: clients without a token, forms, ids of PUT
KEY_TAKEN = "Idempotency-Key: this key came before, with another request; take a new one."
ID_TAKEN = "There is a job with this id already, of another request."


@dataclass(frozen=True)
class Key:
    """A name for a request, unique among those of its owner, so that keys of two owners never meet."""

    # One of NO_TOKEN, FORM and ID, or a person's.
    owner: str
    # 1 to KEY_LENGTH printable ASCII characters.
    text: str
    # Owners under which earlier versions kept it.
    earlier_owners: frozenset[str] = frozenset()
    # Who sends it, and finds no job that is hidden.
    visitor: Visitor = ANYBODY

    @classmethod
    def from_client(cls, text: str, visitor: Visitor) -> Key:
        """Return a client's key, scoped to the person, whichever token it showed.

        Raises:
            InvalidInput: the text cannot be a key.
        """
        if not (1 <= len(text) <= KEY_LENGTH and text.isascii() and text.isprintable()):
            message = f"must have 1 to {KEY_LENGTH} printable ASCII characters"
            raise InvalidInput(Problem("Idempotency-Key", message))
        if visitor.person_id is None:
            return cls(NO_TOKEN, text)
        earlier = frozenset({f"token {visitor.name}"})  # accounts are named as tokens were
        return cls(key_owner(visitor.person_id), text, earlier, visitor)

    def find_job(self, session: Session) -> Job | None:
        """Return the job that was submitted under this key; None: there is none."""
        same = (Job.idempotency_key == self.text) & self.visitor.match_visible(Job.owner_id)
        for owner in (self.owner, *self.earlier_owners):
            if job_id := session.scalar(select(Job.id).where(same, Job.idempotency_owner == owner)):
                return states.get(session, job_id)
        job_id = session.scalar(select(Job.id).where(same, self._match_unowned()))
        return states.get(session, job_id) if job_id else None

    def _match_unowned(self) -> ColumnElement[bool]:
        """Return the condition of a key from before owners were kept, which may be any client's."""
        return false() if self.owner in (FORM, ID) else Job.idempotency_owner.is_(None)


@dataclass(frozen=True)
class Request:
    """A request that was sent under a key, for one job or several; the first has the key."""

    key: Key
    # SHA-256 of all that makes it this request, see `digest`.
    digest: str
    # The same as earlier versions of the farm took it, so that their keys find their jobs.
    earlier_digests: frozenset[str] = frozenset()

    @classmethod
    def from_parts(
        cls,
        key: Key | Request | None,
        recipe: Recipe,
        list_parts: Callable[[str, Recipe | None], Iterable[bytes]],
    ) -> Request | None:
        """Return the request that a recipe and what came with it make; None if it came without a key.

        Args:
            key: a request is returned as it is: whoever sends it names things that may be others later.
            list_parts: lists all parts of the request for the JSON of the settings that were given, and
                for that of the recipe, and the recipe, that each earlier version made of them.
        """
        if key is None or isinstance(key, Request):
            return key
        earlier = (
            compute_digest(list_parts(old.dump_settings_of(version), old))
            for version in SETTINGS_OF
            if (old := recipe.convert_to(version))
        )
        given = compute_digest(list_parts(recipe.dump_given(), None))
        return cls(key, given, frozenset(earlier))

    def mark(self, job: Job) -> None:
        """Write key and digest into the job that the request becomes."""
        job.idempotency_owner, job.idempotency_key = self.key.owner, self.key.text
        job.request_sha256 = self.digest

    def find_job(self) -> Job | None:
        """Return the job that the request became before; None: it is new.

        Raises:
            KeyReused: another request had this key.
        """
        with sessions.read_session() as session:
            found = self.key.find_job(session)
        if found and found.request_sha256 not in {self.digest, *self.earlier_digests}:
            raise self.refusal
        return found

    @property
    def refusal(self) -> KeyReused:
        """The error where another request had the key."""
        return KeyReused(ID_TAKEN if self.key.owner == ID else KEY_TAKEN)


def submit_once(request: Request | None, submit: Callable[[], Job]) -> Job:
    """Submit, unless the same request came before; sent twice at one moment it is one job, too.

    Args:
        request: None: nothing tells it from others, so it is submitted each time.
        submit: checks, stores, commits, and returns the job that has the request's mark.

    Raises:
        KeyReused: another request had this key, or this id. And what `submit` raises.
    """
    if request and (found := request.find_job()):
        return found
    try:
        return submit()
    except (IntegrityError, QuotaReached) as error:  # the other of two at this moment was quicker
        if request and (found := request.find_job()):
            return found
        if isinstance(error, QuotaReached):
            raise
        if request and request.key.owner == ID:  # a job of another key, or of none, has the id
            raise request.refusal from None
        raise


def compute_digest(parts: Iterable[bytes]) -> str:
    """Return the SHA-256, in hex, of all that makes a request this one."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(hashlib.sha256(part).digest())
    return whole.hexdigest()
