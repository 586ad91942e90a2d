"""From files and settings to a queued job: checked pictures -> storage -> row, committed -> ticket.

The form and the API both come through here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from farm.database import disk, sessions
from farm.database.fleet import Worker
from farm.database.models import GUIDES, Job, PictureRole, Upload
from farm.errors import InvalidInput, Problem
from farm.fleet import registry
from farm.fleet.estimates import estimate
from farm.jobs import job_rows
from farm.jobs.fields import check_priority
from farm.jobs.guides import NO_GUIDES, GuideFiles, check_leaves_something
from farm.jobs.idempotency import ID, Key, Request, submit_once
from farm.jobs.names import check_name, clean_file_name, derive_name
from farm.jobs.tickets import wake
from farm.people import quotas
from farm.people.visitors import ANYBODY, Visitor
from farm.pictures import uploads
from farm.pictures.decoder_request import PictureFile
from farm.pictures.transparency import may_be_transparent
from farm.pictures.uploads import CheckedUpload
from farm.recipe import Recipe
from farm.recipe.film import SPACING
from farm.recipe.picture_sizes import check_proportion, check_start
from farm.recipe.recipe import MAX_STYLES, SMALLEST_STYLE
from farm.settings import TAG
from farm.webhooks import destinations


def submit(
    content: bytes,
    styles: Sequence[bytes],
    recipe: Recipe,
    *,
    name: str = "",
    priority: int = 0,
    key: Key | Request | None = None,
    job_id: str | None = None,
    webhook_url: str = "",
    tag: str = "",
    guides: GuideFiles = NO_GUIDES,
    file_names: Sequence[str | None] = (),
    visitor: Visitor = ANYBODY,
) -> Job:
    """Check everything, then store, then commit the row, then send a ticket.

    A ticket that cannot be sent is the janitor's to send later: the job is accepted all the same.

    Args:
        key, job_id: of the client's own making. The same request with the same one again is the same
            job. A request stands for key and parts.
        webhook_url: notified of the job's end; empty: none is.
        tag: only workers that have it take the job; empty: any.
        guides: what steers it besides photograph and paintings.
        file_names: of the photograph, then of the paintings, as far as they are known; a job without
            a name bears the first.
        visitor: whose the job and its uploads are from then on.

    Raises:
        InvalidInput and its kin: the first field that is wrong; nothing was stored.
        OperatorsOnly: a priority above 0, by a user.
        QuotaReached: the visitor's quota is too small for it.
        SignedOut: the visitor's token was revoked meanwhile.
        KeyReused: the key or the id came before, with another request.
        NoRoom: the farm's disk is nearly full.
    """
    recipe = guides.complete(recipe)
    options = [name.encode(), b"%d" % priority]
    if webhook_url:  # without one the parts are what they were before there were any
        options.append(b"webhook " + webhook_url.encode())
    if tag:
        options.append(b"tag " + tag.encode())
    options += guides.parts
    request = Request.from_parts(
        key or (Key(ID, job_id, visitor=visitor) if job_id else None),
        recipe,
        lambda text, _: [content, *styles, text.encode(), *options],
    )

    def submit_new() -> Job:
        check_priority(priority, visitor)
        url = check_options(webhook_url, tag)
        sent = Submission.check(
            content, styles, recipe, name=name, guides=guides, file_names=file_names, visitor=visitor
        )
        sent.store([recipe])
        with sessions.write_session() as session:
            sent.take_quota(session, [recipe])
            job = sent.create_job(session, recipe, priority, job_id)
            job.webhook_url, job.tag = url, tag or None
            if request:
                request.mark(job)
        wake(job)
        return job

    return submit_once(request, submit_new)


@dataclass(frozen=True)
class Photograph:
    """One of several photographs that are submitted together."""

    data: bytes
    # Of its job.
    name: str
    file_name: str


def submit_together(
    photographs: Sequence[Photograph],
    styles: Sequence[bytes],
    recipe: Recipe,
    *,
    key: Key | None = None,
    tag: str = "",
    file_names: Sequence[str | None] = (),
    visitor: Visitor = ANYBODY,
) -> Job:
    """Submit a job for each photograph, all or none, and return the first.

    Args:
        photographs: at least one.
        key: of all of them. tag: as of `submit`. file_names: of the paintings, as far as they are known.

    Raises:
        InvalidInput and its kin, QuotaReached, SignedOut, KeyReused, NoRoom: as `submit`.
    """
    options = repr((tag, [each.name for each in photographs])).encode()
    sent = [each.data for each in photographs]
    request = Request.from_parts(key, recipe, lambda text, _: [*sent, *styles, text.encode(), options])

    def submit_new() -> Job:
        check_options("", tag)
        checked = [
            Submission.check(
                each.data,
                styles,
                recipe,
                name=each.name,
                file_names=[each.file_name, *file_names],
                visitor=visitor,
            )
            for each in photographs
        ]
        jobs = _create_together(checked, recipe, tag or None, request)
        for job in jobs:
            wake(job)
        return jobs[0]

    return submit_once(request, submit_new)


def _create_together(
    sent: Sequence[Submission], recipe: Recipe, tag: str | None, request: Request | None
) -> list[Job]:
    """Store what was sent and add a job for each, all or none.

    Raises:
        QuotaReached: it is too much. SignedOut: the token was revoked.
    """
    asked = quotas.add_up([each.describe([recipe]) for each in sent])
    for each in sent:
        each.store_for(asked)
    with sessions.write_session() as session:
        quotas.take(session, sent[0].visitor, replace(asked, uploads=()))
        jobs = [each.create_job(session, recipe) for each in sent]
        for job in jobs:
            job.tag = tag
        if request:
            request.mark(jobs[0])
    return jobs


def check_options(webhook_url: str, tag: str) -> str | None:
    """Check both, and return the webhook's address; None for none.

    Raises:
        InvalidInput: no such address, or what cannot be a tag.
    """
    if tag and not TAG.fullmatch(tag):
        raise InvalidInput(Problem("tag", "must be a word of 40 letters, digits and . _ - at most"))
    webhook_url = webhook_url.strip()
    if webhook_url:
        destinations.check(webhook_url)
    return webhook_url or None


@dataclass(frozen=True)
class Submission:
    """A name and pictures that were checked, on their way to one job or several."""

    name: str
    # The photograph, the paintings, then what else steers them.
    pictures: list[CheckedUpload]
    # Of each of these pictures.
    roles: list[PictureRole]
    # Of photograph and paintings, as far as they are known.
    file_names: list[str | None]
    # Who sends it.
    visitor: Visitor

    @classmethod
    def check(
        cls,
        content: bytes | CheckedUpload,
        styles: Sequence[bytes],
        recipe: Recipe,
        *,
        name: str,
        guides: GuideFiles = NO_GUIDES,
        file_names: Sequence[str | None] = (),
        visitor: Visitor = ANYBODY,
    ) -> Submission:
        """Check that there is room, name, pictures and recipe, and that some worker has memory enough.

        Args:
            content: the photograph; or a clip, which was checked, and whose frames are rendered.

        Raises:
            InvalidInput and its kin: the first field that is wrong.
            NoRoom: the farm's disk is nearly full.
        """
        disk.check_room()
        name = check_name(name)
        names = [clean_file_name(each) for each in file_names]
        check_number_of_styles(styles)
        recipe.check_number_of_paintings(len(styles))
        guides.check_number(len(styles))
        check_start(recipe, begins=guides.init is not None)
        files = [
            *((PictureRole.STYLE, PictureFile(style, "style", SMALLEST_STYLE)) for style in styles),
            *guides.list_files(),
        ]
        sent = [] if isinstance(content, CheckedUpload) else [PictureFile(content, "content")]
        with closing(uploads.check([*sent, *(file for _, file in files)])) as answers:
            photograph = content if isinstance(content, CheckedUpload) else next(answers)
            workers = _list_workers()
            _check_fits_some_worker(recipe, photograph, guides, workers)
            checked = list(answers)
        paintings = [each.upload for each in checked[: len(styles)]]
        _check_fits_some_worker(recipe, photograph, guides, workers, paintings)
        for (role, file), each in zip(files, checked, strict=True):
            if role in GUIDES:
                check_proportion(file.field, each.upload.size, photograph.upload.size)
        marks = [(role, each.marks) for (role, _), each in zip(files, checked, strict=True)]
        check_leaves_something(
            [each for role, each in marks if role is PictureRole.MASK and each],
            next((each for role, each in marks if role is PictureRole.KEEP), None),
        )
        roles = [PictureRole.CONTENT, *(role for role, _ in files)]
        return cls(name or derive_name(names), [photograph, *checked], roles, names, visitor)

    def store(self, recipes: Sequence[Recipe]) -> None:
        """Store the pictures, if the sender may make as much of them as these recipes do.

        Raises:
            QuotaReached: it is too much. SignedOut: the token was revoked.
        """
        self.store_for(self.describe(recipes))

    def store_for(self, asked: quotas.Request) -> None:
        """Store the pictures, if the sender may have so much made of them.

        Raises:
            QuotaReached: it is too much. SignedOut: the token was revoked.
        """
        with sessions.read_session() as session:
            quotas.check(session, self.visitor, asked)
        uploads.store(self.pictures, self.visitor.person_id)

    def list_sent(self) -> tuple[tuple[str, int], ...]:
        """List SHA-256 and bytes of each picture."""
        return tuple((each.upload.sha256, len(each.data)) for each in self.pictures)

    def take_quota(self, session: Session, recipes: Sequence[Recipe]) -> None:
        """Check the same once more and count it, in the transaction that adds the jobs.

        Raises:
            QuotaReached: it is too much. SignedOut: the token was revoked.
        """
        quotas.take(session, self.visitor, self.describe(recipes, with_uploads=False))

    def describe(self, recipes: Sequence[Recipe], *, with_uploads: bool = True) -> quotas.Request:
        """Return what a job by each of these recipes takes of the sender's quotas."""
        photograph = self.pictures[0].upload
        sizes = [each.compute_result_size(*photograph.size) for each in recipes]
        pixels = sum(height * width for height, width in sizes)
        sent = self.list_sent() if with_uploads else ()
        return quotas.Request(len(sizes), pixels / quotas.MEGAPIXEL, sent)

    def create_job(
        self,
        session: Session,
        recipe: Recipe,
        priority: int = 0,
        job_id: str | None = None,
        *,
        holds: int = 0,
    ) -> Job:
        """Add a job of these pictures, which are stored.

        Args:
            holds: see `PictureSizes`.
        """
        found: dict[PictureRole, list[Upload]] = defaultdict(list)
        for role, each in zip(self.roles, self.pictures, strict=True):
            found[role].append(session.get_one(Upload, each.upload.sha256))
        return job_rows.create(
            session,
            owner_id=self.visitor.person_id,
            name=self.name,
            recipe=recipe,
            content=found[PictureRole.CONTENT][0],
            styles=found[PictureRole.STYLE],
            guides={role: found[role] for role in GUIDES},
            file_names=self.file_names,
            priority=priority,
            job_id=job_id,
            holds=holds,
        )


