"""From files and settings to a queued job: checked pictures -> storage -> row, committed -> ticket.

The form and the API both come through here.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from farm.database import sessions
from farm.database.models import Job, Upload
from farm.database.names import can_be_shown
from farm.errors import InvalidInput, KeyReused, Problem
from farm.fleet import registry
from farm.fleet.estimates import estimate
from farm.jobs import states
from farm.jobs.idempotency import ID, ID_TAKEN, KEY_TAKEN, Key, Request, digest
from farm.jobs.tickets import wake
from farm.pictures import uploads
from farm.pictures.decoder_pool import Asked
from farm.pictures.uploads import Picture
from farm.recipe import Recipe
from farm.recipe.recipe import MOST_STYLES, SMALLEST_STYLE
from farm.webhooks import destinations

NAME_LENGTH = 120
PRIORITIES = range(-100, 101)


def submit(
    content: bytes,
    styles: Sequence[bytes],
    recipe: Recipe,
    *,
    name: str = "",
    priority: int = 0,
    key: Key | None = None,
    job_id: str | None = None,
    webhook_url: str = "",
) -> Job:
    """Check everything, then store, then commit the row, then send a ticket.

    A ticket that cannot be sent is the janitor's to send later: the job is accepted all the same.

    Args:
        key, job_id: of the client's own making. The same request with the same one again is the same
            job.
        webhook_url: told how the job ended; empty: nobody is.

    Raises:
        InvalidInput and its kin: the first field that is wrong; nothing was stored.
        KeyReused: the key or the id came before, with another request.
    """
    if job_id is not None:
        key = Key(ID, job_id)
    request = None
    if key is not None:
        # Without a webhook the parts are what they were before there were any: old keys find their job.
        told = [b"webhook " + webhook_url.encode()] if webhook_url else []
        parts = [content, *styles, recipe.model_dump_json().encode(), name.encode(), b"%d" % priority]
        request = Request(key, digest([*parts, *told]), KEY_TAKEN if job_id is None else ID_TAKEN)
    if request and (job := request.job()):
        return job
    if priority not in PRIORITIES:
        raise InvalidInput(Problem("priority", "must be between -100 and 100"))
    webhook_url = webhook_url.strip()
    if webhook_url:
        destinations.check(webhook_url)
    sent = Submission.check(content, styles, recipe, name=name)
    sent.store()
    try:
        with sessions.writing() as session:
            job = sent.job(session, recipe, priority, job_id)
            job.webhook_url = webhook_url or None
            if request:
                request.mark(job)
    except IntegrityError:  # the same request twice at this moment; the other was quicker
        if request and (job := request.job()):
            return job
        if job_id is not None:
            raise KeyReused(ID_TAKEN) from None
        raise
    wake(job)
    return job


@dataclass(frozen=True)
class Submission:
    """A name and pictures that were checked, on their way to one job or several.

    pictures: the photograph, then the paintings.
    """

    name: str
    pictures: list[Picture]

    @classmethod
    def check(cls, content: bytes, styles: Sequence[bytes], recipe: Recipe, *, name: str) -> Submission:
        """
        Raises:
            InvalidInput and its kin: the first field that is wrong.
        """
        name = " ".join(name.split())
        if not can_be_shown(name):
            raise InvalidInput(Problem("name", "has characters that cannot be shown"))
        if len(name) > NAME_LENGTH:
            raise InvalidInput(
                Problem("name", f"has {len(name)} characters; the limit is {NAME_LENGTH}")
            )
        if not styles:
            raise InvalidInput(Problem("style", "is missing; send at least one painting"))
        if len(styles) > MOST_STYLES:
            message = f"has {len(styles)} paintings; the limit is {MOST_STYLES}"
            raise InvalidInput(Problem("style", message))
        recipe.blend_of(len(styles))

        paintings = [Asked(style, "style", SMALLEST_STYLE) for style in styles]
        with closing(uploads.check([Asked(content, "content"), *paintings])) as answers:
            photograph = next(answers)
            _fits_somewhere(recipe, photograph.upload)
            return cls(name or "Untitled", [photograph, *answers])

    def store(self) -> None:
        """The pictures."""
        uploads.store(self.pictures)

    def job(self, session: Session, recipe: Recipe, priority: int = 0, job_id: str | None = None) -> Job:
        """A job of these pictures, which are stored."""
        content, *styles = [session.get_one(Upload, each.upload.sha256) for each in self.pictures]
        return states.create(
            session,
            name=self.name,
            recipe=recipe,
            content=content,
            styles=styles,
            priority=priority,
            job_id=job_id,
        )


def _fits_somewhere(recipe: Recipe, photograph: Upload) -> None:
    """While no worker is alive nobody can tell; the job may wait for a larger one.

    Raises:
        InvalidInput: no worker that is alive has memory enough, or the result would be too narrow.
    """
    with sessions.reading() as session:
        workers = registry.list_alive(session)
    best = estimate(recipe, photograph.height, photograph.width, workers)
    if best and best.refusal:
        raise InvalidInput(Problem("size", f"is too large for every worker: {best.refusal}"))
