"""The parts of a film as jobs: how they are made, and what their frames are called."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from farm.clips.clip import Clip
from farm.database.films import Film
from farm.database.models import GUIDES, Job, WorkClass
from farm.database.names import fold
from farm.films.settings import FilmSettings
from farm.jobs import job_rows
from farm.recipe import Recipe
from farm.recipe.film import Part, Role
from farm.recipe.picture_sizes import Size

NAME_LENGTH = 90  # characters of the film's name in that of a part


def read_plan(film: Film) -> Sequence[Part]:
    """Return the parts of a film, as they were planned when it was submitted."""
    return read_settings(film).plan(Clip.from_json(film.clip))


def read_settings(film: Film) -> FilmSettings:
    """Return the settings of a film as a whole."""
    return FilmSettings.restore(film.settings)


def compute_frame_size(film: Film) -> Size:
    """Compute height and width of a film's frames, px, from its row alone."""
    recipe = Recipe.model_validate(film.recipe)
    return recipe.compute_result_size(film.clip["height"], film.clip["width"])


def describe_part(part: Part, parts: Sequence[Part]) -> str:
    """Return `frame 25`, `frames 2 to 24`, `joining all frames`: counted from 1, among those painted.

    Args:
        parts: all of the film.
    """
    if part.role is Role.JOIN:
        return "joining all frames"
    numbers = parts[-1].frames
    first, last = (numbers.index(part.frames[place]) + 1 for place in (0, -1))
    return f"frame {first}" if first == last else f"frames {first} to {last}"


def add_part(session: Session, film: Film, part: Part, parts: Sequence[Part], first: Job) -> Job:
    """Add the job of a part, queued, made from the same pictures as the film's first part.

    Args:
        parts: all of the film.
    """
    guides = {role: [each.upload for each in first.guides if each.role is role] for role in GUIDES}
    photograph, paintings = first.source_names
    job = job_rows.create(
        session,
        owner_id=film.owner_id,
        name=film.name,
        recipe=Recipe.model_validate(film.recipe),
        content=first.content,
        styles=[style.upload for style in first.styles],
        guides=guides,
        file_names=[photograph, *paintings],
        priority=first.priority,
        tag=first.tag,
        holds=read_settings(film).spacing,
    )
    make_part(job, film, part, parts)
    return job


def make_part(job: Job, film: Film, part: Part, parts: Sequence[Part]) -> None:
    """Make a new job the one of a film's part.

    Args:
        parts: all of the film.
    """
    job.film_id, job.film_part, job.film_role = film.id, part.number, part.role
    job.name = f"{film.name[:NAME_LENGTH]}, {describe_part(part, parts)}"
    job.name_folded = fold(job.name)
    job.look_sha256 = None  # a part is no picture that opinions are about
    if job.work_class is WorkClass.PREVIEW:  # many frames are no quick look
        job.work_class = WorkClass.STANDARD
    if part.role is Role.JOIN:
        job.least_cpu_bytes = job.least_cuda_bytes = None