def check_number_of_styles(styles: Sequence[bytes]) -> None:
    """Check that there is a painting, and not too many.

    Raises:
        InvalidInput: there are none, or too many.
    """
    if not styles:
        raise InvalidInput(Problem("style", "is missing; send at least one painting"))
    if len(styles) > MAX_STYLES:
        message = f"has {len(styles)} paintings; the limit is {MAX_STYLES}"
        raise InvalidInput(Problem("style", message))


def _list_workers() -> list[Worker]:
    with sessions.read_session() as session:
        return registry.list_alive(session)


def _check_fits_some_worker(
    recipe: Recipe,
    photograph: CheckedUpload,
    guides: GuideFiles,
    workers: Sequence[Worker],
    paintings: Sequence[Upload] = (),
) -> None:
    """Check that some worker has memory enough; while none is alive, the job may wait for a larger one.

    Args:
        workers: those that are alive. paintings: as far as they are known.

    Raises:
        InvalidInput: no worker that is alive has memory enough, or the result would be too narrow.
    """
    best = estimate(
        recipe,
        *photograph.upload.size,
        workers,
        paintings=[painting.size for painting in paintings],
        masks=len(guides.masks),
        keeps=guides.keep is not None or may_be_transparent(photograph.data),
        holds=SPACING if photograph.upload.frames > 1 else 0,
    )
    if best and best.refusal:
        field, those = ("style", "are") if paintings else ("size", "is")
        raise InvalidInput(Problem(field, f"{those} too large for every worker: {best.refusal}"))
