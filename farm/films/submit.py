"""From a clip and settings to a film whose first parts wait: checked -> stored -> rows -> tickets."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from farm.clips.clip import Clip
from farm.clips.look import check_clip
from farm.database import disk, sessions
from farm.database.films import Film
from farm.database.models import Job, Upload
from farm.errors import InvalidInput, Problem
from farm.films import films
from farm.films.parts import add_part, make_part
from farm.films.settings import FilmSettings
from farm.jobs.fields import check_priority
from farm.jobs.guides import NO_GUIDES, GuideFiles
from farm.jobs.idempotency import Key, Request, submit_once
from farm.jobs.names import check_name
from farm.jobs.submit import Submission, check_number_of_styles, check_options
from farm.jobs.tickets import TicketBatch
from farm.people import quotas
from farm.people.visitors import ANYBODY, Visitor
from farm.pictures.uploads import CheckedUpload
from farm.recipe import Recipe
from farm.recipe.film import Part, list_ready
from farm.recipe.film_formats import FRAME_BYTES_PER_PIXEL

NO_START = "is not for films: each frame begins from the clip's, or from its painted neighbour"


def submit_film(
    clip: bytes,
    styles: Sequence[bytes],
    recipe: Recipe,
    film: FilmSettings,
    *,
    name: str = "",
    priority: int = 0,
    key: Key | Request | None = None,
    webhook_url: str = "",
    tag: str = "",
    guides: GuideFiles = NO_GUIDES,
    file_names: Sequence[str | None] = (),
    visitor: Visitor = ANYBODY,
) -> Film:
    """Check everything, then store, then commit the film with its first parts, then send their tickets.

    Args:
        recipe: of each frame.
        key: of the client's own making. The same request with the same one again is the same film.
        webhook_url: notified of the film's end; empty: none is.
        tag: only workers that have it take the film's parts; empty: any.
        guides: masks and what stays, of each shot's first frame.
        file_names: of the clip, then of the paintings, as far as they are known.
        visitor: whose the film and its uploads are from then on.

    Raises:
        InvalidInput and its kin: the first field that is wrong; nothing was stored.
        OperatorsOnly, QuotaReached, SignedOut, KeyReused, NoRoom: as for a job.
    """

    def list_parts(text: str, _: Recipe | None) -> list[bytes]:
        options = repr((text, name, priority, webhook_url, tag, film.dump_request())).encode()
        return [b"film", clip, *styles, options, *guides.parts]

    request = Request.from_parts(key, recipe, list_parts)

    def submit_new() -> Job:
        check_priority(priority, visitor)
        sent = FilmSubmission.check(
            clip, styles, recipe, film, name=name, guides=guides, file_names=file_names, visitor=visitor
        )
        made = Film(webhook_url=check_options(webhook_url, tag))
        sent.store()
        parts = sent.create(made, request, priority, tag or None)
        tickets = TicketBatch()
        for job in parts:
            tickets.send(job)
        return parts[0]

    return films.get(str(submit_once(request, submit_new).film_id))


@dataclass(frozen=True)
class FilmSubmission:
    """A clip, pictures and settings that were checked, on their way to a film."""

    pictures: Submission
    clip: Clip
    recipe: Recipe
    settings: FilmSettings
    parts: Sequence[Part]

    @classmethod
    def check(
        cls,
        clip: bytes,
        styles: Sequence[bytes],
        recipe: Recipe,
        film: FilmSettings,
        *,
        name: str,
        guides: GuideFiles = NO_GUIDES,
        file_names: Sequence[str | None] = (),
        visitor: Visitor = ANYBODY,
    ) -> FilmSubmission:
        """Check that there is room, and all that was sent: what is cheap to check before the clip.

        Raises:
            InvalidInput and its kin: the first field that is wrong. NoRoom: the disk is nearly full.
        """
        disk.check_room()
        check_name(name)
        check_number_of_styles(styles)
        film.moving.check_number_of_paintings(len(styles))
        if guides.init is not None:
            raise InvalidInput(Problem("init", NO_START))
        found, thumbnail = check_clip(clip, "clip")
        parts = film.plan(found)
        disk.check_room(count_frame_bytes(recipe, found, parts))
        row = Upload(
            sha256=hashlib.sha256(clip).hexdigest(),
            width=found.width,
            height=found.height,
            frames=found.frames,
            size_bytes=len(clip),
        )
        pictures = Submission.check(
            CheckedUpload(clip, row, thumbnail),
            styles,
            recipe,
            name=name,
            guides=guides,
            file_names=file_names,
            visitor=visitor,
        )
        return cls(pictures, found, recipe, film, parts)

    def store(self) -> None:
        """Store clip and pictures, if the sender may have the film made.

        Raises:
            QuotaReached: it is too much. SignedOut: the token was revoked.
        """
        self.pictures.store_for(self._describe(with_uploads=True))

    def create(
        self, film: Film, request: Request | None, priority: int = 0, tag: str | None = None
    ) -> list[Job]:
        """Add the film's rows and those of the parts that can begin, all or none; return these parts.

        Raises:
            QuotaReached: it is too much. SignedOut: the token was revoked.
        """
        film.name, film.owner_id = self.pictures.name, self.pictures.visitor.person_id
        film.recipe = self.recipe.model_dump(mode="json")
        film.clip, film.settings = self.clip.to_json(), self.settings.model_dump(mode="json")
        with sessions.write_session() as session:
            quotas.take(session, self.pictures.visitor, self._describe(with_uploads=False))
            session.add(film)
            session.flush()
            begun, *others = list_ready(self.parts, (), ())
            first = self.pictures.create_job(session, self.recipe, priority, holds=self.settings.spacing)
            first.tag = tag
            make_part(first, film, begun, self.parts)
            if request:
                request.mark(first)
            jobs = [first, *(add_part(session, film, part, self.parts, first) for part in others)]
            session.flush()
        return jobs

    def _describe(self, *, with_uploads: bool) -> quotas.Request:
        """Return what is asked for: megapixels of all frames, a waiting job for each part that waits."""
        height, width = self.recipe.compute_result_size(*self.clip.size)
        megapixels = len(self.parts[-1].frames) * height * width / quotas.MEGAPIXEL
        sent = self.pictures.list_sent() if with_uploads else ()
        frames = count_frame_bytes(self.recipe, self.clip, self.parts)
        return quotas.Request(len(list_ready(self.parts, (), ())), megapixels, sent, frames)


def count_frame_bytes(recipe: Recipe, clip: Clip, parts: Sequence[Part]) -> int:
    """Return the bytes that the frames of a film take at most."""
    height, width = recipe.compute_result_size(*clip.size)
    return len(parts[-1].frames) * height * width * FRAME_BYTES_PER_PIXEL
